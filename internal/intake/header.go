package intake

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"postrider/internal/email"
)

// headers takes the caller's own header fields.
func (c *checker) headers() {
	const pointer = "#/headers"
	values := make(map[string]string) // by name in lower case
	for _, h := range bounded(c, pointer, c.draft.Headers, c.desk.options.Limits.Headers) {
		if len(h.Name) > maxHeaderName {
			// The name itself would make the pointer as long.
			c.faults.addf(pointer, TooLong, "has a name of more than %d characters", maxHeaderName)
			continue
		}
		at, lower := Pointer("headers", h.Name), strings.ToLower(h.Name)
		if _, twice := values[lower]; twice {
			c.faults.add(at, MutuallyExclusive, "is given twice: case makes no difference in the name of a header field")
			continue
		}
		values[lower] = h.Value
		if code, why := faultOfField(lower, h.Value); code != "" {
			c.faults.add(at, code, why)
			continue
		}
		c.content.Headers = append(c.content.Headers, email.Header{Name: h.Name, Value: strings.Trim(h.Value, " \t")})
	}
	// RFC 8058 3.1: one-click needs an HTTPS URI to post to, and only one.
	if _, post := values["list-unsubscribe-post"]; post && countHTTPS(listURIs(values["list-unsubscribe"])) != 1 {
		c.faults.add(Pointer("headers", c.nameOf("list-unsubscribe-post")), InvalidFormat,
			"needs a List-Unsubscribe with one https URI in angle brackets beside it")
	}
}

func countHTTPS(uris []string) (n int) {
	for _, uri := range uris {
		if isHTTPS(uri) {
			n++
		}
	}
	return n
}

// nameOf is how the caller wrote the name of a header field.
func (c *checker) nameOf(lower string) string {
	for _, h := range c.draft.Headers {
		if strings.ToLower(h.Name) == lower {
			return h.Name
		}
	}
	return lower
}

// faultOfField says what is wrong with a header field, its name in lower case.
func faultOfField(name, value string) (code, why string) {
	switch {
	case !isFieldName(name):
		return InvalidFormat, "has a name that is not of visible ASCII characters without a colon"
	case name == "idempotency-key":
		return HeaderNotAllowed, "is an HTTP header, not a mail header: send it with the request"
	case isOurs(name):
		return HeaderNotAllowed, "is a header field that we set, or that only mail servers set" + memberFor(name)
	case strings.Trim(value, " \t") == "":
		return InvalidFormat, "is empty"
	case len(value) > maxHeaderValue:
		return TooLong, fmt.Sprintf("has more than %d octets", maxHeaderValue)
	}
	if why = faultOfText(value, false); why != "" {
		return InvalidFormat, why
	}
	if !isStructured(name) {
		return "", ""
	}
	if code, why = faultOfStructured(value); code != "" {
		return code, why
	}
	return faultOfList(name, strings.Trim(value, " \t"))
}

// isStructured tells the fields in which an encoded-word would not be read
// (RFC 2047 5): they stay as they are, in ASCII, folded at spaces.
func isStructured(name string) bool {
	switch name {
	case "in-reply-to", "references", "auto-submitted", "precedence", "disposition-notification-to":
		return true
	}
	return strings.HasPrefix(name, "list-")
}

func faultOfStructured(value string) (code, why string) {
	word := 0
	for i := range len(value) {
		switch {
		case value[i] >= utf8.RuneSelf:
			return InvalidFormat, "has a character outside ASCII, which this header field cannot carry"
		case value[i] == ' ' || value[i] == '\t':
			word = 0
		default:
			word++
		}
		if word > maxStructuredWord {
			return TooLong, fmt.Sprintf("has more than %d characters without a space, where it could be folded", maxStructuredWord)
		}
	}
	return "", ""
}

// isFieldName: RFC 5322 2.2 and 3.6.8, one or more of ftext.
func isFieldName(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || s[i] == ':' {
			return false
		}
	}
	return s != ""
}

// isOurs reports whether callers may not set a header field (api.md 3.1).
func isOurs(name string) bool {
	switch name {
	case "from", "sender", "to", "cc", "bcc", "subject", "date", "message-id", "reply-to", "return-path", "received",
		"dkim-signature", "authentication-results", "mime-version", "delivered-to", "feedback-id":
		return true
	}
	for _, prefix := range []string{"resent-", "arc-", "content-", "x-postrider-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// memberFor names the member of the request that a header field is made of.
func memberFor(name string) string {
	switch name {
	case "from", "to", "cc", "bcc", "subject":
		return "; use the member " + name
	case "reply-to":
		return "; use the member reply_to"
	}
	return ""
}
