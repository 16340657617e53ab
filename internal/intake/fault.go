package intake

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The codes of faults (api.md 7).
const (
	Required                = "required"
	UnknownMember           = "unknown_member"
	InvalidType             = "invalid_type"
	InvalidEmail            = "invalid_email"
	InvalidFormat           = "invalid_format"
	TooLong                 = "too_long"
	TooMany                 = "too_many"
	OutOfRange              = "out_of_range"
	InvalidBase64           = "invalid_base64"
	HeaderNotAllowed        = "header_not_allowed"
	AttachmentTypeForbidden = "attachment_type_forbidden"
	RecipientDomainReserved = "recipient_domain_reserved"
	ScheduledInPast         = "scheduled_in_past"
	MutuallyExclusive       = "mutually_exclusive"
	UnsupportedFeature      = "unsupported_feature"
	SMTPUTF8NotSupported    = "smtputf8_not_supported"
)

// Fault is one thing wrong with a request (api.md 7): Pointer is a JSON Pointer in
// fragment form, Code one of those above, Detail a sentence for people that begins
// with its verb and does not repeat the value.
type Fault struct {
	Pointer string `json:"pointer"`
	// Header names a field of a raw mail, Parameter one of the query, instead.
	Header, Parameter string `json:"-"`
	Code              string `json:"code"`
	Detail            string `json:"detail"`
	// Line and Column are where in a template, from 1; 0: nowhere.
	Line, Column int `json:"-"`
}

// Invalid is a request with faults: all of them, in the order of the members.
type Invalid struct{ Faults []Fault }

// NotVerified is a From address whose domain must be verified and is not. DomainID
// is empty if the domain was never added.
type NotVerified struct{ Domain, DomainID string }

// TooLarge is a mail of too many octets, composed. Actual is a lower bound if the
// attachments alone are too large.
type TooLarge struct{ Limit, Actual int64 }

func (e *Invalid) Error() string {
	if len(e.Faults) == 0 {
		return "invalid message"
	}
	first := e.Faults[0]
	return fmt.Sprintf("invalid message: %d faults, the first: %s at %s", len(e.Faults), first.Code, first.Pointer)
}

func (e *NotVerified) Error() string { return "the From domain is not verified" }

func (e *TooLarge) Error() string {
	return fmt.Sprintf("the composed mail has %d octets, more than %d", e.Actual, e.Limit)
}

// Pointer makes a JSON Pointer in fragment form (RFC 6901 6) of reference tokens.
func Pointer(tokens ...string) string {
	var b strings.Builder
	b.WriteByte('#')
	for _, token := range tokens {
		b.WriteByte('/')
		for i := range len(token) {
			switch c := token[i]; {
			// RFC 6901 3: these two are the pointer's own.
			case c == '~':
				b.WriteString("~0")
			case c == '/':
				b.WriteString("~1")
			case isAlphanumeric(c) || strings.IndexByte("-._!$&'()*+,;=:@?", c) >= 0:
				b.WriteByte(c)
			default:
				fmt.Fprintf(&b, "%%%02X", c)
			}
		}
	}
	return b.String()
}

// faultList gathers faults and leaves out what decoding has reported.
type faultList struct {
	decoded []Fault
	exact   map[string]bool // pointers of decoded
	above   map[string]bool // and of what they are inside
	found   []Fault
}

func newFaultList(decoded []Fault) *faultList {
	f := &faultList{decoded: decoded, exact: make(map[string]bool), above: make(map[string]bool)}
	for _, d := range decoded {
		f.exact[d.Pointer] = true
		for p, ok := parent(d.Pointer); ok; p, ok = parent(p) {
			f.above[p] = true
		}
	}
	return f
}

// add reports a fault, unless the value or what it is part of could not be decoded.
func (f *faultList) add(pointer, code, detail string) {
	if f.exact[pointer] {
		return
	}
	for p, ok := parent(pointer); ok; p, ok = parent(p) {
		if f.exact[p] {
			return
		}
	}
	f.found = append(f.found, Fault{Pointer: pointer, Code: code, Detail: detail})
}

func (f *faultList) addf(pointer, code, format string, args ...any) {
	f.add(pointer, code, fmt.Sprintf(format, args...))
}

// touched reports whether a member was given, if only with a fault.
func (f *faultList) touched(pointer string) bool { return f.exact[pointer] || f.above[pointer] }

// all lists the faults in the order of the members, and of the elements in them.
func (f *faultList) all() []Fault {
	all := slices.Concat(f.decoded, f.found)
	slices.SortStableFunc(all, func(a, b Fault) int {
		aMember, aElement := place(a.Pointer)
		bMember, bElement := place(b.Pointer)
		return cmp.Or(cmp.Compare(aMember, bMember), cmp.Compare(aElement, bElement))
	})
	return all
}

// place says where a pointer's member stands in the table of api.md 3.1, and the
// number of the element; -1 if it has none.
func place(pointer string) (member, element int) {
	tokens := strings.Split(strings.TrimPrefix(pointer, "#/"), "/")
	member, element = slices.Index(members(), tokens[0]), -1
	if member < 0 {
		member = len(members())
	}
	if len(tokens) > 1 {
		if n, err := strconv.Atoi(tokens[1]); err == nil {
			element = n
		}
	}
	return member, element
}

// members is the table's order (api.md 3.1).
func members() []string {
	return []string{
		"from", "to", "cc", "bcc", "reply_to", "subject", "html", "text", "template", "attachments", "calendar", "headers",
		"tags", "metadata", "scheduled_at", "ttl_seconds", "stream", "supersede", "unsubscribe", "tracking", "store_content",
	}
}

// parent cuts the last reference token off.
func parent(pointer string) (string, bool) {
	i := strings.LastIndexByte(pointer, '/')
	if i < 0 {
		return "", false
	}
	return pointer[:i], true
}
