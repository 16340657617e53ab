// Package ledger keeps the books that a run is checked by: what was promised (202s
// given), what arrived (mails at the sink), and what the service itself says is
// uncertain. It measures nothing and asks nobody; [Reconcile] only compares.
//
// Promises and arrivals are files of one line each, so that every program of the
// benchmark can write and read them:
//
//	promise: <recipient> <message id, or - without a 202> <POST begun, ns> <answered, ns>
//	arrival: <recipient> <message id> <final reply, ns>
package ledger

import (
	"bufio"
	"fmt"
	"io"
	"time"
)

// Promise is one POST. Each has a recipient of its own, so that a mail that was
// accepted twice shows even where its message ids differ.
type Promise struct {
	Recipient string
	ID        string // empty: no 202 came
	Begun     time.Time
	Answered  time.Time
}

// Arrival is one mail that the sink took responsibility for.
type Arrival struct {
	Recipient string
	ID        string
	At        time.Time
}

const none = "-"

// WritePromise writes one line.
func WritePromise(w io.Writer, p Promise) error {
	id := p.ID
	if id == "" {
		id = none
	}
	_, err := fmt.Fprintln(w, p.Recipient, id, p.Begun.UnixNano(), p.Answered.UnixNano())
	return err
}

// WriteArrival writes one line.
func WriteArrival(w io.Writer, a Arrival) error {
	id := a.ID
	if id == "" {
		id = none
	}
	_, err := fmt.Fprintln(w, a.Recipient, id, a.At.UnixNano())
	return err
}

// ReadPromises reads all lines.
func ReadPromises(r io.Reader) ([]Promise, error) {
	var list []Promise
	err := lines(r, func(line string) error {
		var p Promise
		var begun, answered int64
		if _, err := fmt.Sscan(line, &p.Recipient, &p.ID, &begun, &answered); err != nil {
			return err
		}
		if p.ID == none {
			p.ID = ""
		}
		p.Begun, p.Answered = time.Unix(0, begun), time.Unix(0, answered)
		list = append(list, p)
		return nil
	})
	return list, err
}

// ReadArrivals reads all lines.
func ReadArrivals(r io.Reader) ([]Arrival, error) {
	var list []Arrival
	err := lines(r, func(line string) error {
		var a Arrival
		var at int64
		if _, err := fmt.Sscan(line, &a.Recipient, &a.ID, &at); err != nil {
			return err
		}
		if a.ID == none {
			a.ID = ""
		}
		a.At = time.Unix(0, at)
		list = append(list, a)
		return nil
	})
	return list, err
}

func lines(r io.Reader, take func(string) error) error {
	s := bufio.NewScanner(r)
	for s.Scan() {
		if err := take(s.Text()); err != nil {
			return fmt.Errorf("read ledger: %w", err)
		}
	}
	return s.Err()
}

// Report is what came of comparing the books. Only Lost, Unexplained and Strange
// are faults.
type Report struct {
	Promised    int
	Unanswered  int // POSTs that never got a 202: nothing was promised
	Arrived     int // promises of which at least one mail arrived
	Lost        []Promise
	Listed      int       // promises of which none arrived, but the service lists an unknown outcome
	Duplicates  int       // mails beyond the first of their promise
	Unexplained []Arrival // of those, the ones beyond the unknown outcomes that the service lists
	Strange     []Arrival // mails that nobody asked for, or under another message's id
}

// OK reports whether nothing was lost or doubled without being listed.
func (r *Report) OK() bool {
	return len(r.Lost) == 0 && len(r.Unexplained) == 0 && len(r.Strange) == 0
}

// Reconcile compares the books. unknowns is the number of unknown outcomes that
// the service lists for a message; it is asked only where a mail is missing or
// came more than once. Each unknown outcome explains one further mail.
func Reconcile(promises []Promise, arrivals []Arrival, unknowns func(id string) (int, error)) (*Report, error) {
	byRecipient := make(map[string][]Arrival, len(arrivals))
	for _, a := range arrivals {
		byRecipient[a.Recipient] = append(byRecipient[a.Recipient], a)
	}
	r := &Report{}
	for _, p := range promises {
		got := byRecipient[p.Recipient]
		delete(byRecipient, p.Recipient)
		id := p.ID
		if id == "" {
			r.Unanswered++
			if len(got) == 0 {
				continue
			}
			id = got[0].ID // accepted, but the answer was lost
		} else {
			r.Promised++
		}
		if err := r.compare(p, id, got, unknowns); err != nil {
			return nil, err
		}
	}
	for _, rest := range byRecipient {
		r.Strange = append(r.Strange, rest...)
	}
	return r, nil
}

func (r *Report) compare(p Promise, id string, got []Arrival, unknowns func(id string) (int, error)) error {
	for _, a := range got {
		if a.ID != id {
			r.Strange = append(r.Strange, a)
		}
	}
	if len(got) > 0 && p.ID != "" {
		r.Arrived++
	}
	if len(got) == 1 {
		return nil
	}
	listed, err := unknowns(id)
	if err != nil {
		return fmt.Errorf("ask after %s: %w", id, err)
	}
	switch {
	case len(got) > 0:
		r.Duplicates += len(got) - 1
		r.Unexplained = append(r.Unexplained, got[min(1+listed, len(got)):]...)
	case listed > 0:
		r.Listed++
	default:
		r.Lost = append(r.Lost, p)
	}
	return nil
}
