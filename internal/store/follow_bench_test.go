package store

import (
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
	"postrider/internal/redistest"
)

// What it costs to follow the two events of a message that nobody wants to hear of: for
// the statistics.
func BenchmarkFollow(b *testing.B) {
	rdb := connect(b, redistest.Server(b))
	s := New(rdb, Options{})
	keys := keysOf(email.Live, 0)
	const messages = 100
	for i := range messages {
		d := draft(s.Messages, fmt.Sprintf("user%d@example.org", i))
		if _, _, err := s.Messages.Accept(b.Context(), d); err != nil {
			b.Fatal(err)
		}
		name := short(d.Message.ID)
		rdb.RPush(b.Context(), keys.events(name), `{"i":"`+eventBase()+`","a":1800000000123,"r":0,"s":"delivered","p":"queued","q":2,"k":1,`+
			`"y":{"c":250,"e":"2.0.0","t":"2.0.0 Ok: queued as 4Xyz","s":"data","h":"mx1.example.org","i":"192.0.2.1","v":"TLS1.3","a":1800000000123}}`)
		rdb.XAdd(b.Context(), &redis.XAddArgs{Stream: keys.stream(), Values: []any{"m", name, "p", 1}})
	}
	b.ReportAllocs()
	for b.Loop() {
		rdb.Del(b.Context(), keys.cursor())
		part, err := s.Deliveries.Unfollowed(b.Context(), email.Live, 0, 2*messages)
		if err != nil {
			b.Fatal(err)
		}
		happened, _, err := s.Deliveries.Briefly(b.Context(), email.Live, part.Entries)
		if err != nil {
			b.Fatal(err)
		}
		part.Tally = NewTally()
		for _, entry := range part.Entries {
			e, ok := happened[entry.Message].Sample(entry.Index)
			if !ok {
				b.Fatal("an event is missing")
			}
			part.Tally.Count(e, "example.org")
		}
		if moved, err := s.Deliveries.Follow(b.Context(), part, part.To, nil, start()); err != nil || !moved {
			b.Fatal(moved, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*messages), "us/message")
}
