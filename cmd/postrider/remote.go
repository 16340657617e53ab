package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
	"unicode"

	"postrider/client"
)

// remote is a client of the server in POSTRIDER_URL.
func remote(t terminal) (*client.Client, error) {
	return client.New(client.Options{URL: t.variable("POSTRIDER_URL"), APIKey: t.variable("POSTRIDER_API_KEY")})
}

func (t terminal) variable(name string) string {
	for _, pair := range t.environ {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}

// failure is an error with an exit status of its own.
type failure struct {
	error
	status int
}

// explain says what went wrong with a call, for a person: every fault on a line of
// its own, and what to do next.
func explain(err error) error {
	var refused *client.Error
	var network *net.OpError
	switch {
	case errors.Is(err, context.Canceled):
		// Not the end that was asked for: whoever waits must not take it for success.
		return errors.New("interrupted")
	case errors.As(err, &refused):
		return errors.New(refusal(refused))
	case errors.As(err, &network) && network.Op == "dial":
		return fmt.Errorf("the server in POSTRIDER_URL cannot be reached: %w", network)
	}
	return err
}

func refusal(e *client.Error) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s", strings.TrimSuffix(clean(e.Detail), "."), clean(e.Code))
	if e.RequestID != "" {
		b.WriteString(", " + clean(e.RequestID))
	}
	b.WriteString(")")
	for _, fault := range e.Errors {
		fmt.Fprintf(&b, "\n  %s", clean(fault.String()))
	}
	switch e.Status {
	case http.StatusUnauthorized:
		b.WriteString("\nThe key is taken from POSTRIDER_API_KEY; `postrider keys create` makes one.")
	case http.StatusForbidden:
		b.WriteString("\n`postrider keys list` shows what each key may do.")
	}
	return b.String()
}

// clean replaces what could move the cursor, colour the screen or turn the
// direction of the text: subjects and replies come from strangers.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r != ' ' && !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// fate is where a recipient is and why, in a few words.
func fate(r client.Recipient) string {
	var words []string
	if r.Reason != "" {
		words = append(words, r.Reason)
	}
	if r.Status == client.Deferred && !r.NextAttemptAt.IsZero() {
		words = append(words, "next attempt at "+clock(r.NextAttemptAt))
	}
	if r.WaitingFor != nil && r.WaitingFor.Reason != "retry" {
		words = append(words, strings.TrimSuffix("waits for "+r.WaitingFor.Reason+": "+r.WaitingFor.Detail, ": "))
	}
	if said := reply(r.LastResponse); said != "" {
		words = append(words, said)
	}
	return clean(strings.Join(words, "; "))
}

// reply is what a mail server said.
func reply(r *client.Reply) string {
	if r == nil {
		return ""
	}
	// The enhanced code often begins the text too.
	said := strings.TrimSpace(fmt.Sprintf("%d %s", r.Code, strings.TrimSpace(r.EnhancedCode+" "+strings.TrimPrefix(r.Text, r.EnhancedCode+" "))))
	if r.MXHost != "" {
		said = r.MXHost + " said " + said
	}
	return clean(said)
}

func clock(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return at.UTC().Format(time.RFC3339)
}

// printJSON writes one object on one line, as the API gives it.
func printJSON(w io.Writer, object any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(object)
}

// maxInput bounds a file or standard input: the API takes less.
const maxInput = 28 << 20

// input reads a file, or standard input for "-".
func input(t terminal, path string) ([]byte, error) {
	from := t.in
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		from = file
	}
	raw, err := io.ReadAll(io.LimitReader(from, maxInput+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(raw) > maxInput {
		return nil, fmt.Errorf("read %s: it is larger than a message may be (28 MiB)", path)
	}
	return raw, nil
}
