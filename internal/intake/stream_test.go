package intake_test

import (
	"context"
	"testing"
	"time"

	"postrider/internal/email"
	"postrider/internal/intake"
	"postrider/internal/queue"
)

// A stream chooses the queue, and the store remembers it for those who add jobs later.
func TestStreams(t *testing.T) {
	b := inProcess(t, func(o *intake.Options) {
		o.Streams = map[string]string{"transactional": queue.Default, "codes": queue.Critical, "news": queue.Bulk}
	})
	for stream, class := range map[string]string{"": queue.Default, "transactional": queue.Default, "codes": queue.Critical, "news": queue.Bulk} {
		d := draft(func(d *intake.Draft) {
			if stream != "" {
				d.Stream = &stream
			}
		})
		msg := b.accept(t, live(d))
		if want := stream; msg.Class != class || (want != "" && msg.Stream != want) {
			t.Errorf("stream %q: %q in queue %q, want %q", stream, msg.Stream, msg.Class, class)
		}
		if last := len(b.jobs.class) - 1; b.jobs.class[last] != class {
			t.Errorf("stream %q: job in %q", stream, b.jobs.class[last])
		}
		checkStored(t, b, msg)
		entry, err := b.store.Messages.Entry(context.Background(), email.Live, msg.ID, 0)
		if err != nil || entry.Class != class {
			t.Errorf("stream %q: the sweeper looks in %q, %v", stream, entry.Class, err)
		}
		due, err := b.store.Messages.Due(context.Background(), email.Live, shard(t, msg), time.Now().Add(time.Hour), 10)
		if err != nil || due[len(due)-1].Class == "" {
			t.Errorf("due: %+v, %v", due, err)
		}
	}
	for _, unknown := range []string{"", "bulk", "News"} {
		b.one(t, draft(func(d *intake.Draft) { d.Stream = &unknown }), "#/stream invalid_format")
	}
}
