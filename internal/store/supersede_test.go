package store

import (
	"testing"

	"postrider/internal/email"
)

// keyed is a draft with a Supersede key.
func keyed(f *fixture, key string, addresses ...string) *Submission {
	s := draft(f.Messages, addresses...)
	s.Message.Supersede = key
	return s
}

func (f *fixture) supersede(t *testing.T, msg *email.Message) {
	t.Helper()
	if err := f.Messages.Supersede(t.Context(), start(), msg); err != nil {
		t.Fatal(err)
	}
}

func TestSupersede(t *testing.T) {
	for _, shards := range []int{1, 4} {
		each(t, Options{Shards: shards}, func(t *testing.T, f *fixture) {
			old := f.accept(t, keyed(f, "code", "ada@example.org", "bob@example.org"))
			other := f.accept(t, keyed(f, "other", "ada@example.org"))
			flying := f.accept(t, keyed(f, "code", "ada@example.org"))
			claim := f.begin(t, flying, 0, start())
			newest := f.accept(t, keyed(f, "code", "Ada@example.org"))
			f.supersede(t, newest)
			equal(t, "the old one", statuses(f.get(t, old)), "canceled/superseded queued")
			equal(t, "another key", statuses(f.get(t, other)), "queued")
			equal(t, "the newest", statuses(f.get(t, newest)), "queued")
			if got := f.get(t, flying); statuses(got) != "queued" || !got.Recipients[0].State.CancelRequested {
				t.Errorf("in flight: %s", statuses(got))
			}
			f.conclude(t, claim, start(), email.Outcome{Status: email.Deferred})
			equal(t, "after its flight", statuses(f.get(t, flying)), "canceled/superseded")
			f.supersede(t, newest) // again: nothing is left to do, and the index is tidied
			equal(t, "findings", f.kinds(t), []string(nil))
			equal(t, "the old one again", f.history(t, old), []string{"0:>queued", "1:>queued", "0:queued>canceled"})
		})
	}
}

// Of two that were accepted at the same time the one with the smaller id gives way,
// whichever looked last.
func TestSupersedeByOneAcceptedBefore(t *testing.T) {
	each(t, Options{Shards: 2}, func(t *testing.T, f *fixture) {
		first, second := keyed(f, "code", "ada@example.org"), keyed(f, "code", "ada@example.org")
		newer := f.accept(t, second)
		f.supersede(t, newer)
		older := f.accept(t, first)
		f.supersede(t, older)
		equal(t, "older", statuses(f.get(t, older)), "canceled/superseded")
		equal(t, "newer", statuses(f.get(t, newer)), "queued")
		equal(t, "findings", f.kinds(t), []string(nil))
	})
}

// Of several at once the newest stays, as if each had been looked at alone.
func TestSupersedeSeveralAtOnce(t *testing.T) {
	each(t, Options{Shards: 2}, func(t *testing.T, f *fixture) {
		before := f.accept(t, keyed(f, "code", "ada@example.org"))
		first := f.accept(t, keyed(f, "code", "ada@example.org", "bob@example.org"))
		other := f.accept(t, draft(f.Messages, "ada@example.org"))
		second := f.accept(t, keyed(f, "code", "ada@example.org"))
		if err := f.Messages.Supersede(t.Context(), start(), first, other, second); err != nil {
			t.Fatal(err)
		}
		for msg, want := range map[*email.Message]string{
			before: "canceled/superseded", first: "canceled/superseded queued", other: "queued", second: "queued",
		} {
			equal(t, msg.ID, statuses(f.get(t, msg)), want)
		}
		equal(t, "findings", f.kinds(t), []string(nil))
	})
}
