package dashboard

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"postrider/internal/email"
	"postrider/internal/queue"
	"postrider/internal/store"
)

// recorded are the changes since the last call, the oldest first.
func (w *world) recorded() string {
	w.t.Helper()
	changes, _, err := w.store.Audit.Latest(w.t.Context(), []email.World{email.Test}, "", 100)
	if err != nil {
		w.t.Fatal(err)
	}
	var all []string
	for i := len(changes) - 1 - w.told; i >= 0; i-- {
		c := changes[i]
		all = append(all, strings.Join(strings.Fields(c.Action+" "+c.Object+" "+c.Detail), " "))
	}
	w.told = len(changes)
	return strings.Join(all, "; ")
}

// The record tells what changed something, once, and of what.
func TestRecordTellsWhatChanged(t *testing.T) {
	w := newWorld(t)
	w.openDesk()
	post := func(path string, form url.Values, status int) string {
		t.Helper()
		r := w.post(path, form, nil)
		body(t, r, status)
		u, _ := url.Parse(r.Header.Get("Location"))
		return u.Path
	}
	want := func(what string) {
		t.Helper()
		if got := w.recorded(); got != what {
			t.Errorf("recorded %q, want %q", got, what)
		}
	}
	mail := url.Values{"from": {"a@acme.test"}, "to": {"nobody"}, "subject": {"x"}, "text": {"x"}, "nonce": {"1"}}
	post("/ui/send", mail, http.StatusUnprocessableEntity)
	want("")
	mail.Set("to", "delivered@sandbox.test")
	sent := strings.TrimPrefix(post("/ui/send", mail, http.StatusSeeOther), "/ui/messages/")
	post("/ui/send", mail, http.StatusSeeOther)
	want("message.sent " + sent)
	again := url.Values{"whom": {"all"}, "nonce": {"2"}}
	second := strings.TrimPrefix(post("/ui/messages/"+sent+"/again", again, http.StatusSeeOther), "/ui/messages/")
	post("/ui/messages/"+sent+"/again", again, http.StatusSeeOther)
	want("message.sent_again " + sent + " as " + second)
	post("/ui/messages/"+sent+"/cancel", nil, http.StatusSeeOther)
	post("/ui/messages/"+sent+"/cancel", nil, http.StatusSeeOther)
	want("message.canceled " + sent)
	post("/ui/messages/"+sent+"/retry", nil, http.StatusUnprocessableEntity)
	post("/ui/messages/"+sent+"/release", nil, http.StatusUnprocessableEntity)
	want("")

	job := queue.Delivery{World: email.Test, Message: email.NewMessageID(0)}
	if err := w.queue.Add(t.Context(), queue.Bulk, job, time.Now()); err != nil {
		t.Fatal(err)
	}
	jobs, err := w.queue.List(t.Context(), queue.Bulk, queue.Pending, 1, 1)
	if err != nil || len(jobs) != 1 {
		t.Fatal(jobs, err)
	}
	for _, word := range []string{"pause", "pause", "resume", "resume"} {
		post("/ui/jobs/bulk/"+word, nil, http.StatusSeeOther)
	}
	want("queue.paused bulk; queue.resumed bulk")
	post("/ui/jobs/bulk/delete", url.Values{"id": {jobs[0].ID}}, http.StatusSeeOther)
	post("/ui/jobs/bulk/delete", url.Values{"id": {jobs[0].ID}}, http.StatusNotFound)
	want("job.deleted " + jobs[0].ID + " of bulk")

	post("/ui/inbox/delete", url.Values{"all": {"on"}}, http.StatusSeeOther)
	want("")
}

func TestRecordTellsOfSuppressions(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		body(t, w.post("/ui/suppressions", url.Values{"email": {"gone@example.org"}}, nil), http.StatusSeeOther)
	}
	if got := w.recorded(); strings.Count(got, "suppression.created sup_") != 1 || strings.Contains(got, ";") {
		t.Errorf("recorded %q", got)
	}
	for range 2 {
		body(t, w.upload("/ui/suppressions/import", "list.txt", "gone@example.org\none@example.org\ntwo@example.org\n"), http.StatusSeeOther)
	}
	if got := w.recorded(); got != "suppressions.imported 2 added" {
		t.Errorf("recorded %q", got)
	}
}

// An import that fails tells what it did until then.
func TestRecordTellsOfHalfAnImport(t *testing.T) {
	w := newWorld(t)
	var file strings.Builder
	file.WriteString("email,stream\n")
	for i := range importBatch {
		fmt.Fprintf(&file, "a%d@example.org,\n", i)
	}
	for i := range 200 { // more than an address may have
		fmt.Fprintf(&file, "full@example.org,s%d\n", i)
	}
	if got := text(t, body(t, w.upload("/ui/suppressions/import", "list.csv", file.String()), http.StatusUnprocessableEntity)); !strings.Contains(got, "more than") {
		t.Error(got)
	}
	list, _, err := w.store.Suppressions.List(t.Context(), email.Test, store.SuppressionFilter{}, "", 1000)
	if err != nil || len(list) <= importBatch {
		t.Fatal(len(list), err)
	}
	if got, want := w.recorded(), fmt.Sprintf("suppressions.imported %d added", len(list)); got != want {
		t.Errorf("recorded %q, want %q", got, want)
	}
}

// The settings lead to all that is kept.
func TestRecordIsPaged(t *testing.T) {
	w := newWorld(t)
	for i := range changesShown + 7 {
		err := w.store.Audit.Add(t.Context(), store.Change{World: email.Test, At: time.Now(), Actor: store.Operator, Action: "queue.paused", Object: fmt.Sprintf("number-%d.", i)})
		if err != nil {
			t.Fatal(err)
		}
	}
	first := body(t, w.get("/ui/settings"), http.StatusOK)
	older := regexp.MustCompile(`class="next" href="(/ui/settings\?from=[^"#]+)#changes"`).FindStringSubmatch(first)
	if older == nil || strings.Contains(first, "number-6.") || !strings.Contains(first, "number-7.") || strings.Contains(first, "The newest") {
		t.Fatal(first)
	}
	second := body(t, w.get(html.UnescapeString(older[1])), http.StatusOK)
	if !strings.Contains(second, "number-6.") || !strings.Contains(second, "number-0.") || strings.Contains(second, "number-7.") || strings.Contains(second, "Older →") || !strings.Contains(second, "The newest") {
		t.Error(second)
	}
	body(t, w.get("/ui/settings?from=x"), http.StatusNotFound)
}
