package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"postrider/internal/config"
	"postrider/internal/signin"
	"postrider/internal/store"
)

// usersCommand is `postrider users`. It works on the Redis itself: it is the way in for
// who has lost all others.
type usersCommand struct {
	List usersList `cmd:"" default:"1" help:"List who may use the dashboard."`
	Link usersLink `cmd:"" help:"Print a link by which a user sets a new password; without a name one that makes the first administrator."`
}

type usersList struct{ config.Config }

// Run implements the command.
func (l *usersList) Run(ctx context.Context, t terminal) error {
	return withStore(ctx, l.Config, func(s *store.Store) error {
		users, err := s.Users.List(ctx)
		if err != nil {
			return err
		}
		if len(users) == 0 {
			fmt.Fprintln(t.err, "There are no users yet: postrider users link prints a link for the first administrator.")
			return nil
		}
		rows := newTable(t.out, "NAME", "ROLE", "READS MAIL", "STATE", "SIGNED IN", "ID")
		for _, u := range users {
			reads, state := "no", "active"
			if u.ReadsMail {
				reads = "yes"
			}
			switch {
			case u.Disabled:
				state = "disabled"
			case u.Password == "":
				state = "invited"
			}
			at := "never"
			if !u.SignedInAt.IsZero() {
				at = clock(u.SignedInAt)
			}
			rows.row(clean(u.Name), clean(string(u.Role)), reads, state, at, clean(u.ID))
		}
		return rows.Flush()
	})
}

type usersLink struct {
	config.Config
	Name string `arg:"" optional:"" help:"Whose password is to be set."`
}

// Run implements the command. The link alone goes to standard output.
func (l *usersLink) Run(ctx context.Context, t terminal) error {
	return withStore(ctx, l.Config, func(s *store.Store) error {
		desk := signin.New(signin.Options{Store: s})
		token, until, err := l.link(ctx, desk)
		if err != nil {
			return err
		}
		base := strings.TrimSuffix(l.PublicURL, "/")
		if base == "" {
			base = "http://127.0.0.1" + l.HTTPAddr[strings.LastIndexByte(l.HTTPAddr, ':'):]
			fmt.Fprintln(t.err, "POSTRIDER_PUBLIC_URL is not set; put the dashboard's address before the path if it is another.")
		}
		fmt.Fprintln(t.out, base+signin.LinkPath+token)
		fmt.Fprintf(t.err, "It works once, until %s.\n", clock(until))
		return nil
	})
}

func (l *usersLink) link(ctx context.Context, desk *signin.Desk) (token string, until time.Time, err error) {
	if l.Name == "" {
		token, err = desk.First(ctx)
		if err == nil && token == "" {
			err = errors.New("there is an administrator; name the user whose password is to be set: postrider users link NAME")
		}
		return token, time.Now().Add(desk.LinkFor), err
	}
	u, err := desk.Find(ctx, l.Name)
	if err == nil && u.Disabled {
		err = fmt.Errorf("the user %s is disabled; an administrator can change that", u.Name)
	}
	if errors.Is(err, store.ErrNotFound) {
		err = fmt.Errorf("there is no user %q; `postrider users list` shows them", l.Name)
	}
	if err != nil {
		return "", until, err
	}
	u, token, err = desk.Link(ctx, store.Operator, u.ID)
	if err != nil {
		return "", until, err
	}
	return token, u.LinkUntil, nil
}
