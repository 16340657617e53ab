package store

import (
	"testing"
	"time"

	"postrider/internal/email"
)

func TestCensus(t *testing.T) {
	each(t, Options{Shards: 3}, func(t *testing.T, f *fixture) {
		if got, err := f.Messages.Census(t.Context(), email.Live); err != nil || got[email.Queued].Messages != 0 || !got[email.Queued].Oldest.IsZero() {
			t.Errorf("of nothing: %+v, %v", got, err)
		}
		var all []*email.Message
		for range 5 {
			all = append(all, f.accept(t, draft(f.Messages, "a@example.org")))
		}
		claim := f.begin(t, all[0], 0, start())
		f.conclude(t, claim, start(), email.Outcome{Status: email.Delivered})
		got, err := f.Messages.Census(t.Context(), email.Live)
		if err != nil {
			t.Fatal(err)
		}
		if got[email.Queued].Messages != 4 || got[email.Delivered].Messages != 1 || got[email.Bounced].Messages != 0 {
			t.Errorf("counted %+v", got)
		}
		id, err := email.ParseID(email.MessagePrefix, all[1].ID)
		if err != nil {
			t.Fatal(err)
		}
		if at := got[email.Queued].Oldest; !at.Equal(email.IDTime(id)) && at.Sub(email.IDTime(id)).Abs() > time.Millisecond {
			t.Errorf("the oldest that is queued is of %v, want %v", at, email.IDTime(id))
		}
	})
}

func TestSum(t *testing.T) {
	minute := func(delivered int64, latencies map[int]int64) Counted {
		return Counted{Counts: map[string]int64{"delivered": delivered}, latencies: latencies}
	}
	one, two := minute(3, map[int]int64{10: 3}), minute(97, map[int]int64{10: 92, 60: 5})
	sum := Sum([]Counted{one, two})
	if sum.Counts["delivered"] != 100 || sum.P50 != stepLatency(10) || sum.P95 != stepLatency(10) || sum.P99 != stepLatency(60) {
		t.Errorf("summed to %+v", sum)
	}
	if one.Counts["delivered"] != 3 {
		t.Error("a part was changed")
	}
	if none := Sum(nil); none.P99 != 0 || len(none.Counts) != 0 {
		t.Errorf("nothing sums to %+v", none)
	}
}
