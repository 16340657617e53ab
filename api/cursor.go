package api

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"postrider/internal/email"
	"postrider/internal/intake"
	"postrider/internal/store"
)

// cursorVersion changes when what a cursor holds does.
const cursorVersion = 1

// cursor is a place in a list, opaque to the caller. List ties it to the list and
// filters that it was made for.
type cursor struct {
	Version int    `json:"v"`
	List    string `json:"l"`
	Before  string `json:"b,omitempty"` // an id: go on with older ones
	After   int    `json:"a,omitempty"` // the number of events already seen

	// Of the log: what Redis held, and the last entry seen of each shard.
	Epoch  string           `json:"e,omitempty"`
	Places []store.Position `json:"p,omitempty"`
}

// listHash names a list and its filters, order and page size apart.
func listHash(world email.World, parts ...string) string {
	h := sha256.New()
	h.Write([]byte(world))
	for _, p := range parts {
		h.Write([]byte{0})
		h.Write([]byte(p))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:12])
}

func (c cursor) String() string {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // cannot be: strings and numbers only
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// cursor reads the place to go on from, or the start of the list without one. prefix is
// that of the list's ids. Errors: *problem invalid_parameter.
func (c *call) cursor(list, prefix string) (cursor, error) {
	start := cursor{Version: cursorVersion, List: list}
	if !c.query.Has("cursor") {
		return start, nil
	}
	var at cursor
	raw, err := base64.RawURLEncoding.Strict().DecodeString(c.query.Get("cursor"))
	if err == nil {
		err = json.Unmarshal(raw, &at)
	}
	if err != nil || at.Version != cursorVersion || at.After < 0 || slices.ContainsFunc(at.Places, badPlace) {
		return start, badParameter("cursor", intake.InvalidFormat, "is not a cursor of this service")
	}
	if at.List != list {
		return start, badParameter("cursor", intake.MutuallyExclusive, "belongs to another list or other filters")
	}
	if _, err := email.ParseID(prefix, at.Before); at.Before != "" && err != nil {
		return start, badParameter("cursor", intake.InvalidFormat, "is not a cursor of this service")
	}
	return at, nil
}

// badPlace reports what no cursor of ours names as a place in the log.
func badPlace(p store.Position) bool { return p != "" && !placePattern.MatchString(string(p)) }

var placePattern = regexp.MustCompile(`^[0-9]{1,16}-[0-9]{1,16}$`)

// page is a list on the wire.
type page struct {
	Object     string `json:"object"`
	Data       any    `json:"data"`
	HasMore    bool   `json:"has_more"`
	NextCursor text   `json:"next_cursor"`
}

// answerPage sends a page of a list; next is nil at its end.
func (d *door) answerPage(c *call, data any, next *cursor) {
	d.answerPart(c, page{Object: "list", Data: data, HasMore: next != nil}, next)
}

// answerPart sends a page; a next place is given whether there is more or not.
func (d *door) answerPart(c *call, p page, next *cursor) {
	if next != nil {
		p.NextCursor = text(next.String())
		query := url.Values{}
		for name, values := range c.query {
			query[name] = values
		}
		query.Set("cursor", next.String())
		// RFC 8288 3: the next page, as a link.
		link := strings.TrimSuffix(d.publicURL, "/") + c.Request.URL.EscapedPath() + "?" + query.Encode()
		c.Header("Link", "<"+link+`>; rel="next"`)
	}
	c.answer(200, p)
}
