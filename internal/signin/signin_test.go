package signin

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
	"postrider/internal/redistest"
	"postrider/internal/store"
)

const (
	good  = "a horse on the stairs"
	other = "three green umbrellas"
)

// net1 is where most people of these tests sit.
func net1() Place { return Place{Network: "192.0.2.1", Browser: "Firefox on Linux"} }

// fixture is a desk on a Redis of its own, and its clock.
type fixture struct {
	*Desk
	t   *testing.T
	rdb *redis.Client
	url string
	now time.Time
}

func newFixture(t *testing.T, url string) *fixture {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	o.DisableIdentity = true
	f := &fixture{t: t, rdb: redis.NewClient(o), url: url, now: time.Now()}
	t.Cleanup(func() { f.rdb.Close() })
	f.Desk = New(Options{Store: store.New(f.rdb, store.Options{}), Now: func() time.Time { return f.now }})
	return f
}

func each(t *testing.T, test func(*testing.T, *fixture)) {
	redistest.Each(t, func(t *testing.T, url string) { test(t, newFixture(t, url)) })
}

// administrator makes the first one, ada, and returns her session.
func (f *fixture) administrator() string {
	f.t.Helper()
	link, err := f.First(f.t.Context())
	if err != nil || link == "" {
		f.t.Fatalf("%q, %v", link, err)
	}
	token, err := f.Redeem(f.t.Context(), link, "Ada", good, net1())
	if err != nil {
		f.t.Fatal(err)
	}
	return token
}

func (f *fixture) who(token string) *store.User {
	f.t.Helper()
	u, err := f.Visit(f.t.Context(), token, new(net1()))
	if err != nil {
		f.t.Fatal(err)
	}
	return u
}

func (f *fixture) over(token, why string) {
	f.t.Helper()
	if u, err := f.Visit(f.t.Context(), token, new(net1())); !errors.Is(err, ErrSignedOut) {
		f.t.Errorf("%s: the session is that of %+v, %v", why, u, err)
	}
}

func TestFirstAdministrator(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		earlier, err := f.First(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if w, err := f.Welcome(ctx, earlier); err != nil || !w.First {
			t.Fatalf("%+v, %v", w, err)
		}
		u := f.who(f.administrator())
		if u.Name != "ada" || u.Role != store.RoleAdministrator || !u.ReadsMail {
			t.Errorf("%+v", u)
		}
		if again, err := f.First(ctx); again != "" || err != nil {
			t.Errorf("another link while somebody administers: %q, %v", again, err)
		}
		if _, err := f.Redeem(ctx, earlier, "eve", other, net1()); !errors.Is(err, ErrLink) {
			t.Errorf("a link from before: %v", err)
		}
		// Nothing that is stored opens anything.
		for _, key := range f.rdb.Keys(ctx, "*").Val() {
			if strings.Contains(key, earlier) {
				t.Errorf("%s holds a link", key)
			}
		}
	})
}

func TestLinkIsUsedOnce(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		link, err := f.First(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var made atomic.Int32
		var all sync.WaitGroup
		for _, name := range []string{"a", "b", "c", "d"} {
			all.Go(func() {
				if _, err := f.Redeem(t.Context(), link, name, good, net1()); err == nil {
					made.Add(1)
				} else if !errors.Is(err, ErrLink) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if made.Load() != 1 {
			t.Errorf("made %d administrators", made.Load())
		}
	})
}

func TestInvite(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		f.administrator()
		u, link, err := f.Invite(ctx, Actor("ada"), " Bo@Acme.com ", Draft{Role: store.RoleViewer})
		if err != nil || u.Name != "bo@acme.com" {
			t.Fatalf("%+v, %v", u, err)
		}
		if _, err := f.SignIn(ctx, u.Name, good, net1()); !errors.Is(err, ErrWrong) {
			t.Errorf("without a password: %v", err)
		}
		if _, _, err := f.Invite(ctx, "", "BO@acme.com", Draft{Role: store.RoleViewer}); !isRefused(err) {
			t.Errorf("a name twice: %v", err)
		}
		_, newer, err := f.Link(ctx, Actor("ada"), u.ID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Redeem(ctx, link, "", good, net1()); !errors.Is(err, ErrLink) {
			t.Errorf("a link that was replaced: %v", err)
		}
		token, err := f.Redeem(ctx, newer, "ignored", good, net1())
		if err != nil || f.who(token).Name != "bo@acme.com" {
			t.Fatal(err)
		}
		if _, err := f.Redeem(ctx, newer, "", other, net1()); !errors.Is(err, ErrLink) {
			t.Errorf("a link that was used: %v", err)
		}
		_, late, err := f.Link(ctx, Actor("ada"), u.ID)
		if err != nil {
			t.Fatal(err)
		}
		f.now = f.now.Add(f.LinkFor)
		if _, err := f.Redeem(ctx, late, "", other, net1()); !errors.Is(err, ErrLink) {
			t.Errorf("a link that expired: %v", err)
		}
		for _, bad := range []string{"", ".", "first.", "first.x", u.ID, u.ID + ".", "usr_x.y", strings.Repeat("x", 5000)} {
			if _, err := f.Welcome(ctx, bad); !errors.Is(err, ErrLink) {
				t.Errorf("link %.20q: %v", bad, err)
			}
		}
	})
}

func isRefused(err error) bool {
	var r *Refused
	return errors.As(err, &r)
}

// Of those who may not sign in, none learns why.
func TestWhoMayNotSignIn(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		f.administrator()
		off, link, err := f.Invite(ctx, "", "off", Draft{Role: store.RoleViewer})
		if err != nil {
			t.Fatal(err)
		}
		before, err := f.Redeem(ctx, link, "", good, net1())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Change(ctx, "", off.ID, Draft{Role: store.RoleViewer, Disabled: true}); err != nil {
			t.Fatal(err)
		}
		f.over(before, "disabled")
		for name, try := range map[string][2]string{
			"another password": {"ada", other}, "no such user": {"bo", good}, "no name": {"", good}, "disabled": {"off", good},
			"no password": {"ada", ""}, "a long one": {"ada", strings.Repeat(good, 1000)}, "a long name": {strings.Repeat("a", 1e6), good},
			"the start": {"ada", good[:20]}, "more": {"ada", good + "x"}, "other case": {"ada", strings.ToUpper(good)}, "no text": {"ada", "\xff\x00"},
		} {
			if token, err := f.SignIn(ctx, try[0], try[1], Place{Network: name}); !errors.Is(err, ErrWrong) || token != "" {
				t.Errorf("%s: %q, %v", name, token, err)
			}
		}
		if _, err := f.SignIn(ctx, " ADA ", good, net1()); err != nil {
			t.Errorf("ada: %v", err)
		}
	})
}

// Who is disabled gets no link, and one from before is over for good.
func TestLinksOfWhoIsDisabled(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		f.administrator()
		bo, link, err := f.Invite(ctx, "", "bo", Draft{Role: store.RoleViewer})
		if err != nil {
			t.Fatal(err)
		}
		turn := func(off bool) {
			t.Helper()
			if _, err := f.Change(ctx, "", bo.ID, Draft{Role: store.RoleViewer, Disabled: off}); err != nil {
				t.Fatal(err)
			}
		}
		turn(true)
		if _, made, err := f.Link(ctx, "", bo.ID); !isRefused(err) || made != "" {
			t.Errorf("a link for who is disabled: %q, %v", made, err)
		}
		// As one that an earlier version made.
		var kept string
		if _, err := f.Store.Users.Update(ctx, bo.ID, f.now, func(u *store.User) error { kept = f.link(u); return nil }); err != nil {
			t.Fatal(err)
		}
		turn(false)
		for _, over := range []string{link, kept} {
			if _, err := f.Welcome(ctx, over); !errors.Is(err, ErrLink) {
				t.Errorf("a link from before: %v", err)
			}
		}
		if _, _, err := f.Invite(ctx, "", "cy", Draft{Role: store.RoleViewer, Disabled: true}); !isRefused(err) {
			t.Errorf("somebody is invited who is disabled: %v", err)
		}
		if _, made, err := f.Link(ctx, "", bo.ID); err != nil || made == "" {
			t.Errorf("enabled again: %v", err)
		}
	})
}

func TestSessionsEnd(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx, begun := t.Context(), f.now
		in := func() string {
			t.Helper()
			token, err := f.SignIn(ctx, "ada", good, net1())
			if err != nil {
				t.Fatal(err)
			}
			return token
		}
		f.administrator()
		a, b := in(), in()
		if err := f.SignOut(ctx, a); err != nil {
			t.Fatal(err)
		}
		f.over(a, "signed out")
		ada := f.who(b)
		next, err := f.ChangePassword(ctx, ada, good, other, net1())
		if err != nil {
			t.Fatal(err)
		}
		f.over(b, "the password was changed")
		f.who(next)
		if _, err := f.ChangePassword(ctx, ada, good, "something else again", net1()); !errors.Is(err, ErrWrong) {
			t.Errorf("by the old password: %v", err)
		}
		if _, err := f.ChangePassword(ctx, f.who(next), other, good, net1()); err != nil {
			t.Fatal(err)
		}
		c, e := in(), in()
		if err := f.SignOutEverywhere(ctx, Actor("ada"), ada.ID); err != nil {
			t.Fatal(err)
		}
		f.over(c, "signed out everywhere")
		f.over(e, "signed out everywhere")

		idle := in()
		f.now = f.now.Add(f.Idle / 2)
		if _, err := f.Visit(ctx, idle, nil); err != nil { // a page that refreshes itself
			t.Fatal(err)
		}
		f.now = f.now.Add(f.Idle / 2)
		f.over(idle, "nobody used it")
		used := in()
		for f.now = f.now.Add(time.Hour); f.now.Sub(begun) < f.Lifetime; f.now = f.now.Add(time.Hour) {
			f.who(used)
		}
		f.now = f.now.Add(f.Idle)
		f.over(used, "it has lived")
		for _, bad := range []string{"", "x", strings.Repeat("x", 1e6)} {
			f.over(bad, "it never was")
		}
	})
}

// A role counts from the next request on.
func TestRoleChanges(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx, ada := t.Context(), f.who(f.administrator())
		bo, link, err := f.Invite(ctx, Actor("ada"), "bo", Draft{Role: store.RoleAdministrator})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Remove(ctx, Actor("ada"), ada.ID); !isRefused(err) {
			t.Errorf("the last administrator was removed: %v", err)
		}
		token, err := f.Redeem(ctx, link, "", good, net1())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Change(ctx, Actor("ada"), bo.ID, Draft{Role: store.RoleOperator, ReadsMail: true}); err != nil {
			t.Fatal(err)
		}
		if u := f.who(token); u.Role != store.RoleOperator || !u.ReadsMail {
			t.Errorf("%+v", u)
		}
		if _, err := f.Change(ctx, "", bo.ID, Draft{Role: "king"}); !isRefused(err) {
			t.Errorf("a role of its own: %v", err)
		}
		if err := f.Remove(ctx, Actor("ada"), bo.ID); err != nil {
			t.Fatal(err)
		}
		f.over(token, "removed")
		changes, _, err := f.Store.Audit.Latest(ctx, []email.World{email.Live}, "", 20)
		var did []string
		for _, c := range changes {
			did = append(did, c.Actor+" "+c.Action+" "+c.Detail)
		}
		want := []string{
			"user:ada user.removed bo operator, reads mail",
			"user:ada user.updated bo administrator -> operator, reads mail",
			"user:bo user.password_set bo by a link",
			"user:ada user.created bo administrator",
			"user:ada user.password_set ada by a link",
		}
		if err != nil || strings.Join(did, "\n") != strings.Join(want, "\n") {
			t.Errorf("recorded, %v:\n%s", err, strings.Join(did, "\n"))
		}
	})
}
