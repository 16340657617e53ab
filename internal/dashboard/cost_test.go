package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
	"postrider/internal/redistest"
	"postrider/internal/store"
)

// commands counts what is sent to Redis.
type commands struct{ atomic.Int64 }

func (c *commands) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *commands) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.Add(1)
		return next(ctx, cmd)
	}
}

func (c *commands) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, list []redis.Cmder) error {
		c.Add(int64(len(list)))
		return next(ctx, list)
	}
}

// What a page asks of Redis is bounded: it does not grow with the number of messages.
func TestCommandsOfPages(t *testing.T) {
	const (
		waiting   = 1300 // more than any page may ask for
		deferrals = 150
		held      = 60
		walk      = 1010 // a search that no index helps reads 1,000 records
	)
	w := worldOn(t, redistest.Server(t))
	var last *email.Message
	for i := range waiting + deferrals + held {
		last = message(fmt.Sprintf("mail %d", i), fmt.Sprintf("user%d@sandbox.test", i))
		w.accept(last, &email.Content{Text: "x"})
		switch {
		case i < held:
			w.quarantine(last, "the fault of a test")
		case i < held+deferrals:
			w.attempt(last, email.Attempt{Number: 1, Outcomes: []email.Outcome{{Status: email.Deferred, Category: "other"}}}, time.Now().Add(time.Hour))
		}
	}
	hook := w.hook(200, "")
	deliveries := w.deliveries(hook)
	if len(deliveries) < 2*deliveriesShown {
		t.Fatalf("only %d deliveries", len(deliveries))
	}
	counted := &commands{}
	w.rdb.AddHook(counted)
	for path, most := range map[string]int64{
		"/":                                               450, // counters of an hour by the minute, 100 deferred messages
		"/?range=month":                                   300,
		"/ui/messages":                                    60,
		"/ui/messages?status=deferred":                    60,
		"/ui/messages?q=mail":                             60,
		"/ui/messages?q=tag:receipt":                      60,
		"/ui/messages?q=user7@sandbox.test":               10,
		"/ui/messages?q=nothing+of+the+kind":              walk,
		"/ui/messages?q=domain:nowhere.test":              walk,
		"/ui/messages?q=from:nobody@acme.test":            walk,
		"/ui/messages?q=%3Cforeign@acme.test%3E":          walk,
		"/ui/messages?q=tag:receipt+from:no@acme.test":    walk,
		"/ui/messages?status=bounced&domain=nowhere.test": 10,
		"/ui/messages/" + last.ID:                         15,
		"/ui/jobs":                                        20,
		"/ui/jobs/default":                                70,
		"/ui/jobs/quarantine":                             110,
		"/ui/inbox":                                       0,
		"/ui/webhooks":                                    10,
		"/ui/webhooks/" + hook.ID:                         70,
		"/ui/webhooks/" + hook.ID + "/deliveries/" + deliveries[0].ID: 10,
		"/ui/suppressions": 10,
		"/ui/keys":         5,
		"/ui/templates":    10,
		"/ui/domains":      5,
		"/ui/settings":     5,
		"/ui/send":         10,
	} {
		counted.Store(0)
		body(t, w.get(path), http.StatusOK)
		if n := counted.Load(); n > most {
			t.Errorf("%s sends %d commands, more than %d", path, n, most)
		} else {
			t.Logf("%s: %d", path, n)
		}
	}
}

// quarantine has a message held, as a worker that cannot do it does.
func (w *world) quarantine(m *email.Message, why string) {
	w.t.Helper()
	ctx, now := context.Background(), time.Now().UTC()
	start, err := w.store.Messages.Begin(ctx, email.Test, m.ID, 0, 0, "worker", now)
	if err != nil || start.Verdict != store.Begun {
		w.t.Fatalf("begin: %v, %+v", err, start)
	}
	if _, err := w.store.Messages.Quarantine(ctx, store.Claim{World: email.Test, Message: m.ID, Fence: start.Fence}, why, now); err != nil {
		w.t.Fatal(err)
	}
}
