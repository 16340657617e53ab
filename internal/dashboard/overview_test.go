package dashboard

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/email"
	"postrider/internal/queue"
	"postrider/internal/store"
)

// follow counts the events of the world, as the worker's follower does.
func (w *world) follow() {
	w.t.Helper()
	ctx := context.Background()
	stretch, err := w.store.Deliveries.Unfollowed(ctx, email.Test, 0, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	happened, _, err := w.store.Deliveries.Happened(ctx, email.Test, stretch.Entries)
	if err != nil {
		w.t.Fatal(err)
	}
	stretch.Tally = store.NewTally()
	for _, e := range stretch.Entries {
		if sample, ok := happened[e.Message].Sample(e.Index); ok {
			stretch.Tally.Count(sample, "mx.sandbox.test")
		}
	}
	if _, err := w.store.Deliveries.Follow(ctx, stretch, stretch.To, nil, time.Now()); err != nil {
		w.t.Fatal(err)
	}
}

func TestOverviewTeachesFirst(t *testing.T) {
	w := newWorld(t)
	got := text(t, body(t, w.get("/"), http.StatusOK))
	for _, want := range []string{"No mail yet", w.curl, "Nothing in this time", "None: no mail was put off", "No receiver has answered"} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func TestOverview(t *testing.T) {
	w := newWorld(t)
	waits, bounced, arrived := message("waits", "a@slow.example"), message("bounced", "b@sandbox.test"), message("arrived", "c@sandbox.test")
	for _, m := range []*email.Message{waits, bounced, arrived} {
		w.accept(m, &email.Content{Text: "x"})
	}
	reply := &email.Reply{Code: 451, EnhancedCode: "4.7.1", Text: "Greylisted <b>"}
	w.attempt(waits, email.Attempt{Number: 1, Outcomes: []email.Outcome{{Status: email.Deferred, Category: "other", Reply: reply}}}, time.Now().Add(time.Hour))
	w.attempt(bounced, email.Attempt{Number: 1, Outcomes: []email.Outcome{{Status: email.Bounced, Bounce: "hard", Category: "other", Reply: reply}}}, time.Time{})
	w.attempt(arrived, email.Attempt{Number: 1, Outcomes: []email.Outcome{{Status: email.Delivered, Reply: reply}}}, time.Time{})
	w.follow()
	page := body(t, w.get("/"), http.StatusOK)
	got := text(t, page)
	for _, want := range []string{"Accepted3", "Delivered1", "50.0 % of what ended", "Deferred now1", "slow.example", "451 4.7.1 Greylisted <b>", "mx.sandbox.test"} {
		if !strings.Contains(strings.ReplaceAll(got, "\n", ""), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, path := range []string{"/ui/messages?status=queued,processing", "/ui/messages?status=bounced,failed,partially_delivered&amp;since=1h"} {
		if !strings.Contains(page, `href="`+path+`"`) {
			t.Errorf("no number leads to %s", path)
		}
	}
	for _, path := range []string{"/ui/messages?status=deferred&amp;domain=slow.example", "/ui/messages?domain=slow.example&amp;status=deferred"} {
		if strings.Contains(page, path) {
			return
		}
	}
	t.Error("a destination does not lead to the mail that waits for it")
}

func TestOverviewWarns(t *testing.T) {
	w := newWorld(t)
	w.options.Health = func(context.Context) []Check {
		return []Check{{"redis", true, "answers"}, {"durability", false, "no append-only file <i>"}}
	}
	w.pages = New(w.options)
	m := message("x", "a@sandbox.test")
	w.accept(m, &email.Content{Text: "x"})
	job := queue.Delivery{World: email.Test, Message: m.ID}
	if err := w.queue.Add(context.Background(), queue.Default, job, time.Now()); err != nil {
		t.Fatal(err)
	}
	got := text(t, body(t, w.get("/"), http.StatusOK))
	for _, want := range []string{"Something is wrong", "durability: no append-only file <i>"} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func TestWorries(t *testing.T) {
	now := time.Now()
	counts := func(delivered, bounced int64) store.Counted {
		return store.Counted{Counts: map[string]int64{"delivered": delivered, "bounced": bounced}}
	}
	answers := func(accepted, delivered, deferred, failed int64) store.Counted {
		return store.Counted{Counts: map[string]int64{"accepted": accepted, "delivered": delivered, "deferred": deferred, "failed": failed}}
	}
	receivers := func(names ...string) (list []provider) {
		for _, name := range names {
			list = append(list, provider{Name: name, Trouble: true})
		}
		return append(list, provider{Name: "well.test"})
	}
	failing := func(urls ...string) (list []*store.Webhook) {
		for _, u := range urls {
			list = append(list, &store.Webhook{URL: u, Enabled: true, Health: store.WebhookHealth{FailingSince: now.Add(-time.Hour)}})
		}
		return list
	}
	tests := []struct {
		name string
		page overviewPage
		sum  store.Counted
		next time.Time
		want string // the class and a part of what it says; empty: nothing
	}{
		{"nothing", overviewPage{}, counts(0, 0), time.Time{}, ""},
		{"well", overviewPage{Checks: []Check{{"redis", true, ""}}}, counts(99, 1), now, ""},
		{"few bounces of few", overviewPage{}, counts(1, 1), now, ""},
		{"bounces", overviewPage{}, counts(90, 10), now, "wait 10 % of the mail"},
		{"check", overviewPage{Checks: []Check{{"redis", false, "away"}}}, counts(0, 0), now, "bad redis: away"},
		{"paused", overviewPage{Queues: []queue.Size{{Class: "bulk", Paused: true, Oldest: time.Hour}}}, counts(0, 0), now, "wait The queue bulk is paused"},
		{"slow", overviewPage{Queues: []queue.Size{{Class: "bulk", Oldest: time.Hour}}}, counts(0, 0), now, "bad Jobs of the queue bulk have waited 1 h"},
		{"unreadable", overviewPage{Queues: []queue.Size{{Class: "bulk", Jobs: map[queue.State]int{queue.Archived: 2}}}}, counts(0, 0), now, "wait 2 jobs of the queue bulk"},
		{"no worker", overviewPage{}, counts(0, 0), now.Add(-2 * time.Minute), "bad No worker has looked"},
		{"most bounces", overviewPage{}, counts(1, 99), now, "bad 99 % of the mail"},
		{"all put off", overviewPage{Deferred: 42}, answers(100, 3, 495, 0), now, "bad 99 % of the answers of receivers put mail off; 42 messages are deferred now"},
		{"old mail put off in a quiet hour", overviewPage{Deferred: 42}, answers(2, 1, 100, 0), now, "wait 99 % of the answers"},
		{"one put off", overviewPage{Deferred: 1}, answers(9, 0, 30, 9), now, "wait 77 % of the answers of receivers put mail off; 1 message is deferred now"},
		{"greylisted", overviewPage{Deferred: 50}, answers(100, 50, 50, 0), now, ""},
		{"few put off", overviewPage{Deferred: 5}, answers(5, 0, 15, 0), now, ""},
		{"put off, and then delivered", overviewPage{}, answers(100, 100, 500, 0), now, ""},
		{"receiver", overviewPage{Providers: receivers("a.test")}, counts(0, 0), now, "wait Trouble with the mail servers of a.test: "},
		{"receivers", overviewPage{Providers: receivers("a.test", "b.test", "c.test", "d.test", "e.test")}, counts(0, 0), now, "wait Trouble with the mail servers of a.test, b.test, c.test and 2 more: "},
		{"failing", overviewPage{Hooks: failing("https://a.test/hook?token=x")}, counts(0, 0), now, "wait The webhook at a.test/hook has not answered"},
		{"many failing", overviewPage{Hooks: failing("https://a.test/", "https://b.test/", "https://c.test/", "https://d.test/", "https://e.test/")}, counts(0, 0), now, "wait The webhook at a.test has not answered as it should for 1 h\nwait The webhook at b.test has not answered as it should for 1 h\nwait The webhook at c.test has not answered as it should for 1 h\nwait 2 more webhooks want attention"},
		{"disabled", overviewPage{Hooks: []*store.Webhook{{URL: "https://a.test/", DisabledReason: store.DisabledGone}}}, counts(0, 0), now, "bad The webhook at a.test was disabled: it answered 410"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := ""
			for _, p := range test.page.worries(test.sum, store.Backlog{Next: test.next}, now) {
				got += p.Class + " " + p.Text + "\n"
			}
			if (got == "") != (test.want == "") || !strings.HasPrefix(got, test.want) {
				t.Errorf("says %q, want %q", got, test.want)
			}
		})
	}
}

func TestReceivers(t *testing.T) {
	at := func(name string, delivered, deferred int64) store.Counted {
		return store.Counted{Value: name, Counts: map[string]int64{"delivered": delivered, "deferred": deferred}}
	}
	got := receivers([]store.Counted{at("few.test", 0, 5), at("well.test", 90, 10), at("ill.test", 60, 15), at("ill.test", 29, 0), at(store.Rest, 1, 19)})
	var trouble []string
	for _, p := range got {
		if p.Trouble {
			trouble = append(trouble, p.Name)
		}
	}
	if len(got) != 4 || !slices.Equal(trouble, []string{"all others", "ill.test"}) {
		t.Errorf("trouble with %v of %+v", trouble, got)
	}
}

// A relay that puts all mail off: the page must not say that all is well.
func TestOverviewOfMailPutOff(t *testing.T) {
	w := newWorld(t)
	reply := &email.Reply{Code: 451, EnhancedCode: "4.7.1", Text: "Not now"}
	for range 20 {
		m := message("waits", "a@slow.example")
		w.accept(m, &email.Content{Text: "x"})
		w.attempt(m, email.Attempt{Number: 1, Outcomes: []email.Outcome{{Status: email.Deferred, Category: "other", Reply: reply}}}, time.Now().Add(time.Hour))
	}
	w.follow()
	got := text(t, body(t, w.get("/"), http.StatusOK))
	for _, want := range []string{"Something is wrong", "100 % of the answers of receivers put mail off; 20 messages are deferred now", "Trouble with the mail servers of mx.sandbox.test"} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(got, "All is well") {
		t.Error("the page says that all is well")
	}
}

func TestFlowChart(t *testing.T) {
	q := store.Question{Interval: store.Minute, From: time.Date(2026, 11, 27, 8, 0, 30, 0, time.UTC), To: time.Date(2026, 11, 27, 8, 3, 0, 0, time.UTC)}
	found := []store.Counted{{At: time.Date(2026, 11, 27, 8, 1, 0, 0, time.UTC), Counts: map[string]int64{"accepted": 7, "delivered": 5, "bounced": 1, "failed": 1, "deferred": 2}}}
	c := flowChart(buckets(q, found), q.Interval)
	if c.Empty || len(c.Columns) != 3 || len(c.Columns[0].Bars) != 0 || c.Ticks[0] != "10" {
		t.Fatalf("chart %+v", c)
	}
	total := 0.0
	for _, b := range c.Columns[1].Bars {
		total += b.H
	}
	if want := chartHeight * .9; total < want-.01 || total > want+.01 {
		t.Errorf("bars of %v, want %v", total, want)
	}
	u, err := url.Parse(c.Columns[1].Path)
	if err != nil || u.Query().Get("after") != "2026-11-27T08:01:00Z" || u.Query().Get("before") != "2026-11-27T08:02:00Z" {
		t.Errorf("leads to %s", c.Columns[1].Path)
	}
	if !strings.HasSuffix(c.Columns[1].Text, ": 7 accepted, 5 delivered, 2 deferred, 2 bounced or failed") || c.Rows[1].Cells[3] != "2" {
		t.Errorf("says %q, %v", c.Columns[1].Text, c.Rows[1])
	}
	if none := flowChart(buckets(q, nil), q.Interval); !none.Empty {
		t.Error("a chart of nothing is not empty")
	}
}

func TestLatencyChart(t *testing.T) {
	q := store.Question{Interval: store.Hour, From: time.Now().Add(-2 * time.Hour), To: time.Now()}
	list := buckets(q, nil)
	if c := latencyChart(list, q.Interval); !c.Empty {
		t.Error("a chart of nothing is not empty")
	}
	list[0].P50, list[0].P95, list[0].P99 = 20*time.Millisecond, 900*time.Millisecond, 40*time.Second
	c := latencyChart(list, q.Interval)
	if !slices.Equal(c.Ticks, []string{"1 min", "10 s", "1.0 s", "100 ms", "10 ms"}) && c.Ticks[len(c.Ticks)-1] != "10 ms" {
		t.Errorf("ticks %v", c.Ticks)
	}
	for _, l := range c.Lines {
		for _, y := range regexp.MustCompile(`,(-?[\d.]+)`).FindAllStringSubmatch(l.Points, -1) {
			if strings.HasPrefix(y[1], "-") || len(y[1]) > 5 {
				t.Errorf("%s leaves the chart: %s", l.Class, l.Points)
			}
		}
	}
}

func TestNiceTop(t *testing.T) {
	for n, want := range map[int64]int64{0: 2, 1: 2, 2: 2, 3: 4, 5: 6, 7: 10, 11: 16, 17: 20, 101: 160, 999: 1000, 1001: 1600} {
		if got := niceTop(n); got != want {
			t.Errorf("%d: %d, want %d", n, got, want)
		}
	}
}

func TestNumbersForPeople(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1\u202f000", 1234567: "1\u202f234\u202f567"} {
		if got := count(n); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
	for d, want := range map[time.Duration]string{0: "0 s", -time.Hour: "0 s", 90 * time.Second: "1 min", 3 * time.Hour: "3 h", 72 * time.Hour: "3 days"} {
		if got := ago(d); got != want {
			t.Errorf("%v: %q", d, got)
		}
	}
}
