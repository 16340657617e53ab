package track

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"postrider/internal/email"
)

const domain = "bounces.example.org"

func marks(octet byte) *Marks { return New([32]byte{octet, 1, 2}, 1) }

func reversePath(t testing.TB, m *Marks, id string, envelope int) string {
	t.Helper()
	path, err := m.ReversePath(id, envelope, domain)
	if err != nil {
		t.Fatal(err)
	}
	local, ok := strings.CutSuffix(path, "@"+domain)
	if !ok || len(local) != 49 || !strings.HasPrefix(local, "b-") {
		t.Fatalf("reverse-path %q: want 49 octets that start with b-, @%s", path, domain)
	}
	return local
}

func TestRoundTrip(t *testing.T) {
	m := marks(1)
	for _, envelope := range []int{0, 1, 49, 255, 256, 65535} {
		id := email.NewMessageID(uint8(envelope))
		local := reversePath(t, m, id, envelope)
		if local != strings.ToLower(local) || local != reversePath(t, m, id, envelope) {
			t.Errorf("%s is not lower case, or differs when made again", local)
		}
		mixed := strings.ToUpper(local[:20]) + local[20:]
		for _, as := range []string{local, strings.ToUpper(local), mixed} {
			gotID, gotEnvelope, err := m.Read(as)
			if err != nil || gotID != id || gotEnvelope != envelope {
				t.Errorf("Read(%s) = %s, %d, %v; want %s, %d", as, gotID, gotEnvelope, err, id, envelope)
			}
		}
	}
}

// A mail on its way must still be known after an update: the form never changes.
func TestForm(t *testing.T) {
	id := email.FormatID(email.MessagePrefix, uuid.MustParse("0198f3a2-7c11-7abc-8def-0123456789ab"))
	const want = "b-06cf78kw25xbs3ff04hmasw9nc0g408tq2a9nbvrkj8t3nr"
	if got := reversePath(t, marks(7), id, 258); got != want {
		t.Errorf("reverse-path %s, want %s", got, want)
	}
}

func TestTampered(t *testing.T) {
	m := marks(1)
	local := reversePath(t, m, email.NewMessageID(3), 5)
	const digits = "0123456789abcdefghjkmnpqrstvwxyz"
	for i := len(prefix); i < len(local); i++ {
		for _, c := range digits {
			bad := local[:i] + string(c) + local[i+1:]
			if bad == local {
				continue
			}
			if _, _, err := m.Read(bad); !errors.Is(err, ErrNotOurs) {
				t.Fatalf("%s for %s: error %v", bad, local, err)
			}
		}
	}
}

func TestReadRefuses(t *testing.T) {
	m := marks(1)
	id := email.NewMessageID(0)
	local := reversePath(t, m, id, 0)
	for name, in := range map[string]string{
		"empty":              "",
		"prefix only":        "b-",
		"no prefix":          local[2:],
		"other prefix":       "c-" + local[2:],
		"cut":                local[:48],
		"longer":             local + "0",
		"look-alike letter":  local[:48] + "l",
		"space":              local[:48] + " ",
		"letter of two":      local[:47] + "é",
		"lower-cases to k":   strings.Replace("b-"+strings.Repeat("k", 45), "k", "\u212a", 1),
		"whole address":      local + "@" + domain,
		"another key":        reversePath(t, marks(2), id, 0),
		"another key id":     reversePath(t, New([32]byte{1, 1, 2}, 2), id, 0),
		"postmaster":         "postmaster",
		"very long":          "b-" + strings.Repeat("0", 1<<20),
		"only zeros":         "b-" + strings.Repeat("0", 47),
		"with line end":      local[:48] + "\n",
		"with NUL":           local[:48] + "\x00",
		"quoted":             `"` + local[:47] + `"`,
		"base64's padding":   local[:48] + "=",
		"token in uppercase": "b-" + strings.ToUpper(local[2:48]) + "U",
	} {
		if _, _, err := m.Read(in); !errors.Is(err, ErrNotOurs) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestReversePathRefuses(t *testing.T) {
	id := email.NewMessageID(0)
	for _, c := range []struct {
		name, id, domain string
		envelope         int
	}{
		{"no id", "", domain, 0},
		{"event id", email.NewID(email.EventPrefix), domain, 0},
		{"negative envelope", id, domain, -1},
		{"too many envelopes", id, domain, 65536},
		{"no domain", id, "", 0},
		{"line end in domain", id, "example.org\r\nDATA", 0},
		{"bracket in domain", id, "example.org>", 0},
		{"empty label", id, "example..org", 0},
		{"U-label", id, "exämple.org", 0},
		{"long label", id, strings.Repeat("a", 64) + ".org", 0},
		{"long domain", id, strings.Repeat("a.", 101) + "org", 0},
	} {
		if path, err := marks(1).ReversePath(c.id, c.envelope, c.domain); err == nil {
			t.Errorf("%s: made %q", c.name, path)
		}
	}
}

func TestRedacts(t *testing.T) {
	m := New([32]byte{0xab, 0xab, 0xab, 0xab}, 9)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if out := fmt.Sprintf(verb, m); strings.Contains(out, "171") || strings.Contains(out, "abab") || strings.Contains(out, "0xab") {
			t.Errorf("%s prints the key: %s", verb, out)
		}
	}
}

func FuzzRead(f *testing.F) {
	m := marks(1)
	local := reversePath(f, m, email.NewMessageID(1), 2)
	for _, seed := range []string{local, strings.ToUpper(local), local[:48], "", "b-", "b-" + strings.Repeat("z", 47), "postmaster"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		id, envelope, err := m.Read(in)
		if err != nil {
			if !errors.Is(err, ErrNotOurs) {
				t.Fatalf("error %v", err)
			}
			return
		}
		path, err := m.ReversePath(id, envelope, domain)
		if err != nil || path != strings.ToLower(in)+"@"+domain {
			t.Fatalf("%q was read as what is written %q (%v)", in, path, err)
		}
	})
}
