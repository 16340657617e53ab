package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"postrider/client"
)

// webhooksCommand is `postrider webhooks ...`.
type webhooksCommand struct {
	List       webhooksList       `cmd:"" help:"List the endpoints with their health."`
	Create     webhooksCreate     `cmd:"" help:"Make an endpoint and print the secret that verifies its deliveries."`
	Show       webhooksShow       `cmd:"" help:"Show an endpoint."`
	Update     webhooksUpdate     `cmd:"" help:"Change, enable or disable an endpoint."`
	Delete     webhooksDelete     `cmd:"" help:"Remove an endpoint; what waits for it is dropped."`
	Test       webhooksTest       `cmd:"" help:"Post a sample now and show how the endpoint answers; exit 1 if it does not take it."`
	Deliveries webhooksDeliveries `cmd:"" help:"List the deliveries to an endpoint, or show one with its attempts."`
	Replay     webhooksReplay     `cmd:"" help:"Post again what an endpoint missed, or one delivery."`
	Secret     webhooksSecret     `cmd:"" help:"Print the secret that verifies the deliveries, or make a new one."`
}

// webhookFlags are what an endpoint can have.
type webhookFlags struct {
	Description string            `placeholder:"TEXT" help:"For people."`
	Header      map[string]string `mapsep:"none" placeholder:"NAME=VALUE" help:"A header field to send with every event; may be repeated."`
	Tag         []string          `sep:"none" placeholder:"TAG" help:"Only events of messages with one of these tags; may be repeated."`
	Stream      []string          `sep:"none" placeholder:"NAME" help:"Only events of messages of one of these streams; may be repeated."`
	Deferred    string            `placeholder:"first|all" help:"Of the deferrals of a recipient the first (the default) or all."`
}

type webhooksCreate struct {
	URL    string   `arg:"" help:"Where to post, such as https://app.acme.com/hooks/mail."`
	Events []string `placeholder:"EVENT" default:"message.*" help:"Which events, such as message.bounced, message.* or *. Default message.*."`
	webhookFlags
	Disabled bool `help:"Make it without enabling it."`
	JSON     bool `name:"json" help:"The endpoint as the API gives it, with its secret."`
}

type webhooksList struct {
	JSON bool `name:"json" help:"One JSON object a line, as the API gives it."`
}

type webhooksShow struct {
	ID   string `arg:"" help:"The endpoint's id (wh_...)."`
	JSON bool   `name:"json" help:"The endpoint as the API gives it."`
}

type webhooksUpdate struct {
	ID     string   `arg:"" help:"The endpoint's id (wh_...)."`
	URL    string   `placeholder:"URL" help:"Where to post."`
	Events []string `placeholder:"EVENT" help:"Which events, all of them."`
	webhookFlags
	Enable  bool `xor:"enabled" help:"Enable it; show tells since when it missed events, for replay."`
	Disable bool `xor:"enabled" help:"Disable it."`
	JSON    bool `name:"json" help:"The endpoint as the API gives it."`
}

type webhooksDelete struct {
	ID string `arg:"" help:"The endpoint's id (wh_...)."`
}

type webhooksTest struct {
	ID   string `arg:"" help:"The endpoint's id (wh_...)."`
	Type string `placeholder:"EVENT" help:"The type of the sample. Default message.delivered."`
	JSON bool   `name:"json" help:"The attempt as the API gives it."`
}

type webhooksDeliveries struct {
	ID       string `arg:"" help:"The endpoint's id (wh_...)."`
	Delivery string `arg:"" optional:"" help:"A delivery's id (dlv_...): then it is shown with its attempts."`
	Status   string `placeholder:"STATUS" help:"Only those that are pending, succeeded or failed."`
	Event    string `placeholder:"EVENT" help:"Only of events of this type."`
	Message  string `placeholder:"ID" help:"Only of events of this message."`
	Limit    int    `default:"25" help:"At most so many; 0 for all. Default 25."`
	JSON     bool   `name:"json" help:"As the API gives it, one object a line."`
}

type webhooksReplay struct {
	ID       string        `arg:"" help:"The endpoint's id (wh_...)."`
	Delivery string        `arg:"" optional:"" help:"A delivery's id (dlv_...): then it alone is posted again, at once."`
	Since    time.Time     `placeholder:"TIME" help:"Replay events from this time on (RFC 3339). Default: what was missed while it was disabled."`
	Last     time.Duration `placeholder:"DURATION" help:"Replay the events of the last so long, such as 48h."`
	Until    time.Time     `placeholder:"TIME" help:"And up to this time. Default: now."`
	Events   []string      `placeholder:"EVENT" help:"Of these types only."`
	All      bool          `help:"Also what was delivered; without it, what was not."`
	JSON     bool          `name:"json" help:"What it came to, as the API gives it, one object for each call."`
}

type webhooksSecret struct {
	ID      string        `arg:"" help:"The endpoint's id (wh_...)."`
	Rotate  bool          `help:"Make a new secret."`
	Overlap time.Duration `default:"24h" help:"How long the old secret signs too, with --rotate. Default 24h."`
	JSON    bool          `name:"json" help:"As the API gives it."`
}

// withServer does something with the server in POSTRIDER_URL, and explains its errors.
func withServer(t terminal, do func(*client.Client) error) error {
	c, err := remote(t)
	if err != nil {
		return err
	}
	err = do(c)
	var own failure
	if errors.As(err, &own) {
		return err
	}
	return explain(err)
}

// Run implements the command. Standard output is the id and the secret, for scripts.
func (w *webhooksCreate) Run(ctx context.Context, t terminal) error {
	return withServer(t, func(c *client.Client) error {
		enabled := !w.Disabled
		made, err := c.CreateWebhook(ctx, client.NewWebhook{
			URL: w.URL, Events: w.Events, Description: w.Description, Enabled: &enabled, Headers: w.Header, TagsFilter: w.Tag,
			Streams: w.Stream, Deferred: w.Deferred,
		})
		if err != nil {
			return err
		}
		if w.JSON {
			return printJSON(t.out, made)
		}
		_, err = fmt.Fprintf(t.out, "%s %s\n", made.ID, made.Secret)
		return err
	})
}

// Run implements the command.
func (w *webhooksList) Run(ctx context.Context, t terminal) error {
	return withServer(t, func(c *client.Client) error {
		rows := lines[client.Webhook]{json: w.JSON, none: "No webhooks. Make one: postrider webhooks create https://...", columns: []string{"ID", "STATUS", "PENDING", "FAILURES", "LAST SUCCESS", "EVENTS", "URL"}}
		return rows.print(t, c.Webhooks(ctx), func(h *client.Webhook) []string {
			return []string{
				h.ID, hookStatus(h), fmt.Sprint(h.Health.Pending), fmt.Sprint(h.Health.ConsecutiveFailures), clock(h.Health.LastSuccessAt),
				clean(strings.Join(h.Events, ",")), clean(h.URL),
			}
		})
	})
}

func hookStatus(h *client.Webhook) string {
	return clean(strings.TrimSuffix(h.Status+":"+h.DisabledReason, ":"))
}

// Run implements the command.
func (w *webhooksShow) Run(ctx context.Context, t terminal) error {
	return withServer(t, func(c *client.Client) error {
		hook, err := c.Webhook(ctx, w.ID)
		if err != nil {
			return err
		}
		return showHook(t, hook, w.JSON)
	})
}

func showHook(t terminal, h *client.Webhook, asJSON bool) error {
	if asJSON {
		return printJSON(t.out, h)
	}
	fmt.Fprintf(t.out, "%s %s\n", h.ID, hookStatus(h))
	rows := newTable(t.out)
	rows.row("URL", clean(h.URL))
	rows.row("Events", clean(strings.Join(h.Events, ", ")))
	for _, optional := range []struct {
		name   string
		values []string
	}{{"Description", oneOf(h.Description)}, {"Tags", h.TagsFilter}, {"Streams", h.Streams}, {"Headers", names(h.Headers)}} {
		if len(optional.values) > 0 {
			rows.row(optional.name, clean(strings.Join(optional.values, ", ")))
		}
	}
	rows.row("Deferrals", h.Deferred)
	rows.row("Pending", fmt.Sprint(h.Health.Pending))
	rows.row("Last success", clock(h.Health.LastSuccessAt))
	rows.row("Last failure", clock(h.Health.LastFailureAt))
	if h.Health.ConsecutiveFailures > 0 {
		rows.row("Failures", fmt.Sprint(h.Health.ConsecutiveFailures))
	}
	if !h.MissedSince.IsZero() {
		rows.row("Missed since", clock(h.MissedSince)+" (postrider webhooks replay "+h.ID+")")
	}
	return rows.Flush()
}

// Run implements the command.
func (w *webhooksUpdate) Run(ctx context.Context, t terminal) error {
	return withServer(t, func(c *client.Client) error {
		change := client.WebhookChange{URL: w.URL, Events: w.Events, Headers: w.Header, TagsFilter: w.Tag, Streams: w.Stream, Deferred: w.Deferred}
		if w.Description != "" {
			change.Description = &w.Description
		}
		if w.Enable || w.Disable {
			change.Enabled = &w.Enable
		}
		hook, err := c.UpdateWebhook(ctx, w.ID, change)
		if err != nil {
			return err
		}
		return showHook(t, hook, w.JSON)
	})
}

// Run implements the command.
func (w *webhooksDelete) Run(ctx context.Context, t terminal) error {
	return withServer(t, func(c *client.Client) error {
		if err := c.DeleteWebhook(ctx, w.ID); err != nil {
			return err
		}
		_, err := fmt.Fprintf(t.out, "%s is removed.\n", clean(w.ID))
		return err
	})
}

// Run implements the command.
func (w *webhooksSecret) Run(ctx context.Context, t terminal) error {
	return withServer(t, func(c *client.Client) error {
		secret, err := c.WebhookSecret(ctx, w.ID)
		if w.Rotate {
			secret, err = c.RotateWebhookSecret(ctx, w.ID, w.Overlap)
		}
		if err != nil {
			return err
		}
		if !secret.PreviousExpiresAt.IsZero() {
			fmt.Fprintf(t.err, "The secret before signs too, until %s.\n", clock(secret.PreviousExpiresAt))
		}
		if w.JSON {
			return printJSON(t.out, secret)
		}
		_, err = fmt.Fprintln(t.out, secret.Secret)
		return err
	})
}
