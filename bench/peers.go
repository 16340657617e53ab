package main

import (
	"context"
	"time"

	"postrider/bench/ledger"
	"postrider/bench/rig"
)

// wireMails are so many that a run at full speed takes some seconds.
const wireMails = 60000

// measurePeers measures what the subjects are seen against: the sink's own limit,
// and a mail server that gets the same mails over SMTP and relays them to the sink.
func measurePeers(ctx context.Context, r *rig.Rig, o *options, t *table) error {
	defer r.EndAll()
	sink, err := r.StartSink()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := wire(ctx, r, o, sink.SMTP, "wire", wireMails); err != nil {
		return err
	}
	rate := wireMails / time.Since(began).Seconds()
	say("%-14s %38.0f messages/s", "limit of the wire", rate)
	t.peer("The limit of the wire (a raw writer to the sink, no HTTP, no Redis): %.0f messages/s.", rate)
	if err := sink.Reset(); err != nil {
		return err
	}
	return measurePostfix(ctx, r, o, sink, t)
}

func measurePostfix(ctx context.Context, r *rig.Rig, o *options, sink *rig.Sink, t *table) error {
	postfix, err := r.StartPostfix(sink)
	if err != nil {
		say("Postfix is not measured: %v", err)
		t.peer("Postfix was not measured: %v.", err)
		return nil
	}
	if err := wire(ctx, r, o, postfix.Addr, "warm", warmUp); err != nil {
		return err
	}
	if err := sink.Await(ctx, warmUp, patience); err != nil {
		return err
	}
	if err := sink.Reset(); err != nil {
		return err
	}
	before, err := rig.TreeCPU(postfix.PID)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := wire(ctx, r, o, postfix.Addr, "postfix", o.n); err != nil {
		return err
	}
	if err := sink.Await(ctx, o.n, patience); err != nil {
		return err
	}
	after, err := rig.TreeCPU(postfix.PID)
	if err != nil {
		return err
	}
	arrivals, err := sink.Ledger()
	if err != nil {
		return err
	}
	rate, cpu := float64(o.n)/latest(arrivals).Sub(began).Seconds(), micros((after-before)/time.Duration(o.n))
	say("%-14s %38.0f messages/s", "Postfix", rate)
	t.peer("Debian's Postfix fed over SMTP with the same mails, relaying to the sink: %.0f messages/s, %.0f µs CPU each.", rate, cpu)
	return nil
}

func latest(arrivals []ledger.Arrival) (last time.Time) {
	for _, a := range arrivals {
		if a.At.After(last) {
			last = a.At
		}
	}
	return last
}
