package store

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// names are "<message> <event>" of what a page found.
func names(page *LogPage) []string {
	var out []string
	for _, o := range page.Found {
		out = append(out, o.Message.ID+" "+o.Event.ID)
	}
	return out
}

// readAll reads a log to its end.
func (f *fixture) readAll(t *testing.T, filter LogFilter, place LogPlace, limit int) ([]string, LogPlace) {
	t.Helper()
	var out []string
	for {
		page, err := f.Log.Read(t.Context(), email.Live, filter, place, limit)
		if err != nil {
			t.Fatal(err)
		}
		out, place = append(out, names(page)...), page.Next
		if !page.More {
			return out, place
		}
	}
}

func (f *fixture) logStart(t *testing.T, created time.Time) LogPlace {
	t.Helper()
	place, err := f.Log.Start(t.Context(), created)
	if err != nil {
		t.Fatal(err)
	}
	return place
}

func TestLogFilters(t *testing.T) {
	each(t, Options{Shards: 3}, func(t *testing.T, f *fixture) {
		var all []*email.Message
		for i := range 6 {
			all = append(all, f.accept(t, draft(f.Messages, fmt.Sprintf("User%d@example.org", i%2), "x@other.example")))
		}
		claim := f.begin(t, all[3], 0, start())
		f.conclude(t, claim, start().Add(time.Hour), email.Outcome{Status: email.Delivered})
		for _, c := range []struct {
			name   string
			filter LogFilter
			want   int
		}{
			{"all", LogFilter{}, 13},
			{"type", LogFilter{Type: email.TypeFor(email.Delivered)}, 1},
			{"group of types", LogFilter{Type: "message.*"}, 13},
			{"another group", LogFilter{Type: "suppression.*"}, 0},
			{"every type", LogFilter{Type: "*"}, 13},
			{"message", LogFilter{Message: all[3].ID}, 3},
			{"recipient", LogFilter{Recipient: "USER1@example.org"}, 4},
			{"after", LogFilter{CreatedAfter: start()}, 1},
			{"both", LogFilter{Message: all[2].ID, Recipient: "user1@example.org"}, 0},
		} {
			whole, _ := f.readAll(t, c.filter, f.logStart(t, c.filter.CreatedAfter.Add(-time.Hour)), 100)
			if len(whole) != c.want || len(whole) != len(slices.Compact(slices.Sorted(slices.Values(whole)))) {
				t.Errorf("%s: %d events, want %d", c.name, len(whole), c.want)
			}
			for _, limit := range []int{1, 2, 5} {
				some, _ := f.readAll(t, c.filter, f.logStart(t, time.Time{}), limit)
				equal(t, fmt.Sprintf("%s by %d", c.name, limit), some, whole)
			}
		}
		if page, err := f.Log.Read(t.Context(), email.Test, LogFilter{}, f.logStart(t, time.Time{}), 10); err != nil || len(page.Found) != 0 {
			t.Errorf("the other world has %d events, %v", len(page.Found), err)
		}
	})
}

// Whoever reads on while others write sees every event, once.
func TestLogWithConcurrentWriters(t *testing.T) {
	each(t, Options{Shards: 2}, func(t *testing.T, f *fixture) {
		const writers, eachWrites = 4, 25
		place := f.logStart(t, time.Time{})
		var writing sync.WaitGroup
		done := make(chan struct{})
		for range writers {
			writing.Go(func() {
				for range eachWrites {
					if _, _, err := f.Messages.Accept(t.Context(), draft(f.Messages, "a@b.example", "c@b.example")); err != nil {
						t.Errorf("accept: %v", err)
					}
				}
			})
		}
		go func() { writing.Wait(); close(done) }()
		var got []string
		for last := false; ; {
			part, next := f.readAll(t, LogFilter{}, place, 7)
			got, place = append(got, part...), next
			if last {
				break
			}
			select {
			case <-done:
				last = true // and once more
			default:
			}
		}
		whole, _ := f.readAll(t, LogFilter{}, f.logStart(t, time.Time{}), 100)
		slices.Sort(got)
		slices.Sort(whole)
		if equal(t, "events", got, whole); len(got) != 2*writers*eachWrites {
			t.Errorf("%d events of %d", len(got), 2*writers*eachWrites)
		}
	})
}

func TestLogGaps(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		f.accept(t, draft(f.Messages, "a@b.example"))
		page, err := f.Log.Read(t.Context(), email.Live, LogFilter{}, f.logStart(t, time.Time{}), 1)
		if err != nil || len(page.Found) != 1 {
			t.Fatalf("%v, %v", page, err)
		}
		behind := page.Next
		// What was read may be forgotten.
		keys := keysOf(email.Live, 0)
		if err := f.Messages.trim(t.Context(), keys, "99999999999999"); err != nil {
			t.Fatal(err)
		}
		if page, err = f.Log.Read(t.Context(), email.Live, LogFilter{}, behind, 10); err != nil || len(page.Found) != 0 {
			t.Errorf("behind what was forgotten: %v, %v", page, err)
		}
		// What was not may not, in silence.
		f.accept(t, draft(f.Messages, "a@b.example"))
		if err := f.Messages.trim(t.Context(), keys, "99999999999999"); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Log.Read(t.Context(), email.Live, LogFilter{}, behind, 10); !errors.Is(err, ErrGap) {
			t.Errorf("a gap is read as %v", err)
		}
		// From the beginning is from whatever is there.
		f.accept(t, draft(f.Messages, "a@b.example"))
		if got, _ := f.readAll(t, LogFilter{}, f.logStart(t, time.Time{}), 10); len(got) != 1 {
			t.Errorf("from the beginning: %v", got)
		}
		place := f.logStart(t, time.Time{})
		if err := f.AcceptEpoch(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Log.Read(t.Context(), email.Live, LogFilter{}, place, 10); !errors.Is(err, ErrGap) {
			t.Errorf("after a change of the epoch: %v", err)
		}
		for _, at := range [][]Position{nil, {"", ""}} {
			if _, err := f.Log.Read(t.Context(), email.Live, LogFilter{}, LogPlace{f.logStart(t, time.Time{}).Epoch, at}, 10); !errors.Is(err, ErrCursor) {
				t.Errorf("a place in %d shards: %v", len(at), err)
			}
		}
	})
}

func TestLogFind(t *testing.T) {
	each(t, Options{Shards: 2}, func(t *testing.T, f *fixture) {
		msg := f.accept(t, draft(f.Messages, "a@b.example", "c@d.example"))
		events, _, err := f.Messages.Events(t.Context(), msg.World, msg.ID, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			found, err := f.Log.Find(t.Context(), email.Live, e.ID)
			if err != nil || found.Message.ID != msg.ID {
				t.Fatalf("%s: %v", e.ID, err)
			}
			equal(t, "event", found.Event, e)
			if _, err := f.Log.Find(t.Context(), email.Test, e.ID); !errors.Is(err, ErrNotFound) {
				t.Errorf("%s in the other world: %v", e.ID, err)
			}
		}
		f.suppress(t, "a@b.example", nil)
		if _, err := f.Suppressions.Follow(t.Context(), email.Live, 10); err != nil {
			t.Fatal(err)
		}
		page, err := f.Log.Read(t.Context(), email.Live, LogFilter{Type: email.SuppressionCreated}, f.logStart(t, time.Time{}), 10)
		if err != nil || len(page.Found) != 1 {
			t.Fatalf("%+v, %v", page, err)
		}
		want := page.Found[0]
		if found, err := f.Log.Find(t.Context(), email.Live, want.Suppression.ID); err != nil {
			t.Error(err)
		} else {
			equal(t, "event of a suppression", found, &want)
		}
		// The follower was away when it happened: the entry is younger than the event.
		old, err := uuid.NewV7()
		if err != nil {
			t.Fatal(err)
		}
		copy(old[:6], make([]byte, 6)) // of 1970
		late := email.FormatID(email.EventPrefix, old)
		f.rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: keysOf(email.Live, 1).stream(), Values: []string{"g", fmt.Sprintf(
			`{"i":%q,"t":"suppression.created","a":1,"e":"c@d.example","s":{"i":%q,"w":"manual"}}`, bare(late), bare(late))}})
		if found, err := f.Log.Find(t.Context(), email.Live, late); err != nil || found.Suppression.ID != late {
			t.Errorf("a late entry: %+v, %v", found, err)
		}
		for _, id := range []string{"", "evt_1", msg.ID, email.NewID(email.EventPrefix)} {
			if _, err := f.Log.Find(t.Context(), email.Live, id); !errors.Is(err, ErrNotFound) {
				t.Errorf("%q: %v", id, err)
			}
		}
	})
}
