package worker

import (
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/email"
	"postrider/internal/store"
)

// deferred ends an attempt of a message with a deferral.
func (r *hookRig) deferred(m *email.Message) {
	r.t.Helper()
	claim := r.begun(r.get(m), "w1")
	now := r.now()
	a := &email.Attempt{StartedAt: now, EndedAt: now, Outcomes: []email.Outcome{{Status: email.Deferred}}}
	if _, err := r.store.Messages.Conclude(r.t.Context(), claim, a, now, now); err != nil {
		r.t.Fatal(err)
	}
}

// Each endpoint is posted what its filters let through, and nothing else.
func TestFilters(t *testing.T) {
	eachHooked(t, func(t *testing.T, r *hookRig) {
		filters := map[string]func(*store.Webhook){
			"all":         func(h *store.Webhook) { h.AllDeferrals = true },
			"first":       func(*store.Webhook) {},
			"types":       func(h *store.Webhook) { h.Events = []string{"message.deferred"} },
			"standard":    func(h *store.Webhook) { h.Events = nil },
			"tag":         func(h *store.Webhook) { h.TagsFilter = []string{"invoice", "receipt"} },
			"stream":      func(h *store.Webhook) { h.Streams = []string{"bulk"} },
			"both":        func(h *store.Webhook) { h.TagsFilter, h.Streams = []string{"receipt"}, []string{"bulk"} },
			"suppression": func(h *store.Webhook) { h.Events = []string{"suppression.*"} },
			"other world": func(h *store.Webhook) { h.World = email.Test },
		}
		targets := make(map[string]*target)
		for name, change := range filters {
			targets[name] = r.picky(status(200), change)
		}
		plain, tagged, bulk := draft("ada@example.org"), draft("bob@example.org"), draft("cy@example.org")
		tagged.Tags = []string{"welcome", "receipt"}
		bulk.Tags, bulk.Stream = []string{"receipt"}, "bulk"
		events := make(map[string]string) // id -> what it is
		for name, m := range map[string]*email.Message{"plain": plain, "tagged": tagged, "bulk": bulk} {
			r.accept(m)
			r.deferred(m)
			r.deferred(m)
			for n, word := range []string{" queued", " deferred", " deferred again"} {
				events[r.event(m, n).ID] = name + word
			}
		}
		r.suppress()
		var all []*target
		for _, to := range targets {
			all = append(all, to)
		}
		r.work(all...)
		for name, want := range map[string]string{
			"all": "bulk deferred, bulk deferred again, bulk queued, plain deferred, plain deferred again, plain queued, " +
				"suppression, tagged deferred, tagged deferred again, tagged queued",
			"first":    "bulk deferred, bulk queued, plain deferred, plain queued, suppression, tagged deferred, tagged queued",
			"types":    "bulk deferred, plain deferred, tagged deferred",
			"standard": "bulk deferred, plain deferred, tagged deferred",
			"tag":      "bulk deferred, bulk queued, tagged deferred, tagged queued",
			"stream":   "bulk deferred, bulk queued", "both": "bulk deferred, bulk queued",
			"suppression": "suppression", "other world": "",
		} {
			var got []string
			for _, id := range targets[name].posts() {
				word := events[id]
				if word == "" {
					word = "suppression"
				}
				got = append(got, word)
			}
			if slices.Sort(got); strings.Join(got, ", ") != want {
				t.Errorf("%s was told of %q\nwant %q", name, strings.Join(got, ", "), want)
			}
		}
	})
}

// suppress makes a suppression by hand, and its event.
func (r *hookRig) suppress() {
	r.t.Helper()
	_, err := r.store.Suppressions.Add(r.t.Context(), email.Live, []email.Suppression{{
		ID: email.NewID(email.SuppressionPrefix), World: email.Live, Email: "dee@example.org", Reason: email.SuppressedManual, CreatedAt: time.Now(),
	}}, time.Now())
	if err == nil {
		_, err = r.store.Suppressions.Follow(r.t.Context(), email.Live, 10)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}
