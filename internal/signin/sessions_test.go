package signin

import (
	"errors"
	"strings"
	"testing"
	"time"

	"postrider/internal/email"
	"postrider/internal/store"
)

// shown are somebody's sessions as a page lists them.
func (f *fixture) shown(token string) string {
	f.t.Helper()
	list, err := f.Sessions(f.t.Context(), f.who(token), token)
	if err != nil {
		f.t.Fatal(err)
	}
	var all []string
	for _, s := range list {
		said := s.Network + " " + s.Browser
		if s.This {
			said = "here " + said
		}
		all = append(all, said)
	}
	return strings.Join(all, "; ")
}

// What ends in one process is over in all of them, at once.
func TestSessionsAreSeenAndEnded(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		f.administrator()
		elsewhere := newFixture(t, f.url)
		in := func(p Place) string {
			t.Helper()
			f.now = f.now.Add(time.Second)
			token, err := f.SignIn(ctx, "ada", good, p)
			if err != nil {
				t.Fatal(err)
			}
			return token
		}
		phone, desk := in(Place{"198.51.100.7", "Safari on iPhone"}), in(net1())
		if got, want := f.shown(desk), "here 192.0.2.1 Firefox on Linux; 198.51.100.7 Safari on iPhone; 192.0.2.1 Firefox on Linux"; got != want {
			t.Errorf("shown %q, want %q", got, want)
		}
		// Where it is used last counts, and a page that refreshes itself is no use.
		if _, err := elsewhere.Visit(ctx, phone, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := elsewhere.Visit(ctx, phone, &Place{"203.0.113.9", "Safari on iPhone"}); err != nil {
			t.Fatal(err)
		}
		if got := f.shown(desk); !strings.Contains(got, "203.0.113.9 Safari on iPhone") {
			t.Errorf("shown %q", got)
		}
		_, link, err := f.Invite(ctx, Actor("ada"), "bo", Draft{Role: store.RoleViewer})
		if err != nil {
			t.Fatal(err)
		}
		boToken, err := f.Redeem(ctx, link, "", good, net1())
		if err != nil {
			t.Fatal(err)
		}
		bo := f.who(boToken)
		for _, id := range []string{"", "x", hashed(phone), strings.Repeat("a", 1e6)} {
			if err := f.EndSession(ctx, bo, id); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("bo ends session %.10q: %v", id, err)
			}
		}
		if err := f.EndSession(ctx, f.who(desk), hashed(phone)); err != nil {
			t.Fatal(err)
		}
		elsewhere.over(phone, "it was ended")
		phone = in(Place{"198.51.100.7", ""})
		if err := f.SignOutOthers(ctx, desk); err != nil {
			t.Fatal(err)
		}
		elsewhere.over(phone, "all others were ended")
		if got := elsewhere.shown(desk); got != "here 192.0.2.1 Firefox on Linux" {
			t.Errorf("shown %q", got)
		}
		f.who(boToken)
		if err := f.SignOutEverywhere(ctx, Actor("ada"), bo.ID); err != nil {
			t.Fatal(err)
		}
		elsewhere.over(boToken, "an administrator ended it")
		if err := f.SignOutOthers(ctx, boToken); !errors.Is(err, ErrSignedOut) {
			t.Errorf("by a session that is over: %v", err)
		}
		changes, _, err := f.Store.Audit.Latest(ctx, []email.World{email.Live}, "", 20)
		var did []string
		for _, c := range changes {
			if strings.Contains(c.Action, "session") || strings.Contains(c.Action, "signed_out") {
				did = append(did, c.Actor+" "+c.Action+" "+c.Detail)
			}
		}
		want := "user:ada user.signed_out_everywhere bo\nuser:ada user.signed_out_elsewhere ada\nuser:ada user.session_ended ada from 203.0.113.9, Safari on iPhone"
		if err != nil || strings.Join(did, "\n") != want {
			t.Errorf("recorded, %v:\n%s", err, strings.Join(did, "\n"))
		}
	})
}
