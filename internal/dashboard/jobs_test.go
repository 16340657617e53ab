package dashboard

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"postrider/internal/email"
	"postrider/internal/queue"
)

func TestJobs(t *testing.T) {
	w := newWorld(t)
	m := message("x", "a@sandbox.test")
	w.accept(m, &email.Content{Text: "x"})
	job := queue.Delivery{World: email.Test, Message: m.ID}
	if err := w.queue.Add(t.Context(), queue.Bulk, job, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	page := text(t, body(t, w.get("/ui/jobs"), 200))
	for _, want := range []string{"critical", "default", "bulk", "notify", "Pause", "No worker was heard of"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	page = body(t, w.get("/ui/jobs/bulk"), 200) // shows the state that has jobs
	if !strings.Contains(page, `href="/ui/messages/`+m.ID+`"`) || !strings.Contains(page, "Run now") || !strings.Contains(page, "Deleting a job loses nothing") {
		t.Errorf("the job is not shown: %s", page)
	}
	id := m.ID + ":0:0"
	form := url.Values{"id": {id}, "back": {"/ui/jobs/bulk?state=pending"}}
	r := w.post("/ui/jobs/bulk/run", form, nil)
	if body(t, r, 303); r.Header.Get("Location") != "/ui/jobs/bulk?done=run&state=pending" {
		t.Errorf("leads to %s", r.Header.Get("Location"))
	}
	if state, _ := w.queue.State(t.Context(), queue.Bulk, job); state != queue.Pending {
		t.Errorf("is %s", state)
	}
	body(t, w.post("/ui/jobs/bulk/delete", form, nil), 303)
	if state, _ := w.queue.State(t.Context(), queue.Bulk, job); state != queue.Absent {
		t.Errorf("is %s", state)
	}
	// The message is as it was, and due: the sweeper makes another job.
	if due, err := w.store.Messages.Due(t.Context(), email.Test, 0, time.Now().Add(time.Minute), 10); err != nil || len(due) != 1 {
		t.Errorf("due %v, %v", due, err)
	}
	body(t, w.post("/ui/jobs/bulk/delete", form, nil), 404)
	for _, path := range []string{"/ui/jobs/other", "/ui/jobs/quarantine?from=x"} {
		body(t, w.get(path), 404)
	}
	body(t, w.post("/ui/jobs/other/pause", nil, nil), 404)
}

// What is no page of a queue leads to one, or says so; never to an empty list of many jobs.
func TestPagesOfJobs(t *testing.T) {
	w := newWorld(t)
	for range jobsShown + 1 {
		if err := w.queue.Add(t.Context(), queue.Bulk, queue.Delivery{World: email.Test, Message: email.NewMessageID(0)}, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		"/ui/jobs/bulk?state=scheduled&page=9999999": "/ui/jobs/bulk?state=scheduled&page=2",
		"/ui/jobs/bulk?state=scheduled&page=3":       "/ui/jobs/bulk?state=scheduled&page=2",
		"/ui/jobs/bulk?state=active&page=2":          "/ui/jobs/bulk?state=active&page=1",
	} {
		r := w.get(path)
		if body(t, r, http.StatusSeeOther); r.Header.Get("Location") != want {
			t.Errorf("%s leads to %q, want %q", path, r.Header.Get("Location"), want)
		}
	}
	for _, path := range []string{"/ui/jobs/bulk?state=scheduled", "/ui/jobs/bulk?state=scheduled&page=2", "/ui/jobs/bulk?state=scheduled&page=-1", "/ui/jobs/bulk?state=scheduled&page=x", "/ui/jobs/bulk?page=1"} {
		if !strings.Contains(body(t, w.get(path), http.StatusOK), "Run now") {
			t.Errorf("%s shows no job", path)
		}
	}
	if got := text(t, body(t, w.get("/ui/jobs/bulk?state=x"), http.StatusNotFound)); !strings.Contains(got, "pending, active, scheduled, retrying or archived") {
		t.Errorf("an unknown state: %s", got)
	}
}

func TestPauseQueue(t *testing.T) {
	w := newWorld(t)
	if err := w.queue.Add(t.Context(), queue.Default, queue.Delivery{World: email.Test, Message: email.NewMessageID(0)}, time.Now()); err != nil {
		t.Fatal(err)
	}
	body(t, w.post("/ui/jobs/bulk/pause", nil, nil), 422) // was never used
	body(t, w.post("/ui/jobs/default/pause", nil, nil), 303)
	body(t, w.post("/ui/jobs/default/pause", nil, nil), 303) // is paused
	if page := text(t, body(t, w.get("/ui/jobs"), 200)); !strings.Contains(page, "paused") || !strings.Contains(page, "Resume") {
		t.Errorf("the page says %s", page)
	}
	if overview := text(t, body(t, w.get("/"), 200)); !strings.Contains(overview, "The queue default is paused") {
		t.Error("the overview does not tell")
	}
	body(t, w.post("/ui/jobs/default/resume", nil, nil), 303)
	if page := text(t, body(t, w.get("/ui/jobs"), 200)); strings.Contains(page, "paused") {
		t.Error("is still paused")
	}
}

func TestQuarantine(t *testing.T) {
	w := newWorld(t)
	if got := text(t, body(t, w.get("/ui/jobs/quarantine"), 200)); !strings.Contains(got, "Nothing is quarantined") {
		t.Error("the empty page does not teach")
	}
	m := message("ends its worker <b>", "a@sandbox.test", "b@elsewhere.test")
	// Another envelope of it goes on: the message is not deferred, but processing.
	m.Envelopes[0].Recipients, m.Recipients[1].Envelope = []int{0}, 1
	m.Envelopes = append(m.Envelopes, email.Envelope{Domain: "elsewhere.test", ReversePath: "b-token@r.test", Recipients: []int{1}, State: m.Envelopes[0].State})
	w.accept(m, &email.Content{Text: "x"})
	w.quarantine(m, "panicked: <script>")
	page := text(t, body(t, w.get("/ui/jobs/quarantine"), http.StatusOK))
	for _, want := range []string{"ends its worker <b>", "quarantined: panicked: <script>", "Release"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if page := text(t, body(t, w.get("/ui/messages/"+m.ID), 200)); !strings.Contains(page, "It is quarantined") || !strings.Contains(page, "Release from quarantine") {
		t.Error("the message does not tell")
	}
	if page := text(t, body(t, w.get("/"), 200)); !strings.Contains(page, "Mail is quarantined") {
		t.Error("the overview does not tell")
	}
	body(t, w.post("/ui/messages/"+m.ID+"/release", url.Values{"back": {"/ui/jobs/quarantine"}}, nil), 303)
	if got := w.message(m.ID).Envelopes[0].State.Phase; got != email.Waiting {
		t.Errorf("is %s", got)
	}
}

func TestRates(t *testing.T) {
	var r rates
	now := time.Now()
	if _, ok := r.note("a", 100, now); ok {
		t.Error("a rate of one measurement")
	}
	if got, ok := r.note("a", 150, now.Add(10*time.Second)); !ok || got != 5 {
		t.Errorf("rate %v, %v", got, ok)
	}
	if _, ok := r.note("b", 7, now); ok {
		t.Error("queues are mixed up")
	}
	if got, ok := r.note("a", 250, now.Add(65*time.Second)); !ok || got != 100.0/55 {
		t.Errorf("rate %v, %v over what still counts", got, ok)
	}
	if _, ok := r.note("a", 3, now.Add(70*time.Second)); ok {
		t.Error("a rate over a Redis that was emptied")
	}
}
