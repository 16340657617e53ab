package store

import (
	"slices"
	"strings"

	"postrider/internal/email"
)

// sieve is what the stored text of every record that a filter selects holds. A walk that
// finds few of many spends most of its time on decoding: what the sieve holds back, it
// need not decode. What passes is still to be matched.
type sieve struct {
	fixed   []string // of the part that is fixed at accept, in lower case
	changes []string // of the part that changes
}

func (f Filter) sieve() sieve {
	var s sieve
	hold := func(before, text, behind string) {
		if text != "" && literal(text) {
			s.fixed = append(s.fixed, before+strings.ToLower(text)+behind)
		}
	}
	hold("", f.Subject, "")
	hold("@", f.Domain, `"`)
	hold(`"`, f.Recipient, `"`)
	hold(`"`, f.From, `"`)
	hold(`"`, f.Batch, `"`)
	hold(`"`, f.Template, `"`)
	for _, tag := range f.Tags {
		hold(`"`, tag, `"`)
	}
	if f.Stream != defaultStream {
		hold(`"`, f.Stream, `"`)
	}
	// One that follows from the id is not stored.
	if id := strings.Trim(f.MessageID, "<>"); !strings.HasPrefix(id, email.MessagePrefix) {
		hold("", id, "")
	}
	if len(f.Statuses) == 1 {
		switch f.Statuses[0] {
		case email.Failed, email.Processing, email.PartiallyDelivered: // recipients' states may be others
		default:
			s.changes = append(s.changes, `"s":"`+string(f.Statuses[0])+`"`)
		}
	}
	if f.Quarantined {
		s.changes = append(s.changes, `"p":"`+string(email.Quarantined)+`"`)
	}
	return s
}

// passes is false of a record that cannot match.
func (s sieve) passes(fields map[string]string) bool {
	if len(s.fixed) > 0 {
		fixed := strings.ToLower(fields["m"])
		if slices.ContainsFunc(s.fixed, func(part string) bool { return !strings.Contains(fixed, part) }) {
			return false
		}
	}
	return !slices.ContainsFunc(s.changes, func(part string) bool { return !strings.Contains(fields["s"], part) })
}

// literal reports whether JSON writes a text as it is, without an escape.
func literal(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool {
		return r < ' ' || strings.ContainsRune("\"\\<>&\u2028\u2029\ufffd", r)
	})
}
