package worker

import (
	"context"
	"fmt"
	"slices"
	"time"

	"postrider/internal/email"
	"postrider/internal/queue"
	"postrider/internal/shape"
	"postrider/internal/store"
	"postrider/smtpclient"
)

// delivery is one job that holds the fence of its envelope.
type delivery struct {
	w        *Worker
	job      queue.Delivery
	claim    store.Claim
	m        *email.Message
	env      *email.Envelope
	content  *email.Content
	composed []byte // or the whole mail, if it is at hand
	to       []int  // recipients that are not final
	begun    time.Time
}

// Deliver is the queue's handler: one attempt at one envelope. It returns nil
// whatever came of the mail, even if it panicked over it, and an error only if the
// store could not be asked or told; then nothing is lost, and the queue or the
// sweeper comes back.
func (w *Worker) Deliver(ctx context.Context, job queue.Delivery) error {
	err := w.deliver(ctx, job)
	if err != nil {
		w.orphans.add(job, w.o.Now())
	}
	return err
}

func (w *Worker) deliver(ctx context.Context, job queue.Delivery) (err error) {
	w.running.add(idOfJob(job))
	defer w.running.remove(idOfJob(job))
	start, err := w.o.Store.Messages.Begin(ctx, job.World, job.Message, job.Envelope, job.Generation, w.o.ID, w.o.Now())
	if err != nil {
		return w.unreadable(ctx, job, start, err)
	}
	switch start.Verdict {
	case store.Begun:
	case store.Early:
		return w.postpone(ctx, job, start.Message)
	default: // done, superseded, or in another's hands: the due entry sees to it
		return nil
	}
	d := w.delivery(job, start)
	defer d.survive(ctx, &err)
	w.o.Metrics.inFlight.Inc()
	defer w.o.Metrics.inFlight.Dec()
	// Again: the process that took it may have died before it had done so.
	if err := w.o.Store.Messages.Supersede(ctx, w.o.Now(), d.m); err != nil {
		return err
	}
	if !d.w.o.Now().Before(d.expires()) {
		return d.expire(ctx)
	}
	plan, later, err := d.plan(ctx)
	switch {
	case err != nil:
		return d.unplanned(ctx, err)
	case !later.IsZero():
		return d.release(ctx, store.Wait{Until: later, Hold: email.HoldDNS, Detail: "waits for its turn to ask about " + d.env.Domain})
	}
	slot, later := w.o.Shaper.Wait(ctx, plan.Provider, d.m.Class, w.o.Patience)
	if slot == nil {
		w.o.Metrics.putOff.Inc()
		return d.release(ctx, w.hold(plan.Provider, later)) // not now is no failure, and no attempt
	}
	defer slot.Release(shape.Neutral)
	return d.attempt(ctx, plan, slot)
}

func (w *Worker) delivery(job queue.Delivery, start *store.Start) *delivery {
	d := &delivery{
		w: w, job: job, m: start.Message, content: start.Content, composed: start.Composed, begun: w.o.Now(),
		claim: store.Claim{World: job.World, Message: job.Message, Envelope: job.Envelope, Fence: start.Fence, Known: start.Message},
	}
	d.env = &d.m.Envelopes[job.Envelope]
	d.to = open(d.m, job.Envelope)
	return d
}

// open lists the recipients of an envelope that are not final.
func open(m *email.Message, envelope int) []int {
	var to []int
	for _, i := range m.Envelopes[envelope].Recipients {
		if !m.Recipients[i].State.Status.Final() {
			to = append(to, i)
		}
	}
	return to
}

// postpone gives an envelope whose job came before its time a new job.
func (w *Worker) postpone(ctx context.Context, job queue.Delivery, m *email.Message) error {
	entry := store.Entry{
		World: job.World, Message: job.Message, Envelope: job.Envelope, Class: m.Class,
		State: m.Envelopes[job.Envelope].State, ExpiresAt: m.ExpiresAt,
	}
	generation, err := w.o.Store.Messages.Advance(ctx, entry, w.o.Now())
	if err != nil {
		return fmt.Errorf("postpone %s envelope %d: %w", job.Message, job.Envelope, err)
	}
	w.wake(ctx, entry.Class, job, &store.Concluded{Generation: generation, NextAt: entry.State.NextAt})
	return nil
}

// attempt sends once and writes down what came of it.
func (d *delivery) attempt(ctx context.Context, plan smtpclient.Plan, slot *shape.Slot) error {
	mail, err := d.compose(ctx)
	if err != nil {
		slot.Release(shape.Neutral)
		return d.unfit(ctx, err)
	}
	result := d.w.o.Sender.Send(ctx, plan, mail)
	v := d.trial().judge(result)
	interrupted := ctx.Err() != nil && !v.decided
	if interrupted {
		v.feedback = shape.Neutral
	}
	slot.Release(v.feedback)
	switch {
	case v.lost:
		d.w.o.Log.Info("attempt stopped: another holds the envelope", "message", d.m.ID, "envelope", d.job.Envelope)
		return nil
	case interrupted:
		return d.release(ctx, store.Wait{Until: d.w.o.Now(), Hold: email.HoldQueue})
	case v.unmarked && len(v.outcomes) == 0:
		d.w.o.Log.Warn("nothing sent: the store was away at the mark", "message", d.m.ID, "envelope", d.job.Envelope)
		// Not a release: the mark may stand, and only its answer be lost.
		return d.conclude(ctx, &email.Attempt{Envelope: d.job.Envelope}, v.nextAt)
	}
	a := record(d, plan, result, v)
	d.log(ctx, a)
	return d.conclude(ctx, a, v.nextAt)
}

func (d *delivery) trial() *trial {
	return &trial{
		m: d.m, envelope: d.job.Envelope, to: d.to, expires: d.expires(), now: d.w.o.Now(), schedule: d.w.o.Schedule,
		spare: slices.Contains(d.w.o.SpareStreams, d.m.Stream),
	}
}

// expires is when to give up. A sandbox envelope lives for a short while after its
// first attempt, however long it waited for that.
func (d *delivery) expires() time.Time { return d.w.o.Schedule.expires(d.m, d.job.Envelope) }

func (s Schedule) expires(m *email.Message, envelope int) time.Time {
	at := m.ExpiresAt
	if !m.Envelopes[envelope].Sandbox {
		return at
	}
	for _, i := range m.Envelopes[envelope].Recipients {
		first := m.Recipients[i].State.FirstAttemptAt
		if end := first.Add(s.SandboxLife); !first.IsZero() && end.Before(at) {
			at = end
		}
	}
	return at
}

// conclude writes an attempt's outcomes down and wakes what is left.
func (d *delivery) conclude(ctx context.Context, a *email.Attempt, nextAt time.Time) error {
	return d.giveBack(ctx, func(ctx context.Context) (*store.Concluded, error) {
		now := d.w.o.Now()
		done, err := d.w.o.Store.Messages.Conclude(ctx, d.claim, a, nextAt, now)
		if err == nil {
			d.w.o.Metrics.concluded(d.m, a, now)
		}
		return done, err
	})
}

// release gives the envelope back without an attempt, to be looked at again at a
// time that is never past its end of life.
func (d *delivery) release(ctx context.Context, wait store.Wait) error {
	if end := d.expires(); wait.Until.After(end) {
		wait.Until = end
	}
	return d.giveBack(ctx, func(ctx context.Context) (*store.Concluded, error) {
		return d.w.o.Store.Messages.Release(ctx, d.claim, wait, d.w.o.Now())
	})
}

// hold says why a provider gives no slot until later.
func (w *Worker) hold(provider string, later time.Time) store.Wait {
	if w.o.Shaper.Resting(provider) {
		return store.Wait{Until: later, Hold: email.HoldBreaker, Detail: provider + " is left alone for a while after it pushed back or could not be reached"}
	}
	return store.Wait{Until: later, Hold: email.HoldProvider, Detail: "all connections to " + provider + " are in use"}
}

// log writes the attempt's one line: ids, provider and counts, no addresses.
func (d *delivery) log(ctx context.Context, a *email.Attempt) {
	counts := make(map[email.Status]int)
	unknown := 0
	for _, o := range a.Outcomes {
		counts[o.Status]++
		if o.Unknown {
			unknown++
		}
	}
	d.w.o.Log.InfoContext(ctx, "attempt", "message", d.m.ID, "envelope", a.Envelope, "number", a.Number, "fence", a.Fence,
		"provider", a.Provider, "delivered", counts[email.Delivered], "bounced", counts[email.Bounced],
		"deferred", counts[email.Deferred], "failed", counts[email.Failed], "unknown", unknown,
		"ms", a.EndedAt.Sub(a.StartedAt).Milliseconds())
}
