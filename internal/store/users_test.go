package store

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postrider/internal/redistest"
)

func aUser(id string, role Role) User {
	return User{
		ID: id, Name: "name-of-" + id, Role: role, ReadsMail: true, Password: "$hash", Generation: 3, LinkHash: "ab",
		LinkUntil: start().Add(time.Hour), CreatedAt: start(), UpdatedAt: start(), SignedInAt: start(),
	}
}

func (f *fixture) addUser(t *testing.T, u User) {
	t.Helper()
	if err := f.Users.Add(t.Context(), u); err != nil {
		t.Fatal(err)
	}
}

func TestUsers(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		ctx, ada := t.Context(), aUser("usr_1", RoleAdministrator)
		f.addUser(t, ada)
		f.addUser(t, aUser("usr_2", RoleViewer))
		got, err := f.Users.ByName(ctx, ada.Name)
		if err != nil || cmp.Diff(&ada, got) != "" {
			t.Fatalf("%v, %s", err, cmp.Diff(&ada, got))
		}
		taken := aUser("usr_3", RoleViewer)
		taken.Name = ada.Name
		if err := f.Users.Add(ctx, taken); !errors.Is(err, ErrAlreadyExists) {
			t.Errorf("a name twice: %v", err)
		}
		changed, err := f.Users.Update(ctx, "usr_2", start().Add(time.Minute), func(u *User) error {
			u.Role = RoleOperator
			return nil
		})
		if err != nil || changed.Role != RoleOperator || !changed.UpdatedAt.Equal(start().Add(time.Minute)) {
			t.Errorf("%+v, %v", changed, err)
		}
		list, err := f.Users.List(ctx)
		if err != nil || len(list) != 2 || list[1].Role != RoleOperator {
			t.Errorf("%v, %v", list, err)
		}
		if gone, err := f.Users.Remove(ctx, "usr_2"); err != nil || gone.ID != "usr_2" {
			t.Error(gone, err)
		}
		for what, err := range map[string]error{
			"get":    second(f.Users.Get(ctx, "usr_2")),
			"name":   second(f.Users.ByName(ctx, "name-of-usr_2")),
			"update": second(f.Users.Update(ctx, "usr_2", start(), func(*User) error { return nil })),
			"remove": second(f.Users.Remove(ctx, "usr_2")),
		} {
			if !errors.Is(err, ErrNotFound) {
				t.Errorf("%s of a removed user: %v", what, err)
			}
		}
	})
}

func second[T any](_ T, err error) error { return err }

// However the last administrator would go, it stays.
func TestLastAdministrator(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		f.addUser(t, aUser("usr_1", RoleAdministrator))
		waiting, off := aUser("usr_2", RoleAdministrator), aUser("usr_3", RoleAdministrator)
		waiting.Password, off.Disabled = "", true
		f.addUser(t, waiting)
		f.addUser(t, off)
		for name, change := range map[string]func(*User){
			"demoted":       func(u *User) { u.Role = RoleOperator },
			"disabled":      func(u *User) { u.Disabled = true },
			"sans password": func(u *User) { u.Password = "" },
		} {
			_, err := f.Users.Update(ctx, "usr_1", start(), func(u *User) error { change(u); return nil })
			if !errors.Is(err, ErrLastAdministrator) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := f.Users.Remove(ctx, "usr_1"); !errors.Is(err, ErrLastAdministrator) {
			t.Errorf("removed: %v", err)
		}
		if _, err := f.Users.Update(ctx, "usr_2", start(), func(u *User) error { u.Password = "x"; return nil }); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Users.Remove(ctx, "usr_1"); err != nil {
			t.Errorf("with another there: %v", err)
		}
	})
}

// Of administrators that demote each other at once, one is left.
func TestAdministratorsRace(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		const n = 8
		for i := range n {
			f.addUser(t, aUser(fmt.Sprintf("usr_%d", i), RoleAdministrator))
		}
		var refused atomic.Int32
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				_, err := f.Users.Update(t.Context(), fmt.Sprintf("usr_%d", i), start(), func(u *User) error {
					u.Role = RoleViewer
					return nil
				})
				if errors.Is(err, ErrLastAdministrator) {
					refused.Add(1)
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if there, err := f.Users.Administered(t.Context()); refused.Load() != 1 || !there || err != nil {
			t.Errorf("%d were refused; %v, %v", refused.Load(), there, err)
		}
	})
}

// Links for the first administrator make one, however many there are and use them.
func TestFirstAdministrator(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		for _, link := range []string{"a", "b"} {
			if err := f.Users.OfferFirst(ctx, link, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Users.AddFirst(ctx, aUser("usr_9", RoleAdministrator), "c"); !errors.Is(err, ErrTooLate) {
			t.Errorf("a link that never was: %v", err)
		}
		var made, late atomic.Int32
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				err := f.Users.AddFirst(ctx, aUser(fmt.Sprintf("usr_%d", i), RoleAdministrator), string("ab"[i%2]))
				switch {
				case err == nil:
					made.Add(1)
				case errors.Is(err, ErrTooLate):
					late.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		all.Wait()
		if made.Load() != 1 || late.Load() != 7 {
			t.Errorf("%d were made, %d late", made.Load(), late.Load())
		}
		for _, link := range []string{"a", "b"} {
			if good, err := f.Users.Offered(ctx, link); good || err != nil {
				t.Errorf("link %s: %v, %v", link, good, err)
			}
		}
	})
}

func TestMaxUsers(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		for i := range MaxUsers {
			f.rdb.HSet(t.Context(), usersKey, fmt.Sprint(i), "{}")
		}
		if err := f.Users.Add(t.Context(), aUser("usr_1", RoleViewer)); !errors.Is(err, ErrTooManyUsers) {
			t.Error(err)
		}
	})
}

func TestSessions(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		ctx, u := t.Context(), aUser("usr_1", RoleAdministrator)
		f.addUser(t, u)
		s := Session{ID: "h", User: u.ID, Generation: 3, CreatedAt: start(), SeenAt: start(), Network: "192.0.2.1", Browser: "Firefox"}
		if err := f.Sessions.Begin(ctx, s, time.Hour); err != nil {
			t.Fatal(err)
		}
		got, user, err := f.Sessions.Find(ctx, "h")
		if err != nil || *got != s || cmp.Diff(&u, user) != "" {
			t.Fatalf("%+v, %+v, %v", got, user, err)
		}
		if ttl := f.rdb.PTTL(ctx, sessPrefix+"h").Val(); ttl <= 59*time.Minute || ttl > time.Hour {
			t.Errorf("after it was read, it is kept for %v", ttl)
		}
		s.SeenAt = start().Add(time.Minute)
		if err := f.Sessions.Seen(ctx, s, 2*time.Hour); err != nil {
			t.Fatal(err)
		}
		if ttl := f.rdb.PTTL(ctx, sessPrefix+"h").Val(); ttl <= time.Hour {
			t.Errorf("prolonged, it is kept for %v", ttl)
		}
		if err := f.Sessions.End(ctx, u.ID, "h"); err != nil {
			t.Fatal(err)
		}
		if err := f.Sessions.Seen(ctx, s, time.Hour); err != nil {
			t.Fatal(err)
		}
		if _, _, err := f.Sessions.Find(ctx, "h"); !errors.Is(err, ErrNotFound) {
			t.Errorf("an ended session came back: %v", err)
		}
		if _, err := f.Users.Update(ctx, u.ID, start(), func(*User) error { return nil }); err != nil {
			t.Fatal(err)
		}
		f.rdb.Set(ctx, sessPrefix+"h", `{"u":"usr_2"}`, 0)
		if _, _, err := f.Sessions.Find(ctx, "h"); !errors.Is(err, ErrNotFound) {
			t.Errorf("the session of nobody: %v", err)
		}
	})
}

// A user has the sessions that were used last, and no more than so many.
func TestSessionsOfAUser(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		begin := func(user, id string, at time.Time, ttl time.Duration) {
			t.Helper()
			if err := f.Sessions.Begin(ctx, Session{ID: id, User: user, CreatedAt: at, SeenAt: at}, ttl); err != nil {
				t.Fatal(err)
			}
		}
		of := func(user string) string {
			t.Helper()
			list, err := f.Sessions.Of(ctx, user)
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, s := range list {
				ids = append(ids, s.ID)
			}
			return strings.Join(ids, " ")
		}
		begin("usr_1", "old", start(), time.Hour)
		begin("usr_1", "new", start().Add(time.Minute), 2*time.Hour)
		begin("usr_2", "other", start(), time.Hour)
		if got := of("usr_1"); got != "new old" {
			t.Errorf("usr_1 has %q", got)
		}
		if ttl := f.rdb.PTTL(ctx, ownSessions+"usr_1").Val(); ttl <= time.Hour {
			t.Errorf("the list ends before a session of it: in %v", ttl)
		}
		f.rdb.Del(ctx, sessPrefix+"old") // its time was over
		if got, n := of("usr_1"), f.rdb.ZCard(ctx, ownSessions+"usr_1").Val(); got != "new" || n != 1 {
			t.Errorf("usr_1 has %q, and %d in the list", got, n)
		}
		for i := range maxSessions {
			begin("usr_1", fmt.Sprint("more", i), start().Add(time.Duration(i+2)*time.Minute), time.Hour)
		}
		if got := of("usr_1"); strings.Count(got, "more") != maxSessions || strings.Contains(got, "new") || f.rdb.Exists(ctx, sessPrefix+"new").Val() != 0 {
			t.Errorf("usr_1 has %q", got)
		}
		if err := f.Sessions.End(ctx, "usr_2", "other"); err != nil || of("usr_2") != "" {
			t.Errorf("usr_2 has %q, %v", of("usr_2"), err)
		}
	})
}

func TestTries(t *testing.T) {
	// Not each: a try whose answer is lost counts twice.
	redistest.Each(t, func(t *testing.T, url string) {
		rdb := connect(t, url)
		if err := rdb.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		f := &fixture{Store: New(rdb, Options{}), rdb: rdb}
		ctx := t.Context()
		tries := []Try{{"both", 3, time.Minute}, {"from", 5, time.Hour}}
		var passed, stopped atomic.Int32
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				wait, err := f.Tries.Take(ctx, tries)
				switch {
				case err != nil:
					t.Error(err)
				case wait == 0:
					passed.Add(1)
				case wait > 50*time.Second && wait <= time.Minute:
					stopped.Add(1)
				}
			})
		}
		all.Wait()
		if passed.Load() != 3 || stopped.Load() != 7 {
			t.Errorf("%d passed, %d were stopped", passed.Load(), stopped.Load())
		}
		if err := f.Tries.Forgive(ctx, tries); err != nil {
			t.Fatal(err)
		}
		// The first is forgotten, of the second one is given back: 2 of 5 are used.
		for i, want := range []bool{true, true, true, false} {
			if wait, err := f.Tries.Take(ctx, tries); (wait == 0) != want || err != nil {
				t.Errorf("try %d: %v, %v", i, wait, err)
			}
		}
		if ttl := f.rdb.PTTL(ctx, triesPrefix+"from").Val(); ttl <= 0 {
			t.Errorf("a count stays for ever: %v", ttl)
		}
	})
}
