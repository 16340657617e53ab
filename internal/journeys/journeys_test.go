package journeys

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"postrider/internal/app"
	"postrider/internal/config"
	"postrider/internal/dev"
	"postrider/internal/email"
	"postrider/internal/logtest"
	"postrider/internal/store"
	"postrider/smtpclient/smtptest"
)

// refusing is a relay that knows nobody whose name begins with "gone".
func refusing(t *testing.T) *smtptest.Server {
	return smtptest.New(t, smtptest.Options{Handle: func(c smtptest.Command) smtptest.Action {
		if c.Stage == "RCPT" && strings.HasPrefix(c.Path, "gone") {
			return smtptest.Reply("550 5.1.1 Nobody of this name lives here")
		}
		return smtptest.Pass()
	}})
}

// TestJourneys: what people come for, with sign-in, on each screen.
func TestJourneys(t *testing.T) {
	h := openHouse(t, refusing(t))
	b := startBrowser(t, h.URL())
	t.Run("sign-in", func(t *testing.T) {
		link := h.link()
		h.admit(t, b)
		delete(b.with, "session")
		b.do(t, "entry.twice", args{"link": link}, nil)
	})
	for _, s := range screens() {
		t.Run(s.name, func(t *testing.T) {
			b.with["width"] = s.width
			var session any
			t.Run("password", func(t *testing.T) {
				b.do(t, "entry.password", args{"name": adminName, "password": adminPassword}, &session)
			})
			b.with["session"] = session
			defer delete(b.with, "session")
			journeys(t, h, b, s.name)
			if s.name == "desk" {
				t.Run("two tabs", func(t *testing.T) {
					b.do(t, "journeys.twoTabs", args{"subject": "A test beside live mail"}, nil)
				})
				t.Run("sign in again while editing", func(t *testing.T) {
					b.do(t, "journeys.signedOut", args{"name": adminName, "password": adminPassword}, nil)
				})
			}
		})
	}
}

func journeys(t *testing.T, h *house, b *browser, screen string) {
	t.Run("find a bounced mail", func(t *testing.T) {
		gone := "gone+" + screen + "@plain.test"
		h.await(email.Live, h.send(email.Live, mail{"to": gone}), email.Bounced)
		b.do(t, "journeys.bounced", args{"recipient": gone, "says": "Nobody of this name lives here"}, nil)
	})
	t.Run("cancel a waiting one", func(t *testing.T) {
		subject := "Not today on the " + screen
		id := h.send(email.Live, mail{"to": "ada@plain.test", "subject": subject, "scheduled_at": time.Now().Add(48 * time.Hour)})
		b.do(t, "journeys.cancel", args{"subject": subject}, nil)
		h.await(email.Live, id, email.Canceled)
	})
	t.Run("replay a failed webhook", func(t *testing.T) {
		e := newEndpoint(t, http.StatusInternalServerError, "out of order")
		id := h.hook(email.Live, e.URL+"/"+screen, "message.delivered")
		h.await(email.Live, h.send(email.Live, mail{"to": "ada@plain.test"}), email.Delivered)
		h.failed(id)
		e.set(http.StatusOK, "thanks")
		b.do(t, "journeys.replay", args{"endpoint": e.URL + "/" + screen}, nil)
	})
	t.Run("pause a queue", func(t *testing.T) { b.do(t, "journeys.pause", nil, nil) })
	t.Run("make a key", func(t *testing.T) { b.do(t, "journeys.key", args{"name": "reports on the " + screen}, nil) })
	t.Run("publish a template", func(t *testing.T) {
		b.do(t, "journeys.publish", args{"subject": "Your receipt from the " + screen}, nil)
	})
	t.Run("suppress", func(t *testing.T) {
		b.do(t, "journeys.suppress", args{"address": "never+" + screen + "@plain.test"}, nil)
	})
	t.Run("send a test mail", func(t *testing.T) {
		b.do(t, "journeys.send", args{"subject": "A test from the " + screen}, nil)
	})
}

// failed waits until a delivery to a webhook has failed for good, and gives its id.
func (h *house) failed(webhook string) string {
	h.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		hook, err := h.Store.Webhooks.Get(h.t.Context(), email.Live, webhook)
		h.must(err)
		list, _, err := h.Store.Deliveries.List(h.t.Context(), hook, store.DeliveryFilter{Status: store.DeliveryFailed}, "", 1)
		h.must(err)
		if len(list) > 0 {
			return list[0].ID
		}
	}
	h.t.Fatal("no delivery failed")
	return ""
}

// TestJourneysInDev: the same in postrider dev, where nobody signs in.
func TestJourneysInDev(t *testing.T) {
	base := startDev(t)
	b := startBrowser(t, base)
	t.Run("send a test mail", func(t *testing.T) { b.do(t, "journeys.send", args{"subject": "A test mail"}, nil) })
	t.Run("pause a queue", func(t *testing.T) { b.do(t, "journeys.pause", args{"width": 375}, nil) })
	t.Run("make a key", func(t *testing.T) { b.do(t, "journeys.key", args{"name": "reports"}, nil) })
}

// startDev starts postrider dev and gives its address.
func startDev(t *testing.T) string {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	out, done := &logtest.Buffer{}, make(chan error, 1)
	go func() {
		done <- dev.Run(ctx, dev.Options{
			Config: config.Config{HTTPAddr: "127.0.0.1:0", Concurrency: 16, Envelope: "domain", AllowReservedDomains: true},
			Out:    out, Pace: app.Pace{Sandbox: time.Millisecond},
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("dev: %v", err)
		}
	})
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if _, rest, ok := strings.Cut(out.String(), "Dashboard "); ok {
			address, _, _ := strings.Cut(rest, "\n")
			return address
		}
	}
	t.Fatal("dev does not serve")
	return ""
}
