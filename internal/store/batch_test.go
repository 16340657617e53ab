package store

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"postrider/internal/email"
)

// batchOf is a batch of n messages, with what is kept of each.
func batchOf(f *fixture, n int) *Batch {
	b := &Batch{World: email.Live}
	id := email.NewID(email.BatchPrefix)
	for i := range n {
		s := draft(f.Messages, fmt.Sprintf("r%d@example.org", i), "second@example.net")
		s.Message.BatchID = id
		b.Items = append(b.Items, s)
	}
	return b
}

func (f *fixture) stage(t *testing.T, b *Batch) []*email.Message {
	t.Helper()
	list, err := f.Batches.Stage(t.Context(), b.Items)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestBatchIsNothingBeforeItsCommitAndAllAfter(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		b := batchOf(f, 3)
		staged := f.stage(t, b)
		if _, err := f.Messages.Get(t.Context(), email.Live, staged[0].ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("a staged message is there: %v", err)
		}
		if page, _, err := f.Messages.List(t.Context(), email.Live, Filter{}, "", 10); len(page) != 0 || err != nil {
			t.Errorf("staged messages are listed: %v, %v", page, err)
		}
		if due := f.due(t, start().Add(time.Hour)); len(due) != 0 {
			t.Errorf("staged messages are due: %v", due)
		}
		equal(t, "findings before", f.kinds(t), []string(nil))
		if _, err := f.Batches.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		for _, m := range staged {
			equal(t, "what Get reads", f.get(t, m), m)
			equal(t, "history", f.history(t, m), []string{"0:>queued", "1:>queued"})
			if c, err := f.Messages.Content(t.Context(), email.Live, m.ID); c == nil || err != nil {
				t.Errorf("content %v, %v", c, err)
			}
		}
		if due := f.due(t, start().Add(time.Hour)); len(due) != 6 {
			t.Errorf("%d envelopes are due", len(due))
		}
		equal(t, "findings after", f.kinds(t), []string(nil))
		if err := f.Batches.Discard(t.Context(), b.Items); err != nil {
			t.Fatal(err)
		}
		equal(t, "after a late discard", f.get(t, staged[0]), staged[0])
		f.conclude(t, f.begin(t, staged[0], 0, start()), start(), email.Outcome{Status: email.Delivered})
	})
}

func TestUnfinishedBatchIsPurged(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		b := batchOf(f, 2)
		f.stage(t, b)
		if _, err := f.Messages.Forget(t.Context(), email.Live, 0, start().Add(59*time.Minute), 10); err != nil {
			t.Fatal(err)
		}
		if n := len(f.allKeys(t)); n != 5 {
			t.Errorf("%d keys within the hour, want two stages, two bodies and the set", n)
		}
		if _, err := f.Messages.Forget(t.Context(), email.Live, 0, start().Add(61*time.Minute), 10); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Batches.Commit(t.Context(), b); !errors.Is(err, ErrStageGone) {
			t.Errorf("commit after the purge: %v", err)
		}
		equal(t, "keys left", len(f.allKeys(t)), 0)
	})
}

func TestCommitKnowsTheKeysOfItems(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		single := draft(f.Messages, "ada@example.org")
		single.IdempotencyKey = "item/1"
		f.accept(t, single)
		b := batchOf(f, 2)
		b.Items[1].IdempotencyKey = "item/1"
		staged := f.stage(t, b)
		var taken *KeyTaken
		if _, err := f.Batches.Commit(t.Context(), b); !errors.As(err, &taken) || taken.Item != 1 {
			t.Fatalf("commit: %v", err)
		}
		b.Items[1].IdempotencyKey = "item/2"
		if _, err := f.Batches.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		got, err := f.Messages.Replay(t.Context(), email.Live, "item/2", [32]byte{})
		if err != nil || got == nil || got.ID != staged[1].ID {
			t.Errorf("replay of an item: %v, %v", got, err)
		}
		equal(t, "findings", f.kinds(t), []string(nil))
	})
}

// What is suppressed after its message was judged and before the commit is found by Begin.
func TestBatchMeetsSuppressions(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		f.suppress(t, "R1@example.org", nil)
		b := batchOf(f, 2)
		listed, err := f.Messages.Listed(t.Context(), b.Items[0].Message, b.Items[1].Message)
		if err != nil || len(listed) != 2 || len(listed[0]) != 0 || len(listed[1]) != 1 {
			t.Errorf("listed %v, %v", listed, err)
		}
		staged := f.stage(t, b)
		f.suppress(t, "r0@example.org", nil)
		if _, err := f.Batches.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		s, err := f.Messages.Begin(t.Context(), email.Live, staged[0].ID, 0, 0, "worker-1", start())
		if err != nil || s.Verdict != Over {
			t.Errorf("Begin = %+v, %v; want it over", s, err)
		}
		if got := statuses(f.get(t, staged[0])); got != "suppressed/manual queued" {
			t.Errorf("after Begin: %s", got)
		}
	})
}
