package worker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"postrider/internal/email"
)

func TestPanicsQuarantine(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		r.sender.acts = []act{{before: func(context.Context) { panic("canary-7f3a") }}}
		m := r.accept(draft("a@b.test"))
		for i := range 5 {
			if s := r.get(m).Envelopes[0].State; s.Deaths != i || s.Phase != email.Waiting {
				t.Fatalf("after %d panics: %+v", i, s)
			}
			r.deliver(m)
		}
		got := r.get(m)
		if statuses(got) != "deferred/quarantined" || len(r.sender.transactions()) != 5 {
			t.Errorf("ended %s after %d transactions", statuses(got), len(r.sender.transactions()))
		}
		if log := r.log.String(); strings.Contains(log, "canary") || !strings.Contains(log, "quarantine_test.go") {
			t.Errorf("log: %s", log)
		}
		r.deliver(m) // a job that is left wakes nobody
		r.pass()
		if len(r.sender.transactions()) != 5 {
			t.Error("tried again in quarantine")
		}
		r.skip(4 * day)
		r.pass()
		if got = r.get(m); statuses(got) != "failed/local_error" {
			t.Errorf("at its end: %s", statuses(got))
		}
	})
}

func TestPanicPastTheMarkIsAnUnknownOutcome(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		r.sender.acts = []act{{after: func(context.Context) { panic("late") }}, {}}
		m := r.deliver(r.accept(draft("a@b.test")))
		if s := m.Recipients[0].State; s.Status != email.Deferred || s.Unknowns != 1 || m.Envelopes[0].State.Deaths != 1 {
			t.Fatalf("%+v, %+v", s, m.Envelopes[0].State)
		}
		r.skip(day)
		if m = r.deliver(m); statuses(m) != "delivered" || m.Envelopes[0].State.Deaths != 0 {
			t.Errorf("ended %s, %+v", statuses(m), m.Envelopes[0].State)
		}
	})
}

func TestDeadWorkersQuarantine(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		m := r.accept(draft("a@b.test"))
		for i := range 5 {
			r.begun(r.get(m), fmt.Sprintf("dead-%d", i))
			r.pass()
		}
		if m = r.get(m); statuses(m) != "deferred/quarantined" {
			t.Fatalf("ended %s, %+v", statuses(m), m.Envelopes[0].State)
		}
		if _, err := r.store.Messages.Free(t.Context(), m.World, m.ID, 0, r.now()); err != nil {
			t.Fatal(err)
		}
		r.pass()
		if m = r.deliver(m); statuses(m) != "delivered" {
			t.Errorf("freed, it ended %s", statuses(m))
		}
	})
}

// Hostile and corrupt records are put out of the way, and the worker lives.
func TestCorruptRecords(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		key := func(m *email.Message, kind string) string {
			return "live:{s0}:" + kind + ":" + strings.TrimPrefix(m.ID, "msg_")
		}
		content := r.accept(draft("a@b.test"))
		r.rdb.Set(t.Context(), key(content, "b"), "not packed", 0)
		var lost []*email.Message
		for _, spoil := range []func(record string){
			func(record string) { r.rdb.HSet(t.Context(), record, "s", "{") },
			func(record string) {
				r.rdb.HSet(t.Context(), record, "s", `{"r":[{"s":"queued"}],"e":[{"p":"wait","f":"x"}]}`)
			},
			func(record string) { r.rdb.HSet(t.Context(), record, "m", "[]") },
			func(record string) { r.rdb.Del(t.Context(), record); r.rdb.Set(t.Context(), record, "x", 0) },
		} {
			m := r.accept(draft("a@b.test"))
			spoil(key(m, "m"))
			lost = append(lost, m)
		}
		for _, m := range append(slices.Clone(lost), content) {
			if err := r.Deliver(t.Context(), r.job(m, 0)); err != nil {
				t.Errorf("Deliver = %v", err)
			}
		}
		if got := r.get(content); statuses(got) != "deferred/quarantined" {
			t.Errorf("without its content: %s", statuses(got))
		}
		whole := r.accept(draft("a@b.test"))
		r.pass()
		r.deliver(whole)
		if whole = r.get(whole); statuses(whole) != "delivered" {
			t.Errorf("a whole message: %s", statuses(whole))
		}
		if n := r.rdb.ZCard(t.Context(), "live:{s0}:broken").Val(); n != int64(len(lost)) {
			t.Errorf("%d set aside, want %d\n%s", n, len(lost), r.log)
		}
		due := r.rdb.ZRange(t.Context(), "live:{s0}:due", 0, -1).Val()
		if len(due) != 1 || !strings.HasPrefix(due[0], strings.TrimPrefix(content.ID, "msg_")) {
			t.Errorf("due: %q", due)
		}
	})
}
