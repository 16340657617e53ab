package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"postrider/client"
	"postrider/internal/apikey"
	"postrider/internal/config"
)

// keysCommand is `postrider keys ...`: on the Redis itself, as the operator who makes
// the first key, or through a server, as a key may.
type keysCommand struct {
	Create keysCreate `cmd:"" help:"Make an API key and print its secret, which is shown only now."`
	List   keysList   `cmd:"" help:"List the API keys."`
	Show   keysShow   `cmd:"" help:"Show an API key and what it may do."`
	Update keysUpdate `cmd:"" help:"Change what an API key may do, or pause its sending."`
	Rotate keysRotate `cmd:"" help:"Give an API key a new secret and print it; the old one is valid for a while still."`
	Revoke keysRevoke `cmd:"" help:"Revoke an API key for good."`
}

// Help says whose keys these commands are about.
func (keysCommand) Help() string {
	return `With --redis-url (POSTRIDER_REDIS_URL) these commands work on the Redis itself and may do everything: that is how the first key is made. Without it they ask the server in POSTRIDER_URL with the key in POSTRIDER_API_KEY, which needs the scope api_keys:write, sees the keys of its own world, and can make none that may do more than itself.`
}

// keyBounds are the flags for what bounds a key.
type keyBounds struct {
	FromDomain       []string  `sep:"none" placeholder:"DOMAIN" help:"A domain that it may send from; may be repeated. Without it: all that are verified."`
	IP               []string  `name:"ip" sep:"none" placeholder:"CIDR" help:"An address or network that it may be used from; may be repeated. Without it: all."`
	Expires          time.Time `placeholder:"TIME" help:"When it ends to be valid (RFC 3339). Without it: never."`
	PerSecond        int64     `name:"requests-per-second" placeholder:"N" help:"How many requests a second it may make. Without it: POSTRIDER_RATE_LIMIT."`
	RecipientsPerDay int64     `placeholder:"N" help:"How many recipients a day (UTC) it may send to. Without it: any number."`
}

type keysCreate struct {
	Name   string   `required:"" placeholder:"NAME" help:"What the key is for, such as the app's name."`
	Test   bool     `help:"A test key: its mail goes to the sandbox only."`
	Scopes []string `placeholder:"SCOPE" help:"What the key may do; without it, all that can be given: ${scopes}."`
	keyBounds
	JSON          bool `name:"json" help:"The key as the API gives it, with its secret."`
	config.Config `group:"Settings"`
}

type keysList struct {
	JSON          bool `name:"json" help:"One JSON object a line, as the API gives it."`
	config.Config `group:"Settings"`
}

type keysShow struct {
	ID            string `arg:"" help:"The key's id, as keys list shows it."`
	JSON          bool   `name:"json" help:"The key as the API gives it."`
	config.Config `group:"Settings"`
}

type keysUpdate struct {
	ID     string   `arg:"" help:"The key's id, as keys list shows it."`
	Name   string   `placeholder:"NAME" help:"What the key is for."`
	Scopes []string `placeholder:"SCOPE" help:"What the key may do, all of it: ${scopes}."`
	keyBounds
	Lift          []string `placeholder:"BOUND" help:"Bounds to take away: ${bounds}."`
	Pause         bool     `xor:"pause" help:"Pause its sending: it sends no mail and changes no keys until --resume. Mail that it sent goes on."`
	Resume        bool     `xor:"pause" help:"End the pause."`
	JSON          bool     `name:"json" help:"The key as the API gives it."`
	config.Config `group:"Settings"`
}

type keysRotate struct {
	ID            string        `arg:"" help:"The key's id, as keys list shows it."`
	Overlap       time.Duration `default:"1h" help:"How long the old secret is valid still, up to 168h; 0s ends it at once. Default 1h."`
	JSON          bool          `name:"json" help:"The key as the API gives it, with its secret."`
	config.Config `group:"Settings"`
}

type keysRevoke struct {
	ID            string `arg:"" help:"The key's id, as keys list shows it."`
	config.Config `group:"Settings"`
}

// Validate refuses flags that say nothing a key could be.
func (k *keysCreate) Validate() error {
	draft := k.draft()
	return errors.Join(k.Config.Validate(), flagFaults(draft.Check(true, time.Now())))
}

func (k *keysCreate) draft() apikey.Draft {
	d := k.keyBounds.draft()
	d.Name, d.Scopes = &k.Name, k.Scopes
	if len(d.Scopes) == 0 {
		d.Scopes = apikey.Scopes()
	}
	return d
}

// Validate refuses flags that say nothing a key could be, and no change at all.
func (k *keysUpdate) Validate() error {
	draft := k.draft()
	err := flagFaults(draft.Check(false, time.Now()))
	if k.Name == "" && k.Scopes == nil && k.FromDomain == nil && k.IP == nil && k.Expires.IsZero() && k.PerSecond == 0 &&
		k.RecipientsPerDay == 0 && k.Lift == nil && !k.Pause && !k.Resume {
		err = fmt.Errorf("say what to change, such as --pause or --name")
	}
	for _, bound := range k.Lift {
		if !slices.Contains(apikey.Liftable(), bound) {
			err = errors.Join(err, fmt.Errorf("--lift: %q is no bound; there are %s", bound, strings.Join(apikey.Liftable(), ", ")))
		}
	}
	return errors.Join(k.Config.Validate(), err)
}

func (k *keysUpdate) draft() apikey.Draft {
	d := k.keyBounds.draft()
	d.Scopes, d.Lift = k.Scopes, k.Lift
	if k.Name != "" {
		d.Name = &k.Name
	}
	if k.Pause || k.Resume {
		d.SendingPaused = &k.Pause
	}
	return d
}

func (b *keyBounds) draft() apikey.Draft {
	d := apikey.Draft{FromDomains: b.FromDomain, Networks: b.IP}
	if !b.Expires.IsZero() {
		d.ExpiresAt = &b.Expires
	}
	if b.PerSecond != 0 {
		d.RequestsPerSecond = &b.PerSecond
	}
	if b.RecipientsPerDay != 0 {
		d.RecipientsPerDay = &b.RecipientsPerDay
	}
	return d
}

// Validate refuses an overlap that is none.
func (k *keysRotate) Validate() error {
	if k.Overlap < 0 || k.Overlap > apikey.MaxOverlap {
		return fmt.Errorf("--overlap: must be 0s to %v", apikey.MaxOverlap)
	}
	return k.Config.Validate()
}

// Run implements the command. Standard output is the secret alone, for scripts.
func (k *keysCreate) Run(ctx context.Context, t terminal) error {
	return withKeys(ctx, k.Config, t, func(keys keyAdmin) error {
		made, err := keys.create(ctx, k)
		if err != nil {
			return explain(err)
		}
		return tellSecret(t, made, k.JSON)
	})
}

// tellSecret prints a new secret.
func tellSecret(t terminal, k *client.APIKey, asJSON bool) error {
	fmt.Fprintf(t.err, "This is the secret of the %s key %s. Keep it now: only its hash is stored.\n", worldName(k), k.ID)
	if asJSON {
		return printJSON(t.out, k)
	}
	_, err := fmt.Fprintln(t.out, k.Secret)
	return err
}

// Run implements the command.
func (k *keysList) Run(ctx context.Context, t terminal) error {
	return withKeys(ctx, k.Config, t, func(keys keyAdmin) error {
		list, err := keys.list(ctx)
		if err != nil {
			return explain(err)
		}
		if k.JSON {
			for _, key := range list {
				if err := printJSON(t.out, key); err != nil {
					return err
				}
			}
			return nil
		}
		if len(list) == 0 {
			fmt.Fprintln(t.err, "No API keys yet. Make one: postrider keys create --name app")
			return nil
		}
		table := newTable(t.out, "ID", "NAME", "WORLD", "BEGINS", "CREATED", "LAST USED", "STATE", "SCOPES")
		for _, key := range list {
			table.row(key.ID, clean(key.Name), worldName(key), key.Prefix, clock(key.CreatedAt), clock(key.LastUsedAt), keyState(key), scopesOf(key))
		}
		return table.Flush()
	})
}

// keyState is whether a key can be used, in a word.
func keyState(k *client.APIKey) string {
	switch {
	case !k.ExpiresAt.IsZero() && !time.Now().Before(k.ExpiresAt):
		return "expired"
	case k.SendingPaused:
		return "paused"
	}
	return "valid"
}

func worldName(k *client.APIKey) string { return string(apikey.World(k.Livemode)) }

func scopesOf(k *client.APIKey) string {
	if len(k.Scopes) == len(apikey.Scopes()) {
		return "all"
	}
	return strings.Join(k.Scopes, ",")
}

// Run implements the command.
func (k *keysShow) Run(ctx context.Context, t terminal) error {
	return withKeys(ctx, k.Config, t, func(keys keyAdmin) error {
		key, err := keys.get(ctx, k.ID)
		if err != nil {
			return explain(err)
		}
		return showKey(t, key, k.JSON)
	})
}

// Run implements the command.
func (k *keysUpdate) Run(ctx context.Context, t terminal) error {
	return withKeys(ctx, k.Config, t, func(keys keyAdmin) error {
		key, err := keys.update(ctx, k)
		if err != nil {
			return explain(err)
		}
		return showKey(t, key, k.JSON)
	})
}

// showKey prints all of a key but its secret.
func showKey(t terminal, k *client.APIKey, asJSON bool) error {
	if asJSON {
		return printJSON(t.out, k)
	}
	fmt.Fprintf(t.out, "%s %s\n", k.ID, keyState(k))
	table := newTable(t.out)
	table.row("Name", clean(k.Name))
	table.row("World", worldName(k))
	table.row("Begins", k.Prefix)
	table.row("Scopes", scopesOf(k))
	table.row("From domains", orAll(k.AllowedFromDomains))
	table.row("Used from", orAll(k.AllowedIPs))
	table.row("Expires", clock(k.ExpiresAt))
	if k.RequestsPerSecond > 0 {
		table.row("Requests/s", fmt.Sprint(k.RequestsPerSecond))
	}
	if k.RecipientsPerDay > 0 {
		table.row("Recipients/day", fmt.Sprint(k.RecipientsPerDay))
	}
	table.row("Created", clock(k.CreatedAt))
	table.row("Last used", clock(k.LastUsedAt))
	if p := k.Previous; p != nil {
		table.row("Old secret", p.Prefix+"... is valid until "+clock(p.ExpiresAt))
	}
	return table.Flush()
}

func orAll(list []string) string {
	if list == nil {
		return "all"
	}
	return clean(strings.Join(list, ", "))
}

// Run implements the command. Standard output is the secret alone, for scripts.
func (k *keysRotate) Run(ctx context.Context, t terminal) error {
	return withKeys(ctx, k.Config, t, func(keys keyAdmin) error {
		rotated, err := keys.rotate(ctx, k.ID, k.Overlap)
		if err != nil {
			return explain(err)
		}
		if p := rotated.Previous; p != nil {
			fmt.Fprintf(t.err, "The old secret (%s...) is valid until %s.\n", p.Prefix, clock(p.ExpiresAt))
		}
		return tellSecret(t, rotated, k.JSON)
	})
}

// Run implements the command.
func (k *keysRevoke) Run(ctx context.Context, t terminal) error {
	return withKeys(ctx, k.Config, t, func(keys keyAdmin) error {
		if err := keys.revoke(ctx, k.ID); err != nil {
			return explain(err)
		}
		fmt.Fprintf(t.out, "%s is revoked. Running processes refuse it within %v.\n", k.ID, keyLifetime)
		return nil
	})
}
