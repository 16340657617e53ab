package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"postrider/client"
)

// sendCommand is `postrider send`. What is wrong with the mail is the server's to
// say: it names every fault at once.
type sendCommand struct {
	From           string   `placeholder:"ADDRESS" help:"The author, such as 'Acme <hi@acme.com>'."`
	To             []string `sep:"none" placeholder:"ADDRESS" help:"A recipient; may be repeated."`
	Cc             []string `sep:"none" placeholder:"ADDRESS" help:"Who gets a copy; may be repeated."`
	Bcc            []string `sep:"none" placeholder:"ADDRESS" help:"Who gets a copy unseen by the others; may be repeated."`
	ReplyTo        []string `sep:"none" placeholder:"ADDRESS" help:"Where answers go; may be repeated."`
	Subject        string   `placeholder:"TEXT" help:"The subject."`
	Text           string   `placeholder:"TEXT" help:"The text, or - to read it from standard input."`
	HTML           string   `name:"html" placeholder:"HTML" help:"The HTML, or - to read it from standard input."`
	Attach         []string `sep:"none" placeholder:"FILE" help:"A file to attach; may be repeated."`
	Tag            []string `sep:"none" placeholder:"TAG" help:"A tag, for filters and statistics; may be repeated."`
	Stream         string   `placeholder:"NAME" help:"The kind of mail, such as critical or bulk."`
	IdempotencyKey string   `placeholder:"KEY" help:"The same mail with the same key is sent once, however often this is run."`
	Wait           bool     `help:"Follow the mail until all recipients are final; exit 3 unless it reached them all."`
}

// exitNotDelivered is the exit status of a mail that was accepted but did not
// reach everybody.
const exitNotDelivered = 3

// Validate refuses to read standard input twice.
func (s *sendCommand) Validate() error {
	if s.Text == "-" && s.HTML == "-" {
		return errors.New("--text - and --html - cannot both read standard input")
	}
	return nil
}

// Run implements the command. Standard output is the id and status, for scripts.
func (s *sendCommand) Run(ctx context.Context, t terminal) error {
	c, err := remote(t)
	if err != nil {
		return err
	}
	mail, err := s.mail(t)
	if err != nil {
		return err
	}
	sent, err := c.Send(ctx, mail)
	if err != nil {
		return fmt.Errorf("the mail was not accepted: %w", explain(err))
	}
	fmt.Fprintf(t.out, "%s %s\n", sent.ID, sent.Status)
	if sent.Replayed {
		fmt.Fprintln(t.err, "It was sent before under this key; it is not sent again.")
	}
	for _, r := range sent.Recipients {
		if r.Status == client.Suppressed {
			fmt.Fprintf(t.err, "%s is suppressed: %s\n", clean(r.Email), clean(r.Reason))
		}
	}
	if !s.Wait {
		return nil
	}
	m, err := follow(ctx, c, sent.ID, t)
	if err != nil {
		return fmt.Errorf("the mail is accepted, but following it failed: %w", explain(err))
	}
	fmt.Fprintf(t.out, "%s %s\n", m.ID, m.Status)
	if m.Status != client.Delivered {
		return failure{fmt.Errorf("the mail did not reach everybody; `postrider messages show %s` tells more", m.ID), exitNotDelivered}
	}
	return nil
}

// mail makes the mail of the flags, and names every file that cannot be read.
func (s *sendCommand) mail(t terminal) (client.Mail, error) {
	m := client.Mail{
		From: s.From, To: s.To, Cc: s.Cc, Bcc: s.Bcc, ReplyTo: s.ReplyTo, Subject: s.Subject, Text: s.Text, HTML: s.HTML,
		Tags: s.Tag, Stream: s.Stream, IdempotencyKey: s.IdempotencyKey,
	}
	var faults []error
	for _, part := range []*string{&m.Text, &m.HTML} {
		if *part == "-" {
			raw, err := input(t, "-")
			faults = append(faults, err)
			*part = string(raw)
		}
	}
	for _, path := range s.Attach {
		raw, err := input(t, path)
		if path == "-" {
			err = errors.New("--attach takes files only: an attachment needs a name")
		}
		faults = append(faults, err)
		m.Attachments = append(m.Attachments, client.Attachment{Filename: filepath.Base(path), Content: raw})
	}
	return m, errors.Join(faults...)
}

const (
	firstLook = 100 * time.Millisecond
	lastLook  = 5 * time.Second
)

// follow reports every change of a message until it is final.
func follow(ctx context.Context, c *client.Client, id string, t terminal) (*client.Message, error) {
	seen := make(map[string]int)
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		m, err := c.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		for _, r := range m.Recipients {
			if r.Seq == seen[r.Email] {
				continue
			}
			seen[r.Email] = r.Seq
			pause = firstLook
			line := clean(r.Email) + " is " + string(r.Status)
			if why := fate(r); why != "" {
				line += ": " + why
			}
			fmt.Fprintln(t.err, line)
		}
		if m.Status.Final() {
			return m, nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
