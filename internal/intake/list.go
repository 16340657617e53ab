package intake

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"postrider/internal/email"
)

// Unsubscribe says how a recipient gets off the list by one click (RFC 8058).
type Unsubscribe struct {
	URL    string
	HasURL bool
}

// oneClick is the value of List-Unsubscribe-Post, the only one there is (RFC 8058 3.1).
const oneClick = "List-Unsubscribe=One-Click"

// RFC 2919 2 and 3: a phrase of ASCII, which may be quoted, and the identifier.
var listID = regexp.MustCompile(`^([^<>]*[ \t])?<[A-Za-z0-9!#$%&'*+/=?^_{|}~` + "`" + `-]+(\.[A-Za-z0-9!#$%&'*+/=?^_{|}~` + "`" + `-]+)+>$`)

// unsubscribe writes both fields of RFC 8058 for a URL that the caller serves.
func (c *checker) unsubscribe() {
	draft := c.draft.Unsubscribe
	if draft == nil {
		return
	}
	const at = "#/unsubscribe/url"
	switch {
	case !draft.HasURL:
		c.faults.add(at, Required, "is required")
	case len(draft.URL) > maxStructuredWord-len("<>"):
		c.faults.addf(at, TooLong, "has more than %d characters", maxStructuredWord-len("<>"))
	case !isHTTPS(draft.URL):
		c.faults.add(at, InvalidFormat, "must be an https URL with a host, without spaces, brackets and a password; other characters than ASCII in percent form")
	}
	for _, h := range c.draft.Headers {
		if name := strings.ToLower(h.Name); name == "list-unsubscribe" || name == "list-unsubscribe-post" {
			c.faults.add(Pointer("headers", h.Name), MutuallyExclusive, "is written by the member unsubscribe")
		}
	}
	c.content.Headers = append(c.content.Headers,
		email.Header{Name: "List-Unsubscribe", Value: "<" + draft.URL + ">"}, email.Header{Name: "List-Unsubscribe-Post", Value: oneClick})
}

// isHTTPS tells an https URL that can stand in angle brackets.
func isHTTPS(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Hostname() != "" && u.User == nil && isURI(s)
}

// isURI tells what can be a URI (RFC 3986 2): its characters, and a scheme that a mail
// program may open.
func isURI(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || strings.IndexByte("<>\"{}|\\^`", s[i]) >= 0 {
			return false
		}
	}
	scheme, rest, _ := strings.Cut(s, ":")
	return rest != "" && slices.Contains([]string{"https", "http", "mailto", "ftp"}, strings.ToLower(scheme))
}

// faultOfList says what is wrong with a List-* field, its name in lower case.
func faultOfList(name, value string) (code, why string) {
	switch name {
	case "list-unsubscribe-post":
		if value != oneClick {
			return InvalidFormat, "must be " + oneClick
		}
	case "list-id":
		if !listID.MatchString(value) {
			return InvalidFormat, "must be an identifier with a dot in angle brackets, perhaps behind a description: News <news.acme.com>"
		}
	case "list-post":
		if strings.EqualFold(value, "NO") { // RFC 2369 3.4
			return "", ""
		}
		fallthrough
	case "list-help", "list-unsubscribe", "list-subscribe", "list-owner", "list-archive":
		if listURIs(value) == nil {
			return InvalidFormat, "must be URLs (https, http, mailto or ftp) in angle brackets, with commas between them: <https://acme.com/u/1>, <mailto:u@acme.com>"
		}
	}
	return "", ""
}

// listURIs reads RFC 2369 2: URIs in angle brackets, commas, and comments (RFC 5322
// 3.2.2) around them. Nil if it is anything else.
func listURIs(value string) []string {
	var uris []string
	for {
		value = skipComments(value)
		uri, rest, ok := strings.Cut(value, ">")
		if !ok || !strings.HasPrefix(uri, "<") || !isURI(uri[1:]) {
			return nil
		}
		uris = append(uris, uri[1:])
		value = skipComments(rest)
		if value == "" {
			return uris
		}
		if value[0] != ',' {
			return nil
		}
		value = value[1:]
	}
}

// skipComments cuts white space and comments off. One that does not end is not cut.
func skipComments(s string) string {
	for {
		s = strings.TrimLeft(s, " \t")
		if !strings.HasPrefix(s, "(") {
			return s
		}
		depth, end := 0, 0
		for i := 0; i < len(s) && end == 0; i++ {
			switch s[i] {
			case '\\':
				i++
			case '(':
				depth++
			case ')':
				if depth--; depth == 0 {
					end = i + 1
				}
			}
		}
		if end == 0 {
			return s
		}
		s = s[end:]
	}
}
