package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"postrider/api"
	"postrider/internal/app"
	"postrider/internal/config"
	"postrider/internal/email"
	"postrider/internal/store"
)

// keysCommand is `postrider keys ...`.
type keysCommand struct {
	Create keysCreate `cmd:"" help:"Make an API key and print its secret, which is shown only now."`
	List   keysList   `cmd:"" help:"List the API keys."`
	Revoke keysRevoke `cmd:"" help:"Revoke an API key for good."`
}

type keysCreate struct {
	config.Config
	Name   string   `required:"" placeholder:"NAME" help:"What the key is for, such as the app's name."`
	Test   bool     `help:"A test key: its mail goes to the sandbox only."`
	Scopes []string `placeholder:"SCOPE,..." help:"What the key may do; without it, everything: ${scopes}."`
}

type keysList struct{ config.Config }

type keysRevoke struct {
	config.Config
	ID string `arg:"" help:"The key's id, as keys list shows it."`
}

// maxKeyName bounds the name of a key, in octets.
const maxKeyName = 100

// Validate refuses a name that would break a table and scopes that do not exist.
func (k *keysCreate) Validate() error {
	if k.Name == "" || len(k.Name) > maxKeyName || strings.ContainsFunc(k.Name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("--name: must be 1 to %d characters on one line", maxKeyName)
	}
	for _, s := range k.Scopes {
		if !slices.Contains(api.Scopes(), s) {
			return fmt.Errorf("--scopes: %q is no scope; the scopes are %s", s, strings.Join(api.Scopes(), ", "))
		}
	}
	return k.Config.Validate()
}

// Run implements the command. Standard output is the secret alone, for scripts.
func (k *keysCreate) Run(ctx context.Context, t terminal) error {
	return withStore(ctx, k.Config, func(s *store.Store) error {
		secret, hash := api.NewKey(!k.Test)
		key := store.Key{
			ID: email.NewID(email.KeyPrefix), World: email.Live, Name: k.Name, Prefix: secret[:api.ShownPrefix],
			Scopes: k.Scopes, CreatedAt: time.Now().UTC(),
		}
		if k.Test {
			key.World = email.Test
		}
		if len(key.Scopes) == 0 {
			key.Scopes = api.Scopes()
		}
		if err := s.Keys.Add(ctx, key, hash); err != nil {
			return err
		}
		fmt.Fprintln(t.out, secret)
		fmt.Fprintf(t.err, "This is the secret of the %s key %s. Keep it now: only its hash is stored.\n", key.World, key.ID)
		return nil
	})
}

// Run implements the command.
func (k *keysList) Run(ctx context.Context, t terminal) error {
	return withStore(ctx, k.Config, func(s *store.Store) error {
		list, err := s.Keys.List(ctx)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			fmt.Fprintln(t.err, "No API keys yet. Make one: postrider keys create --name app")
			return nil
		}
		table := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "ID\tNAME\tWORLD\tBEGINS\tCREATED\tSCOPES")
		for _, key := range list {
			scopes := strings.Join(key.Scopes, ",")
			if len(key.Scopes) == len(api.Scopes()) {
				scopes = "all"
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", key.ID, key.Name, key.World, key.Prefix,
				key.CreatedAt.UTC().Format(time.RFC3339), scopes)
		}
		return table.Flush()
	})
}

// Run implements the command.
func (k *keysRevoke) Run(ctx context.Context, t terminal) error {
	return withStore(ctx, k.Config, func(s *store.Store) error {
		err := s.Keys.Revoke(ctx, k.ID)
		if errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("there is no key with the id %q; `postrider keys list` shows them", k.ID)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(t.out, "%s is revoked. Running processes refuse it within %v.\n", k.ID, api.KeyLifetime)
		return nil
	})
}

// withStore does something that needs the store and nothing else.
func withStore(ctx context.Context, c config.Config, do func(*store.Store) error) error {
	a, err := app.OpenStore(ctx, c)
	if err != nil {
		return err
	}
	return errors.Join(do(a.Store), a.Close())
}
