package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"postrider/client"
)

// suppressionsCommand is `postrider suppressions ...`.
type suppressionsCommand struct {
	List   suppressionsList   `cmd:"" help:"List the addresses that mail does not go to, newest first."`
	Add    suppressionsAdd    `cmd:"" help:"Suppress addresses."`
	Remove suppressionsRemove `cmd:"" help:"Let mail go to addresses again: every entry of an address, or one by its id."`
	Import suppressionsImport `cmd:"" help:"Import a CSV file, all of it or nothing."`
	Export suppressionsExport `cmd:"" help:"Write the whole list as a CSV file."`
}

type suppressionsList struct {
	Email  string    `placeholder:"EMAIL" help:"Only entries of this address."`
	Reason string    `placeholder:"REASON" help:"Only hard_bounce, complaint, unsubscribe or manual."`
	Stream string    `placeholder:"NAME" help:"Only entries about this stream alone."`
	After  time.Time `placeholder:"TIME" help:"Only entries made after this time (RFC 3339)."`
	Limit  int       `default:"25" help:"At most so many; 0 for all. Default 25."`
	JSON   bool      `name:"json" help:"One JSON object a line, as the API gives it."`
}

type suppressionsAdd struct {
	Email   []string  `arg:"" help:"The addresses."`
	Domain  string    `placeholder:"DOMAIN" help:"Only for mail of this sending domain."`
	Stream  string    `placeholder:"NAME" help:"Only for mail of this stream."`
	Note    string    `placeholder:"TEXT" help:"Why, for people."`
	Expires time.Time `placeholder:"TIME" help:"When mail may go there again (RFC 3339)."`
	JSON    bool      `name:"json" help:"What it came to, as the API gives it."`
}

type suppressionsRemove struct {
	Which []string `arg:"" help:"Addresses, or one id (sup_...)."`
	JSON  bool     `name:"json" help:"What it came to, as the API gives it; nothing with an id."`
}

type suppressionsImport struct {
	File string `arg:"" help:"The CSV file, or - for standard input. Its first row names the columns: email, and any of reason, domain, stream, note, expires_at."`
	JSON bool   `name:"json" help:"What it came to, as the API gives it."`
}

type suppressionsExport struct {
	File string `arg:"" optional:"" default:"-" help:"Where to write it; - (the default) is standard output. A file that is there is replaced once all has come."`
}

// maxTogether is how many changes the API takes at once.
const maxTogether = 1000

// Validate refuses a limit that is none.
func (s *suppressionsList) Validate() error {
	if s.Limit < 0 {
		return errors.New("--limit: must not be negative")
	}
	return nil
}

// Run implements the command.
func (s *suppressionsList) Run(ctx context.Context, t terminal) error {
	return withServer(t, func(c *client.Client) error {
		rows := lines[client.Suppression]{
			json: s.JSON, limit: s.Limit, none: "Nothing is suppressed.",
			columns: []string{"ID", "EMAIL", "REASON", "DOMAIN", "STREAM", "CREATED", "EXPIRES", "NOTE"},
		}
		filter := client.SuppressionFilter{Email: s.Email, Reason: s.Reason, Stream: s.Stream, CreatedAfter: s.After}
		return rows.print(t, c.Suppressions(ctx, filter), func(e *client.Suppression) []string {
			return []string{
				e.ID, clean(e.Email), clean(e.Reason), orDash(e.Domain), orDash(e.Stream), clock(e.CreatedAt), clock(e.ExpiresAt),
				orDash(e.Note),
			}
		})
	})
}

// Run implements the command.
func (s *suppressionsAdd) Run(ctx context.Context, t terminal) error {
	var change client.SuppressionChange
	for _, email := range s.Email {
		change.Add = append(change.Add, client.NewSuppression{Email: email, Domain: s.Domain, Stream: s.Stream, Note: s.Note, ExpiresAt: s.Expires})
	}
	if len(change.Add) > maxTogether {
		return fmt.Errorf("these are more than %d addresses: use postrider suppressions import", maxTogether)
	}
	return s.change(ctx, t, change)
}

func (s *suppressionsAdd) change(ctx context.Context, t terminal, change client.SuppressionChange) error {
	return withServer(t, func(c *client.Client) error {
		done, err := c.ChangeSuppressions(ctx, change)
		if err != nil {
			return err
		}
		if s.JSON {
			return printJSON(t.out, done)
		}
		_, err = fmt.Fprintf(t.out, "%d added, %d were there already.\n", done.Added, done.Existing)
		return err
	})
}

// Run implements the command.
func (s *suppressionsRemove) Run(ctx context.Context, t terminal) error {
	return withServer(t, func(c *client.Client) error {
		if len(s.Which) == 1 && strings.HasPrefix(s.Which[0], "sup_") {
			if err := c.DeleteSuppression(ctx, s.Which[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(t.out, "%s is removed.\n", s.Which[0])
			return err
		}
		done, err := c.ChangeSuppressions(ctx, client.SuppressionChange{Remove: s.Which})
		if err != nil {
			return err
		}
		if s.JSON {
			return printJSON(t.out, done)
		}
		_, err = fmt.Fprintf(t.out, "%d entries are removed.\n", done.Removed)
		return err
	})
}

// Run implements the command.
func (s *suppressionsImport) Run(ctx context.Context, t terminal) error {
	raw, err := input(t, s.File)
	if err != nil {
		return err
	}
	return withServer(t, func(c *client.Client) error {
		done, err := c.ImportSuppressions(ctx, bytes.NewReader(raw))
		if err != nil {
			return err
		}
		if s.JSON {
			return printJSON(t.out, done)
		}
		_, err = fmt.Fprintf(t.out, "%d rows: %d added, %d were there already.\n", done.Rows, done.Added, done.Existing)
		return err
	})
}

// Run implements the command. A list that was cut off does not replace a whole one.
func (s *suppressionsExport) Run(ctx context.Context, t terminal) error {
	return withServer(t, func(c *client.Client) error {
		if s.File == "-" {
			return c.ExportSuppressions(ctx, t.out)
		}
		part, err := os.CreateTemp(filepath.Dir(s.File), ".suppressions-*.csv")
		if err != nil {
			return err
		}
		defer os.Remove(part.Name())
		err = c.ExportSuppressions(ctx, part)
		if err = errors.Join(err, part.Close()); err != nil {
			return err
		}
		return os.Rename(part.Name(), s.File)
	})
}
