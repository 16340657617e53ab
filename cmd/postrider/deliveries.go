package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postrider/client"
)

// Run implements the command.
func (w *webhooksTest) Run(ctx context.Context, t terminal) error {
	return withServer(t, func(c *client.Client) error {
		tried, err := c.TestWebhook(ctx, w.ID, w.Type)
		if err != nil {
			return err
		}
		if w.JSON {
			err = printJSON(t.out, tried)
		} else {
			_, err = fmt.Fprintf(t.out, "%s %s: %s\n", clean(tried.Type), clean(tried.Status), answered(tried.StatusCode, tried.Error, tried.DurationMS))
			if tried.ResponseBody != "" {
				fmt.Fprintf(t.out, "  %s\n", clean(tried.ResponseBody))
			}
		}
		if err == nil && tried.Status != "succeeded" {
			err = failure{errors.New("the endpoint did not take the sample"), 1}
		}
		return err
	})
}

// answered is how an endpoint answered, in a few words.
func answered(status int, why string, ms int) string {
	said := "no answer"
	if status > 0 {
		said = fmt.Sprint(status)
	}
	if why != "" {
		said += ", " + clean(why)
	}
	return fmt.Sprintf("%s (%d ms)", said, ms)
}

// Validate refuses a limit that is none.
func (w *webhooksDeliveries) Validate() error {
	if w.Limit < 0 {
		return errors.New("--limit: must not be negative")
	}
	return nil
}

// Run implements the command.
func (w *webhooksDeliveries) Run(ctx context.Context, t terminal) error {
	return withServer(t, func(c *client.Client) error {
		if w.Delivery != "" {
			delivery, err := c.Delivery(ctx, w.ID, w.Delivery)
			if err != nil {
				return err
			}
			return showDelivery(t, delivery, w.JSON)
		}
		rows := lines[client.Delivery]{
			json: w.JSON, limit: w.Limit, none: "No deliveries.",
			columns: []string{"ID", "CREATED", "EVENT", "STATUS", "ATTEMPTS", "NEXT", "LAST ANSWER", "MESSAGE"},
		}
		filter := client.DeliveryFilter{Status: w.Status, EventType: w.Event, MessageID: w.Message}
		return rows.print(t, c.Deliveries(ctx, w.ID, filter), func(d *client.Delivery) []string {
			return []string{
				d.ID, clock(d.CreatedAt), clean(d.EventType), clean(d.Status), fmt.Sprint(d.AttemptCount), clock(d.NextAttemptAt),
				lastAnswer(d), orDash(d.MessageID),
			}
		})
	})
}

func lastAnswer(d *client.Delivery) string {
	switch {
	case d.LastError != "":
		return clean(d.LastError)
	case d.LastStatusCode > 0:
		return fmt.Sprint(d.LastStatusCode)
	}
	return "-"
}

func showDelivery(t terminal, d *client.Delivery, asJSON bool) error {
	if asJSON {
		return printJSON(t.out, d)
	}
	fmt.Fprintf(t.out, "%s %s\n", d.ID, clean(d.Status))
	rows := newTable(t.out)
	rows.row("Event", clean(d.EventType)+" "+d.EventID)
	rows.row("Message", orDash(d.MessageID))
	rows.row("Created", clock(d.CreatedAt))
	rows.row("Next attempt", clock(d.NextAttemptAt))
	rows.row("Completed", clock(d.CompletedAt))
	if err := rows.Flush(); err != nil {
		return err
	}
	for _, a := range d.Attempts {
		fmt.Fprintf(t.out, "\n%s  attempt %d: %s\n", a.At.UTC().Format(millis), a.Number, answered(a.StatusCode, a.Error, a.DurationMS))
		if a.ResponseBody != "" {
			fmt.Fprintf(t.out, "  %s\n", clean(a.ResponseBody))
		}
	}
	if d.Payload != nil {
		fmt.Fprintf(t.out, "\n%s\n", clean(string(d.Payload)))
	}
	return nil
}

// Validate refuses two beginnings.
func (w *webhooksReplay) Validate() error {
	ranged := !w.Since.IsZero() || w.Last != 0 || !w.Until.IsZero() || w.Events != nil || w.All
	switch {
	case w.Last < 0:
		return errors.New("--last: must not be negative")
	case w.Last != 0 && !w.Since.IsZero():
		return errors.New("--since and --last cannot both say where to begin")
	case w.Delivery != "" && ranged:
		return errors.New("one delivery is replayed as it is: leave --since, --last, --until, --events and --all out")
	}
	return nil
}

// Run implements the command.
func (w *webhooksReplay) Run(ctx context.Context, t terminal) error {
	return withServer(t, func(c *client.Client) error {
		if w.Delivery != "" {
			d, err := c.ReplayDelivery(ctx, w.ID, w.Delivery)
			if err != nil {
				return err
			}
			return showDelivery(t, d, w.JSON)
		}
		replay, err := w.replay(ctx, c)
		if err != nil {
			return err
		}
		return w.all(ctx, t, c, replay)
	})
}

// replay says what to post again.
func (w *webhooksReplay) replay(ctx context.Context, c *client.Client) (client.Replay, error) {
	r := client.Replay{Since: w.Since, Until: w.Until, Types: w.Events}
	if w.All {
		r.OnlyFailed = new(bool)
	}
	if w.Last != 0 {
		r.Since = time.Now().Add(-w.Last)
	}
	if !r.Since.IsZero() {
		return r, nil
	}
	hook, err := c.Webhook(ctx, w.ID)
	if err != nil {
		return r, err
	}
	if hook.MissedSince.IsZero() {
		return r, failure{errors.New("this endpoint was not disabled: say from when on to replay, such as --last 48h"), 2}
	}
	r.Since = hook.MissedSince
	return r, nil
}

// all asks until nothing is left.
func (w *webhooksReplay) all(ctx context.Context, t terminal, c *client.Client, r client.Replay) error {
	count := 0
	for {
		did, err := c.ReplayWebhook(ctx, w.ID, r)
		if err != nil {
			return err
		}
		if count += did.Count; w.JSON {
			if err := printJSON(t.out, did); err != nil {
				return err
			}
		}
		if did.ResumeAt.IsZero() || !did.ResumeAt.After(r.Since) {
			break
		}
		r.Since = did.ResumeAt
	}
	if w.JSON {
		return nil
	}
	_, err := fmt.Fprintf(t.out, "%d events are posted again.\n", count)
	return err
}
