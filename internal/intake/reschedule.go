package intake

import (
	"context"
	"fmt"

	"postrider/internal/email"
)

// Reschedule gives a message that waits for its time another one: a time of RFC 3339
// under the same rules as at accept, nil for now. Errors: *[Invalid],
// [store.ErrNotFound], and [store.ErrNotScheduled] with the message if it does not
// wait any more.
func (d *Desk) Reschedule(ctx context.Context, w email.World, id string, when *string) (*email.Message, error) {
	c := &checker{desk: d, draft: &Draft{ScheduledAt: when}, faults: newFaultList(nil), msg: &email.Message{}}
	c.scheduledAt()
	if faults := c.faults.all(); len(faults) > 0 {
		return nil, &Invalid{Faults: faults}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	now := d.options.Now()
	msg, err := d.options.Store.Messages.Reschedule(ctx, w, id, c.msg.ScheduledAt, now)
	if err != nil {
		return msg, fmt.Errorf("reschedule %s: %w", id, err)
	}
	d.wake(ctx, msg, now)
	return msg, nil
}
