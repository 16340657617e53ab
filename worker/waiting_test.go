package worker

import (
	"errors"
	"strings"
	"testing"
	"time"

	"postrider/internal/email"
	"postrider/internal/queue"
	"postrider/internal/shape"
	"postrider/smtpclient/mx"
)

// An envelope that is put off says why until its next attempt begins.
func TestWhyItWaits(t *testing.T) {
	temporary := &mx.Error{Domain: "b.test", Kind: mx.DNSFailure, Enhanced: "4.4.3", Temporary: true, Err: errors.New("SERVFAIL")}
	each(t, func(t *testing.T, r *rig) {
		reason := func(m *email.Message) email.Hold {
			if w := m.WaitingFor(0, m.CreatedAt); w != nil {
				return w.Reason
			}
			return ""
		}
		r.router.errs = []error{temporary, errors.New("no file handles"), nil}
		m := r.accept(draft("a@b.test"))
		if got := r.deliver(m); reason(got) != email.HoldDNS || !strings.Contains(got.Envelopes[0].State.HoldDetail, "SERVFAIL") {
			t.Errorf("without DNS it waits for %s: %+v", reason(got), got.Envelopes[0].State)
		}
		r.skip(time.Minute)
		if got := r.deliver(m); reason(got) != email.HoldFault {
			t.Errorf("with a fault of ours it waits for %s", reason(got))
		}
		for range 3 {
			slot, _ := r.o.Shaper.Acquire("provider.test", queue.Default)
			if slot == nil {
				t.Fatal("no slot to fail with")
			}
			slot.Release(shape.Dead)
		}
		r.skip(time.Minute)
		if got := r.deliver(m); reason(got) != email.HoldBreaker {
			t.Errorf("with an open breaker it waits for %s", reason(got))
		}
		r.sender.acts = []act{{dot: fault("dot", 451, "", "later")}}
		for range 1000 { // the pause is a few milliseconds
			if r.skip(time.Minute); len(r.attempts(r.deliver(m))) > 0 {
				break
			}
			time.Sleep(2 * time.Millisecond)
		}
		if got := r.deliver(m); got.Envelopes[0].State.Hold != "" || len(r.attempts(got)) == 0 {
			t.Errorf("an attempt leaves the hold %q", got.Envelopes[0].State.Hold)
		}
	})
}
