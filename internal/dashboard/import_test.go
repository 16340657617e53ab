package dashboard

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"postrider/internal/email"
)

// largest is an export of so many entries, each as large as it may be.
func largest(n int) string {
	var b strings.Builder
	b.WriteString(strings.Join(columns(), ",") + "\r\n")
	domain := strings.Repeat("d", 63) + "." + strings.Repeat("d", 63) + "." + strings.Repeat("d", 61)
	for i := range n {
		local := fmt.Sprintf("%064d", i)
		fmt.Fprintf(&b, "%s@%s,complaint,%s.%s.com,%s,\"%s\",2099-01-01T00:00:00Z,2026-01-01T00:00:00Z,%s,%s\r\n",
			local, domain, domain, strings.Repeat("d", 50), strings.Repeat("s", 64), strings.Repeat("\U0001f4ee", maxNote), email.NewMessageID(0), email.NewID(email.SuppressionPrefix))
	}
	return b.String()
}

// What may be imported can be exported and imported again.
func TestImportTakesAnyExport(t *testing.T) {
	const n = 100
	file := largest(n)
	if got := len(file) / n; got*maxImportRows > maxImport {
		t.Errorf("an entry has %d octets, of which the bound allows %d", got, maxImport/maxImportRows)
	}
	w := newWorld(t)
	body(t, w.upload("/ui/suppressions/import", "list.csv", file), http.StatusSeeOther)
	export := body(t, w.get("/ui/suppressions/export"), http.StatusOK)
	if got := strings.Count(export, "\r\n"); got != n+1 || len(export) < len(file)*9/10 {
		t.Errorf("exported %d rows, %d octets of %d", got, len(export), len(file))
	}
	body(t, w.upload("/ui/suppressions/import", "again.csv", export), http.StatusSeeOther)
}

func TestImportIsBounded(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	w := newWorld(t)
	for content, want := range map[string]string{
		strings.Repeat("a@example.org\n", maxImportRows+1):              "more than 100000 entries. Split it",
		"email,note\na@example.org,\"" + strings.Repeat("x", 11<<20):    "a row has no end",
		"email\n" + strings.Repeat("a@example.org\n", 600) + "nobody\n": "line 602",
	} {
		if got := text(t, body(t, w.upload("/ui/suppressions/import", "list.csv", content), http.StatusUnprocessableEntity)); !strings.Contains(got, want) || !strings.Contains(got, "Nothing was added") {
			t.Errorf("want %q: %s", want, got)
		}
	}
	faults, err := readImport(email.Test, strings.NewReader(strings.Repeat("a@example.org\n", maxImportRows)), time.Now(), func([]email.Suppression) error { return nil })
	if len(faults) > 0 || err != nil {
		t.Errorf("as many as may be: %q, %v", faults, err)
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("of the files is left: %v, %v", left, err)
	}
}
