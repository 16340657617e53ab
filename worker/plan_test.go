package worker

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"postrider/internal/email"
	"postrider/internal/redistest"
	"postrider/smtpclient"
	"postrider/smtpclient/mx"
)

// resolver is a Router that waits for DNS: for ever where mute is set.
type resolver struct {
	mute    map[string]bool
	asked   atomic.Int64 // at once, about the mute
	most    atomic.Int64
	planned atomic.Int64
}

func (r *resolver) Plan(ctx context.Context, m *email.Message, envelope int) (smtpclient.Plan, error) {
	domain := m.Envelopes[envelope].Domain
	r.planned.Add(1)
	if !r.mute[domain] {
		return smtpclient.Plan{Domain: domain, Provider: domain}, nil
	}
	n := r.asked.Add(1)
	defer r.asked.Add(-1)
	for most := r.most.Load(); n > most && !r.most.CompareAndSwap(most, n); most = r.most.Load() {
	}
	<-ctx.Done()
	return smtpclient.Plan{}, &mx.Error{Domain: domain, Kind: mx.DNSFailure, Temporary: true, Err: ctx.Err()}
}

// Mail to a domain whose name server is silent holds few handlers: other mail goes
// as if it were not there.
func TestSilentDNSHoldsNobodyUp(t *testing.T) {
	for _, domains := range []int{1, 12} {
		t.Run(fmt.Sprint(domains, " domains"), func(t *testing.T) {
			r := newRig(t, redistest.Server(t))
			dark := &resolver{mute: make(map[string]bool)}
			r.o.Router, r.o.Patience = dark, 50*time.Millisecond
			for i := range 200 {
				domain := fmt.Sprintf("mute%d.test", i%domains)
				dark.mute[domain] = true
				r.post(draft("a@" + domain))
			}
			var healthy []*email.Message
			for range 20 {
				healthy = append(healthy, r.post(draft("a@b.test")))
			}
			r.serve(r.Worker) // 20 handlers
			for _, m := range healthy {
				if m = r.final(m); statuses(m) != "delivered" {
					t.Fatalf("ended %s", statuses(m))
				}
			}
			if n := dark.most.Load(); n > 16 {
				t.Errorf("%d handlers waited for silent name servers at once", n)
			}
		})
	}
}

// A domain that answered is asked about by all at once, and no longer when it
// falls silent.
func TestTrustInADomainsDNS(t *testing.T) {
	r := newRig(t, redistest.InProcess(t))
	dark := &resolver{mute: make(map[string]bool)}
	r.o.Router, r.o.Patience = dark, 20*time.Millisecond
	first := r.deliver(r.accept(draft("a@b.test")))
	if statuses(first) != "delivered" || !r.answering.has("b.test") {
		t.Fatalf("ended %s", statuses(first))
	}
	for range 2 { // all slots for lookups about it are taken, and not needed
		if slot, _ := r.o.Planning.Acquire("b.test", "default"); slot == nil {
			break
		}
	}
	if m := r.deliver(r.accept(draft("a@b.test"))); statuses(m) != "delivered" {
		t.Errorf("ended %s", statuses(m))
	}
	dark.mute["b.test"] = true
	m := r.deliver(r.accept(draft("a@b.test")))
	if s := m.Recipients[0].State; s.Status != email.Queued || s.Seq != 1 || m.Envelopes[0].State.Phase != email.Waiting {
		t.Errorf("%+v, %+v", s, m.Envelopes[0].State)
	}
	if r.answering.has("b.test") {
		t.Error("still trusted")
	}
}

func TestAnswered(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, true},
		{&mx.Error{Kind: mx.NoDomain}, true},
		{&mx.Error{Kind: mx.DNSFailure, Temporary: true}, false},
		{errors.New("redis is away"), false},
	} {
		if got := answered(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
	a := newAnswering()
	for i := range maxAnswering + 10 {
		a.add(fmt.Sprint(i))
	}
	if len(a.domains) != maxAnswering || !a.has(fmt.Sprint(maxAnswering+9)) {
		t.Errorf("%d domains", len(a.domains))
	}
}
