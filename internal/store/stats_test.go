package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"postrider/internal/email"
)

// countAll plays the follower once.
func (f *fixture) countAll(t *testing.T) *Stretch {
	t.Helper()
	part, err := f.Deliveries.Unfollowed(t.Context(), email.Live, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	happened, broken, err := f.Deliveries.Happened(t.Context(), email.Live, part.Entries)
	if err != nil || len(broken) > 0 {
		t.Fatal(err, broken)
	}
	part.Tally = NewTally()
	for _, e := range part.Entries {
		sample, _ := happened[e.Message].Sample(e.Index)
		part.Tally.Count(sample, "example.org")
	}
	if moved, err := f.Deliveries.Follow(t.Context(), part, part.To, nil, start()); err != nil || !moved {
		t.Fatalf("Follow = %v, %v", moved, err)
	}
	return part
}

func TestStats(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		msg := f.accept(t, draft(f.Messages, "a@b.example", "c@b.example"))
		claim := f.begin(t, msg, 0, start())
		answer := &email.Reply{Code: 250, MXHost: "mx.example.org"}
		f.conclude(t, claim, start().Add(2*time.Second), email.Outcome{Recipient: 0, Status: email.Delivered, Reply: answer},
			email.Outcome{Recipient: 1, Status: email.Deferred, Reply: answer})
		part := f.countAll(t)
		// The script runs again, its reply was lost; and another has read the same.
		if moved, err := f.Deliveries.Follow(t.Context(), part, part.To, nil, start()); err != nil || !moved {
			t.Errorf("the same again: %v, %v", moved, err)
		}
		minute := start().Truncate(time.Minute)
		for group, value := range map[Group]string{ByStatus: "", ByTag: "welcome", ByStream: "transactional", ByProvider: "example.org"} {
			for _, interval := range Intervals() {
				got, err := f.Stats.Read(t.Context(), email.Live, Question{interval, group, start(), start().Add(time.Second)})
				want := []Counted{{
					At: minute.Truncate(interval.Length()), Value: value, Counts: map[string]int64{"accepted": 2, "delivered": 1, "deferred": 1},
				}}
				if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Counted{}), cmpopts.IgnoreFields(Counted{}, "P50", "P95", "P99")); diff != "" || err != nil {
					t.Fatalf("%s by %s (-want +got), %v:\n%s", interval, group, err, diff)
				}
				if p := got[0].P50; p < 1800*time.Millisecond || p > 2200*time.Millisecond || got[0].P99 != p {
					t.Errorf("%s by %s: latencies %v, %v", interval, group, got[0].P50, got[0].P99)
				}
				if ttl := f.rdb.PTTL(t.Context(), keysOf(email.Live, 0).stats(interval, minute.Truncate(interval.Length()).Unix())).Val(); ttl <= 0 || ttl > interval.Length()+interval.Kept() {
					t.Errorf("%s is kept for %v", interval, ttl)
				}
			}
		}
	})
}

// However many tags there are, a bucket stays small.
func TestStatsAreBounded(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		for i := range Minute.fields()/10 + 5 {
			s := draft(f.Messages, "a@b.example")
			s.Message.Tags = nil
			for j := range 10 {
				s.Message.Tags = append(s.Message.Tags, fmt.Sprintf("tag%d-%d", i, j))
			}
			f.accept(t, s)
		}
		f.countAll(t)
		key := keysOf(email.Live, 0).stats(Minute, start().Truncate(time.Minute).Unix())
		if n := f.rdb.HLen(t.Context(), key).Val(); n < int64(Minute.fields()) || n > int64(Minute.fields())+10 {
			t.Errorf("%d counters", n)
		}
		got, err := f.Stats.Read(t.Context(), email.Live, Question{Minute, ByTag, start(), start().Add(time.Second)})
		total := int64(0)
		for _, c := range got {
			total += c.Counts[Accepted]
		}
		if err != nil || got[0].Value != Rest || total != int64(Minute.fields()+50) {
			t.Errorf("%d counted, first %q, %v", total, got[0].Value, err)
		}
	})
}

// What the entries of the stream tell is what the messages would.
func TestSamplesTellWhatTheMessagesTell(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		msg := f.accept(t, draft(f.Messages, "ada@example.org"))
		began, err := f.Messages.Begin(t.Context(), msg.World, msg.ID, 0, 0, "w1", start())
		if err != nil {
			t.Fatal(err)
		}
		claim := Claim{World: msg.World, Message: msg.ID, Fence: began.Fence, Known: began.Message}
		f.conclude(t, claim, start().Add(2*time.Second), email.Outcome{
			Status: email.Delivered, Reply: &email.Reply{Code: 250, Text: "Ok", MXHost: "mx1.example.org", At: start()},
		})
		part, err := f.Deliveries.Unfollowed(t.Context(), email.Live, 0, 10)
		if err != nil || len(part.Entries) != 2 {
			t.Fatalf("Unfollowed = %+v, %v", part, err)
		}
		happened, _, err := f.Deliveries.Happened(t.Context(), email.Live, part.Entries)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range part.Entries {
			want, ok := happened[entry.Message].Sample(entry.Index)
			if !ok || entry.Sample == nil {
				t.Fatalf("entry %d tells %v, the message %t", entry.Index, entry.Sample, ok)
			}
			equal(t, "sample", *entry.Sample, want)
		}
	})
}
