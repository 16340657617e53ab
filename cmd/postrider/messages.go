package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"postrider/client"
)

// messagesCommand is `postrider messages ...`.
type messagesCommand struct {
	List   messagesList   `cmd:"" help:"List messages, newest first."`
	Show   messagesShow   `cmd:"" help:"Show a message, its recipients, and what happened when."`
	Cancel messagesCancel `cmd:"" help:"Stop whatever is not final of a message."`
}

type messagesList struct {
	Status    string    `placeholder:"STATUS" help:"Only messages of this status, such as deferred."`
	Recipient string    `placeholder:"EMAIL" help:"Only messages to this address."`
	From      string    `placeholder:"EMAIL" help:"Only messages from this address."`
	Tag       []string  `sep:"none" placeholder:"TAG" help:"Only messages with this tag; may be repeated."`
	Stream    string    `placeholder:"NAME" help:"Only messages of this stream."`
	BatchID   string    `placeholder:"ID" help:"Only messages of this batch."`
	After     time.Time `placeholder:"TIME" help:"Only messages made after this time (RFC 3339)."`
	Before    time.Time `placeholder:"TIME" help:"Only messages made before this time (RFC 3339)."`
	Limit     int       `default:"25" help:"At most so many; 0 for all."`
	JSON      bool      `name:"json" help:"One JSON object a line, as the API gives it."`
}

type messagesShow struct {
	ID   string `arg:"" help:"The message's id (msg_...)."`
	SMTP bool   `name:"smtp" help:"Show the SMTP dialogue of every attempt; the key needs messages:read_content."`
	JSON bool   `name:"json" help:"One JSON object with message, events and, with --smtp, attempts."`
}

type messagesCancel struct {
	ID   string `arg:"" help:"The message's id (msg_...)."`
	JSON bool   `name:"json" help:"The message as the API gives it."`
}

// Validate refuses a limit that is none.
func (l *messagesList) Validate() error {
	if l.Limit < 0 {
		return fmt.Errorf("--limit: must not be negative")
	}
	return nil
}

// Run implements the command.
func (l *messagesList) Run(ctx context.Context, t terminal) error {
	c, err := remote(t)
	if err != nil {
		return err
	}
	filter := client.Filter{
		Status: client.Status(l.Status), Recipient: l.Recipient, From: l.From, Tags: l.Tag, Stream: l.Stream, BatchID: l.BatchID,
		CreatedAfter: l.After, CreatedBefore: l.Before,
	}
	table := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	found := 0
	for m, err := range c.List(ctx, filter) {
		if err != nil {
			return explain(err)
		}
		if found++; l.JSON {
			err = printJSON(t.out, m)
		} else {
			if found == 1 {
				fmt.Fprintln(table, "ID\tCREATED\tSTATUS\tTO\tSUBJECT")
			}
			_, err = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", m.ID, clock(m.CreatedAt), m.Status, recipients(m), clean(m.Subject))
		}
		if err != nil {
			return err
		}
		if found == l.Limit {
			break
		}
	}
	if found == 0 && !l.JSON {
		fmt.Fprintln(t.err, "No messages.")
	}
	return table.Flush()
}

// recipients names the first recipient, and how many there are beside it.
func recipients(m *client.Message) string {
	if len(m.Recipients) == 0 {
		return ""
	}
	first := clean(m.Recipients[0].Email)
	if others := len(m.Recipients) - 1; others > 0 {
		first += fmt.Sprintf(" +%d", others)
	}
	return first
}

// story is all that is known about a message.
type story struct {
	Message  *client.Message  `json:"message"`
	Events   []*client.Event  `json:"events"`
	Attempts []client.Attempt `json:"attempts,omitempty"`
}

// Run implements the command.
func (s *messagesShow) Run(ctx context.Context, t terminal) error {
	c, err := remote(t)
	if err != nil {
		return err
	}
	told, err := s.read(ctx, c)
	if err != nil {
		return explain(err)
	}
	if s.JSON {
		return printJSON(t.out, told)
	}
	return told.print(t.out)
}

func (s *messagesShow) read(ctx context.Context, c *client.Client) (*story, error) {
	m, err := c.Get(ctx, s.ID)
	if err != nil {
		return nil, err
	}
	told := &story{Message: m, Events: []*client.Event{}}
	for event, err := range c.Events(ctx, s.ID) {
		if err != nil {
			return nil, err
		}
		told.Events = append(told.Events, event)
	}
	if s.SMTP {
		told.Attempts, err = c.Attempts(ctx, s.ID)
	}
	return told, err
}

func (s *story) print(w io.Writer) error {
	m := s.Message
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s %s\n", m.ID, m.Status)
	fmt.Fprintf(table, "From\t%s\n", clean(strings.TrimSpace(m.From.Name+" <"+m.From.Email+">")))
	fmt.Fprintf(table, "Subject\t%s\n", clean(m.Subject))
	if len(m.Tags) > 0 {
		fmt.Fprintf(table, "Tags\t%s\n", strings.Join(m.Tags, ", "))
	}
	fmt.Fprintf(table, "Stream\t%s\n", clean(m.Stream))
	fmt.Fprintf(table, "Created\t%s\n", clock(m.CreatedAt))
	if !m.ScheduledAt.IsZero() {
		fmt.Fprintf(table, "Scheduled\t%s\n", clock(m.ScheduledAt))
	}
	if m.CompletedAt.IsZero() {
		fmt.Fprintf(table, "Expires\t%s\n", clock(m.ExpiresAt))
	} else {
		fmt.Fprintf(table, "Completed\t%s\n", clock(m.CompletedAt))
	}
	table.Flush()

	fmt.Fprintln(table, "\nRECIPIENT\tTYPE\tSTATUS\tATTEMPTS\tWHY")
	for _, r := range m.Recipients {
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\n", clean(r.Email), r.Type, r.Status, r.Attempts, fate(r))
	}
	table.Flush()

	fmt.Fprintln(table, "\nWHEN\tWHAT\tWHO\tWHY")
	for _, e := range s.Events {
		what := strings.TrimPrefix(e.Type, "message.")
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", e.Timestamp.UTC().Format(millis), clean(what), clean(e.Data.Recipient.Email), cause(e.Data))
	}
	err := table.Flush()
	for _, a := range s.Attempts {
		printAttempt(w, a)
	}
	return err
}

const millis = "2006-01-02T15:04:05.000Z07:00"

// cause is why an event happened, in a few words.
func cause(d client.EventData) string {
	var words []string
	switch {
	case d.Deferral != nil:
		words = append(words, d.Deferral.Category)
		if !d.Deferral.NextAttemptAt.IsZero() {
			words = append(words, "next attempt at "+clock(d.Deferral.NextAttemptAt))
		}
	case d.Bounce != nil:
		words = append(words, d.Bounce.Type, d.Bounce.Category)
	case d.Failure != nil:
		words = append(words, d.Failure.Reason, d.Failure.Detail)
	case d.Suppression != nil:
		words = append(words, d.Suppression.Reason)
	}
	words = append(words, reply(d.SMTP))
	var given []string
	for _, word := range words {
		if word != "" {
			given = append(given, clean(word))
		}
	}
	return strings.Join(given, "; ")
}

func printAttempt(w io.Writer, a client.Attempt) {
	where := a.Domain
	if a.Host != "" {
		where += " at " + a.Host + " " + a.Address
	}
	fmt.Fprintf(w, "\n%s  attempt %d for %s\n", a.StartedAt.UTC().Format(millis), a.Number, clean(where))
	marks := map[string]string{"client": "C:", "server": "S:"}
	for _, line := range a.Transcript {
		mark, ok := marks[line.From]
		if !ok {
			mark = "  "
		}
		fmt.Fprintf(w, "  %s %s\n", mark, clean(line.Text))
	}
	if a.Error != "" {
		fmt.Fprintf(w, "  ended early: %s\n", clean(a.Error))
	}
}

// Run implements the command.
func (m *messagesCancel) Run(ctx context.Context, t terminal) error {
	c, err := remote(t)
	if err != nil {
		return err
	}
	message, err := c.Cancel(ctx, m.ID)
	if err != nil {
		return explain(err)
	}
	if m.JSON {
		return printJSON(t.out, message)
	}
	fmt.Fprintf(t.out, "%s %s\n", message.ID, message.Status)
	return nil
}
