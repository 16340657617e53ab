package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"postrider/internal/email"
)

// suppress makes an entry, with what change says.
func (f *fixture) suppress(t *testing.T, address string, change func(*email.Suppression)) email.Suppression {
	t.Helper()
	s := email.Suppression{
		ID: email.NewID(email.SuppressionPrefix), World: email.Live, Email: address, Reason: email.SuppressedManual,
		Note: "ours", CreatedAt: start(),
	}
	if change != nil {
		change(&s)
	}
	added, err := f.Suppressions.Add(t.Context(), email.Live, []email.Suppression{s}, start())
	if err != nil {
		t.Fatal(err)
	}
	return added[0].Suppression
}

// listed is what a draft would be told of its recipients.
func (f *fixture) listed(t *testing.T, s *Submission) Listed {
	t.Helper()
	_, _, err := f.Messages.Accept(t.Context(), s)
	var changed *ListChanged
	if !errors.As(err, &changed) {
		t.Fatalf("Accept = %v, want *ListChanged", err)
	}
	return changed.Listed
}

// suppressed is what of a draft the list forbids, by recipient.
func suppressed(t *testing.T, l Listed, m *email.Message) string {
	t.Helper()
	var words []string
	for _, r := range m.Recipients {
		found, err := l.Find(m, r.Address)
		if err != nil {
			t.Fatal(err)
		}
		word := "-"
		if found != nil {
			word = found.Reason
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func TestSuppressionList(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		first := f.suppress(t, "Ada@Example.org", nil)
		again := f.suppress(t, "ada@example.org", func(s *email.Suppression) { s.Note = "another" })
		equal(t, "the same entry again", again, first)
		scoped := f.suppress(t, "ada@example.org", func(s *email.Suppression) { s.Stream, s.Domain = "bulk", "acme.com" })
		bounce := f.suppress(t, "bob@example.org", func(s *email.Suppression) {
			s.Reason, s.SourceMessage, s.SourceEvent = email.SuppressedHardBounce, email.NewMessageID(0), email.NewID(email.EventPrefix)
		})
		got, err := f.Suppressions.Get(t.Context(), email.Live, bounce.ID)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "entry", *got, bounce)
		for _, c := range []struct {
			filter SuppressionFilter
			want   []email.Suppression
		}{
			{SuppressionFilter{}, []email.Suppression{bounce, scoped, first}},
			{SuppressionFilter{Email: "ADA@example.org"}, []email.Suppression{scoped, first}},
			{SuppressionFilter{Reason: email.SuppressedManual}, []email.Suppression{scoped, first}},
			{SuppressionFilter{Stream: "bulk"}, []email.Suppression{scoped}},
			{SuppressionFilter{Stream: "bulk", Reason: email.SuppressedHardBounce}, nil},
			{SuppressionFilter{CreatedAfter: start()}, nil},
		} {
			var all []email.Suppression
			for before, n := "", 0; n < 10; n++ {
				page, next, err := f.Suppressions.List(t.Context(), email.Live, c.filter, before, 1)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, page...)
				if before = next; next == "" {
					break
				}
			}
			equal(t, fmt.Sprintf("list by %+v", c.filter), all, c.want)
		}
		if _, err := f.Suppressions.Get(t.Context(), email.Test, first.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("Get in the other world = %v", err)
		}
		gone, err := f.Suppressions.Delete(t.Context(), email.Live, first.ID, start())
		if err != nil || gone.ID != first.ID {
			t.Errorf("Delete = %+v, %v", gone, err)
		}
		if _, err := f.Suppressions.Delete(t.Context(), email.Live, first.ID, start()); !errors.Is(err, ErrNotFound) {
			t.Errorf("Delete again = %v", err)
		}
		removed, err := f.Suppressions.Remove(t.Context(), email.Live, []string{"ADA@example.org", "nobody@example.org"}, start())
		if err != nil || len(removed) != 1 || removed[0].ID != scoped.ID {
			t.Errorf("Remove = %+v, %v", removed, err)
		}
		f.follow(t)
		f.clean(t)
		if n := f.rdb.HLen(t.Context(), keysOf(email.Live, 0).listed()).Val(); n != 1 {
			t.Errorf("the shard's copy has %d addresses, want 1", n)
		}
	})
}

// follow copies what changed in the list.
func (f *fixture) follow(t *testing.T) {
	t.Helper()
	for more := true; more; {
		var err error
		if more, err = f.Suppressions.Follow(t.Context(), email.Live, 2); err != nil {
			t.Fatal(err)
		}
	}
}

// clean fails unless everything stored agrees.
func (f *fixture) clean(t *testing.T) {
	t.Helper()
	_, err := f.Messages.Check(t.Context(), CheckOptions{Report: func(x Finding) { t.Error(x) }})
	if err == nil {
		_, err = f.Suppressions.Check(t.Context(), func(x Finding) { t.Error(x) })
	}
	if err != nil {
		t.Error(err)
	}
}

// Accept asks the list of its shard, and nothing is kept that was judged by another.
func TestSuppressedAtAccept(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		f.suppress(t, "ALL@example.org", func(s *email.Suppression) { s.Reason = email.SuppressedHardBounce })
		f.suppress(t, "domain@example.org", func(s *email.Suppression) { s.Domain = "acme.com" })
		f.suppress(t, "elsewhere@example.org", func(s *email.Suppression) { s.Domain = "other.com" })
		f.suppress(t, "stream@example.org", func(s *email.Suppression) { s.Stream = "transactional" })
		f.suppress(t, "bulk@example.org", func(s *email.Suppression) { s.Stream = "bulk" })
		f.suppress(t, "past@example.org", func(s *email.Suppression) { s.ExpiresAt = start() })
		f.suppress(t, "future@example.org", func(s *email.Suppression) { s.ExpiresAt = start().Add(time.Millisecond) })
		s := draft(f.Messages, "all@example.org", "domain@example.org", "elsewhere@example.org", "stream@example.org",
			"bulk@example.org", "past@example.org", "future@example.org", "free@example.org")
		l := f.listed(t, s)
		if got := suppressed(t, l, s.Message); got != "hard_bounce manual - manual - - manual -" {
			t.Errorf("suppressed: %s", got)
		}
		if keys := f.rdb.Keys(t.Context(), "live:{s0}:m:*").Val(); len(keys) != 0 {
			t.Errorf("kept: %v", keys)
		}
		found, err := l.Find(s.Message, s.Message.Recipients[0].Address)
		if err != nil || found == nil {
			t.Fatal(found, err)
		}
		one := draft(f.Messages, "all@example.org")
		r := &one.Message.Recipients[0]
		r.Envelope, one.Message.Envelopes = -1, nil
		r.State = email.RecipientState{Status: email.Suppressed, Reason: found.Reason, SuppressionID: found.ID}
		one.Listed = f.listed(t, one)
		msg := f.accept(t, one)
		equal(t, "history", f.history(t, msg), []string{"0:>suppressed"})
		if msg.CompletedAt.IsZero() || f.get(t, msg).Recipients[0].State.SuppressionID != found.ID {
			t.Errorf("kept as %+v", msg)
		}
		f.clean(t)
	})
}

// Begin asks again, since a message may have waited for days.
func TestSuppressedAtBegin(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		msg := f.accept(t, later(draft(f.Messages, "ada@example.org", "bob@example.org"), start().Add(time.Hour)))
		now := start().Add(time.Hour)
		ada := f.suppress(t, "ADA@example.org", nil)
		f.suppress(t, "bob@example.org", func(s *email.Suppression) { s.Domain = "other.com" })
		c := f.begin(t, msg, 0, now)
		if got := statuses(f.get(t, msg)); got != "suppressed/manual queued" {
			t.Errorf("after Begin: %s", got)
		}
		if got := f.get(t, msg).Recipients[0].State.SuppressionID; got != ada.ID {
			t.Errorf("suppression %s, want %s", got, ada.ID)
		}
		f.conclude(t, c, now, email.Outcome{Recipient: 1, Status: email.Deferred, Unknown: true})
		f.suppress(t, "bob@example.org", nil)
		s, err := f.Messages.Begin(t.Context(), msg.World, msg.ID, 0, 1, "worker-1", now.Add(time.Hour))
		if err != nil || s.Verdict != Over {
			t.Errorf("Begin = %+v, %v; want it over", s, err)
		}
		// The unknown attempt may have delivered it: that is not to be hidden.
		if got := statuses(f.get(t, msg)); got != "suppressed/manual failed/outcome_unknown" {
			t.Errorf("at last: %s", got)
		}
		equal(t, "history", f.history(t, msg), []string{
			"0:>scheduled", "1:>scheduled", "0:scheduled>suppressed", "1:scheduled>queued", "1:queued>deferred", "1:deferred>failed",
		})
		f.follow(t)
		f.clean(t)
	})
}

// However late an old copy is made, it does not stand over a newer one, and each event
// is in the stream once, whoever followed.
func TestSuppressionCopies(t *testing.T) {
	each(t, Options{Shards: 3}, func(t *testing.T, f *fixture) {
		old, err := f.Suppressions.editAll(t.Context(), email.Live, map[string]decide{
			"ada@example.org": func(e *edit) {
				e.add(email.Suppression{ID: email.NewID(email.SuppressionPrefix), Email: "ada@example.org", Reason: "manual", CreatedAt: start()})
			},
		}, start())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Suppressions.Remove(t.Context(), email.Live, []string{"ada@example.org"}, start()); err != nil {
			t.Fatal(err)
		}
		late := []*edit{old["ada@example.org"]}
		f.Suppressions.copyEarly(t.Context(), email.Live, late)
		f.follow(t)
		f.Suppressions.copyEarly(t.Context(), email.Live, late)
		f.follow(t)
		var types []email.EventType
		for shard := range uint8(3) {
			if n := f.rdb.HLen(t.Context(), keysOf(email.Live, shard).listed()).Val(); n != 0 {
				t.Errorf("shard %d still suppresses %d addresses", shard, n)
			}
			part, err := f.Deliveries.Unfollowed(t.Context(), email.Live, shard, 10)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range part.Entries {
				types = append(types, e.Suppression.Type)
				again, err := f.Deliveries.SuppressionEvent(t.Context(), email.Live, shard, e.At)
				if err != nil {
					t.Fatal(err)
				}
				equal(t, "event", again, e.Suppression)
			}
		}
		if len(types) != 2 {
			t.Errorf("events %v, want one made and one removed", types)
		}
		f.clean(t)
	})
}

// A shard that joins later gets the whole list.
func TestSuppressionsOfNewShard(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		f.suppress(t, "ada@example.org", nil)
		f.follow(t)
		f.suppress(t, "bob@example.org", nil)
		grown := &fixture{Store: New(f.rdb, Options{Shards: 2}), rdb: f.rdb}
		if err := grown.Suppressions.Recopy(t.Context(), email.Live); err != nil {
			t.Fatal(err)
		}
		grown.follow(t)
		if n := f.rdb.HLen(t.Context(), keysOf(email.Live, 1).listed()).Val(); n != 2 {
			t.Errorf("the new shard has %d addresses, want 2", n)
		}
		grown.clean(t)
	})
}

func TestSuppressionsExpire(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		f.suppress(t, "ada@example.org", func(s *email.Suppression) { s.ExpiresAt = start().Add(time.Hour) })
		f.suppress(t, "ada@example.org", func(s *email.Suppression) { s.Reason = email.SuppressedComplaint })
		for _, now := range []time.Time{start(), start().Add(time.Hour), start().Add(2 * time.Hour)} {
			if _, err := f.Suppressions.Expire(t.Context(), email.Live, now, 10); err != nil {
				t.Fatal(err)
			}
		}
		page, _, err := f.Suppressions.List(t.Context(), email.Live, SuppressionFilter{}, "", 10)
		if err != nil || len(page) != 1 || page[0].Reason != email.SuppressedComplaint {
			t.Errorf("left: %+v, %v", page, err)
		}
		f.follow(t)
		f.clean(t)
	})
}
