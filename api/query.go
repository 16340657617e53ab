package api

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"postrider/internal/email"
	"postrider/internal/intake"
)

// Page sizes (api.md 9).
const (
	defaultLimit = 25
	maxLimit     = 100
)

// maxParameterName bounds a parameter's name in an answer.
const maxParameterName = 64

// parseQuery reads a query in which only these parameters may occur, "tag" and "to" repeatedly,
// every other once. Errors: *problem invalid_parameter.
func parseQuery(raw string, allowed []string) (url.Values, error) {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return nil, badParameter("", intake.InvalidFormat, "the query string is malformed")
	}
	var faults []fault
	for name, values := range query {
		switch {
		case !slices.Contains(allowed, name):
			faults = append(faults, fault{Parameter: printableName(name), Code: "unknown_parameter", Detail: "is not a parameter of this route"})
		case len(values) > 1 && name != "tag" && name != "to":
			faults = append(faults, fault{Parameter: name, Code: intake.TooMany, Detail: "may be given once"})
		}
	}
	if len(faults) == 0 {
		return query, nil
	}
	slices.SortFunc(faults, func(a, b fault) int {
		if a.Parameter < b.Parameter {
			return -1
		}
		return 1
	})
	return nil, badParameters(faults)
}

// badParameter is one fault of the query.
func badParameter(name, code, detail string) *problem {
	return badParameters([]fault{{Parameter: name, Code: code, Detail: detail}})
}

// badParameters is the answer to a query; it names its first fault at the top.
func badParameters(faults []fault) *problem {
	first := faults[0]
	p := &problem{code: invalidParameter, parameter: first.Parameter, errors: faults}
	p.detail = fmt.Sprintf("The query parameter %q %s.", first.Parameter, first.Detail)
	if first.Parameter == "" {
		p.detail, p.errors = "The query string is malformed.", nil
	}
	return p
}

// printableName keeps what can stand in an answer of an unknown parameter's name.
func printableName(s string) string {
	out := make([]byte, 0, maxParameterName)
	for i := 0; i < len(s) && len(out) < maxParameterName; i++ {
		if c := s[i]; c > ' ' && c <= '~' {
			out = append(out, c)
		} else {
			out = append(out, '?')
		}
	}
	if len(out) == 0 {
		return "?"
	}
	return string(out)
}

// queryReader reads filters and notes all that is wrong with them.
type queryReader struct {
	c      *call
	faults []fault
}

func (r *queryReader) fault(name, code, detail string) {
	r.faults = append(r.faults, fault{Parameter: name, Code: code, Detail: detail})
}

func (r *queryReader) word(name string) string { return r.c.query.Get(name) }

// address reads a whole mail address, in the form in which addresses are compared.
func (r *queryReader) address(name string) string {
	if !r.c.query.Has(name) {
		return ""
	}
	address, err := email.NewAddress(r.word(name), "")
	if err != nil {
		r.fault(name, intake.InvalidEmail, "is not a mail address")
	}
	return address.Normalized()
}

// time reads an RFC 3339 time of any offset.
func (r *queryReader) time(name string) time.Time {
	if !r.c.query.Has(name) {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339Nano, r.word(name))
	if err != nil || at.Year() < 1970 || at.Year() > 9999 {
		r.fault(name, intake.InvalidFormat, "is not a time such as 2026-08-23T14:05:09Z")
		return time.Time{}
	}
	return at.UTC()
}

// id reads an id with a prefix.
func (r *queryReader) id(name, prefix string) string {
	if !r.c.query.Has(name) {
		return ""
	}
	if _, err := email.ParseID(prefix, r.word(name)); err != nil {
		r.fault(name, intake.InvalidFormat, "is not an id of the form "+prefix+"_...")
		return ""
	}
	return r.word(name)
}

// err is the *problem with all faults, or nil.
func (r *queryReader) err() error {
	if len(r.faults) == 0 {
		return nil
	}
	return badParameters(r.faults)
}

// allFaults is one answer to all that is wrong with a query, read in parts; nil if
// nothing is.
func allFaults(parts ...error) error {
	var faults []fault
	for _, err := range parts {
		var p *problem
		switch {
		case errors.As(err, &p):
			faults = append(faults, p.errors...)
		case err != nil:
			return err
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return badParameters(faults)
}

// filters name a list and its filters for listHash: order and page size do not
// matter, and each spelling of a value is a filter of its own.
func (c *call) filters(list string, parameters []string) []string {
	out := []string{list}
	for _, name := range slices.Sorted(slices.Values(parameters)) {
		if name != "limit" && name != "cursor" && name != "wait" {
			out = append(out, name, strings.Join(slices.Compact(slices.Sorted(slices.Values(c.query[name]))), "\x01"))
		}
	}
	return out
}

// limit reads the page size. Errors: *problem invalid_parameter.
func (c *call) limit() (int, error) {
	if !c.query.Has("limit") {
		return defaultLimit, nil
	}
	s := c.query.Get("limit")
	n, err := strconv.Atoi(s)
	if err != nil || s[0] == '+' {
		return 0, badParameter("limit", intake.InvalidFormat, "is not an integer")
	}
	if n < 1 || n > maxLimit {
		return 0, badParameter("limit", intake.OutOfRange, fmt.Sprintf("is not between 1 and %d", maxLimit))
	}
	return n, nil
}
