package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postrider/internal/queue"
	"postrider/internal/store"
)

// The kinds of findings about jobs; the store has more.
const (
	kindJob      = "job"      // the queue and the record
	kindArchived = "archived" // a job that does not run again
	kindPayload  = "payload"  // a job that cannot be read
)

// repairedWithin is how soon a sweeper that runs gives a waiting envelope a job.
const repairedWithin = 45 * time.Second

// Fsck compares all that is stored, and the jobs with it, and reports each
// disagreement. It changes nothing, and may run while mail flows.
func Fsck(ctx context.Context, s *store.Store, q *queue.Client, report func(store.Finding)) (store.Checked, error) {
	f := &fsck{store: s, queue: q, report: report}
	count, err := s.Messages.Check(ctx, store.CheckOptions{Report: report, Waiting: f.waiting, Pending: f.pending})
	if err == nil {
		var more int
		more, err = s.Suppressions.Check(ctx, report)
		f.findings += more
	}
	for _, class := range queue.Classes() {
		if err == nil {
			err = q.Jobs(ctx, class, func(j queue.Job) error { return f.job(ctx, j) })
		}
	}
	if err == nil {
		err = q.Jobs(ctx, queue.Notify, func(j queue.Job) error { return f.notice(ctx, j) })
	}
	count.Findings += f.findings
	return count, err
}

// fsck is one comparison of the queue with the store.
type fsck struct {
	store    *store.Store
	queue    *queue.Client
	report   func(store.Finding)
	findings int
}

func (f *fsck) found(kind string, d queue.Delivery, format string, args ...any) {
	f.tell(store.Finding{Kind: kind, World: d.World, Where: d.Message, Text: fmt.Sprintf(format, args...)})
}

func (f *fsck) tell(found store.Finding) {
	f.findings++
	f.report(found)
}

// pending looks for the job of a delivery to a webhook that should have been woken
// long ago.
func (f *fsck) pending(ctx context.Context, d *store.Delivery, due time.Time) error {
	late := time.Since(due)
	if late < repairedWithin {
		return nil
	}
	state, err := f.queue.NotificationState(ctx, queue.Notification{World: d.World, Delivery: d.ID, Generation: d.Generation})
	if err != nil || (state != queue.Absent && state != queue.Archived) {
		return err
	}
	f.tell(store.Finding{Kind: kindJob, World: d.World, Where: d.ID, Text: fmt.Sprintf(
		"it is pending, its job is %s, and no sweeper has looked for %v: is a worker running?", state, late.Round(time.Second))})
	return nil
}

// notice looks whether a job for a webhook could ever have been asked for. One whose
// delivery is gone is harmless, and so is an old generation's: they find nothing to do.
func (f *fsck) notice(ctx context.Context, j queue.Job) error {
	n := j.Notification
	found := store.Finding{World: n.World, Where: n.Delivery}
	if j.Err != nil {
		found = store.Finding{Kind: kindPayload, Where: j.ID, Text: fmt.Sprintf("a job that cannot be read, %s", j.State)}
		f.tell(found)
		return nil
	}
	if j.State == queue.Archived {
		found.Kind, found.Text = kindArchived, "its job does not run again"
		f.tell(found)
	}
	// Read after the job: the record's generation is made before its job.
	d, err := f.store.Deliveries.Get(ctx, n.World, n.Delivery)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrBroken) {
		return nil // the latter was named already
	}
	if err == nil && n.Generation > d.Generation {
		found.Kind, found.Text = kindJob, "a job with a generation to come"
		f.tell(found)
	}
	return err
}

// waiting looks for the job of an envelope that should have been woken long ago.
func (f *fsck) waiting(ctx context.Context, e store.Entry, due time.Time) error {
	late := time.Since(due)
	if late < repairedWithin {
		return nil
	}
	d := queue.Delivery{World: e.World, Message: e.Message, Envelope: e.Envelope, Generation: e.State.Generation}
	state, err := f.queue.State(ctx, e.Class, d)
	if err != nil {
		return err
	}
	switch state {
	case queue.Pending, queue.Scheduled, queue.Retrying, queue.Active:
		return nil
	}
	f.found(kindJob, d, "envelope %d waits, its job is %s, and no sweeper has looked for %v: is a worker running?",
		e.Envelope, state, late.Round(time.Second))
	return nil
}

// job looks whether a job could ever have been asked for. An old generation's is
// harmless: it finds its work done.
func (f *fsck) job(ctx context.Context, j queue.Job) error {
	if j.Err != nil {
		f.found(kindPayload, queue.Delivery{Message: j.ID}, "a job that cannot be read, %s", j.State)
		return nil
	}
	d := j.Delivery
	if j.State == queue.Archived {
		f.found(kindArchived, d, "the job of envelope %d does not run again", d.Envelope)
	}
	// Read after the job: the record's generation is made before its job.
	m, err := f.store.Messages.Get(ctx, d.World, d.Message)
	switch {
	case errors.Is(err, store.ErrNotFound):
		f.found(kindJob, d, "a job of a message that is not there")
	case errors.Is(err, store.ErrBroken): // named already
	case err != nil:
		return err
	case d.Envelope >= len(m.Envelopes):
		f.found(kindJob, d, "a job of envelope %d, which is not there", d.Envelope)
	case d.Generation > m.Envelopes[d.Envelope].State.Generation:
		f.found(kindJob, d, "a job of envelope %d with a generation to come", d.Envelope)
	}
	return nil
}
