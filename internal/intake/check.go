package intake

import (
	"errors"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"postrider/internal/email"
)

// RFC 3339 5.6: date-time.
var dateTime = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,30})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`)

// checker turns one draft into a message and gathers what is wrong with it. It does
// no I/O and no work that is more than linear in the draft.
type checker struct {
	desk   *Desk
	draft  *Draft
	faults *faultList

	msg          *email.Message
	content      *email.Content
	ttl          time.Duration
	generateText bool
	files        [][]byte // base64 of the attachments, of the standard alphabet, without whitespace and padding
	encoded      int64    // octets that the attachments take in the mail
	composed     []byte   // the mail that msg and content make, once complete
}

// check looks at every member, in the order of api.md 3.1.
func (d *Desk) check(r *Request) *checker {
	c := &checker{
		desk: d, draft: &r.Draft, faults: newFaultList(r.Faults),
		msg: &email.Message{World: r.World, KeyID: r.KeyID}, content: &email.Content{},
	}
	c.from()
	c.recipients()
	c.replyTo()
	c.subject()
	c.bodies()
	c.template()
	c.attachments()
	c.calendar()
	c.headers()
	c.unsubscribe()
	c.tags()
	c.metadata()
	c.scheduledAt()
	c.ttlSeconds()
	c.stream()
	c.supersede()
	c.msg.DropContent = r.Draft.StoreContent != nil && !*r.Draft.StoreContent
	return c
}

func (c *checker) subject() {
	const pointer = "#/subject"
	s := c.draft.Subject
	switch {
	case s == nil && c.usesTemplate():
	case s == nil || *s == "":
		c.faults.add(pointer, Required, "is required")
	case utf8.RuneCountInString(*s) > c.desk.options.Limits.Subject:
		c.faults.addf(pointer, TooLong, "has more than %d characters", c.desk.options.Limits.Subject)
	default:
		if why := faultOfText(*s, true); why != "" {
			c.faults.add(pointer, InvalidFormat, why)
			return
		}
		c.msg.Subject = *s
	}
}

// bodies takes html and text. html alone gets a generated text part; an empty text
// beside it says that there shall be none.
func (c *checker) bodies() {
	html, text := c.draft.HTML, c.draft.Text
	hasHTML, hasText := html != nil && *html != "", text != nil && *text != ""
	if hasHTML {
		c.content.HTML = c.body("#/html", *html)
	}
	if hasText {
		c.content.Text = c.body("#/text", *text)
	}
	if !hasHTML && !hasText && !c.faults.touched("#/html") && !c.usesTemplate() {
		c.faults.add("#/text", Required, "is required unless html is given")
	}
	c.generateText = hasHTML && text == nil
}

// No text has a NUL (RFC 2045 2.7, 2.8), which some programs take for its end.
const faultNUL = "has a NUL"

func (c *checker) body(pointer, s string) string {
	switch {
	case len(s) > c.desk.options.Limits.Body:
		c.faults.addf(pointer, TooLong, "has more than %d octets", c.desk.options.Limits.Body)
	case !utf8.ValidString(s):
		c.faults.add(pointer, InvalidFormat, "is not UTF-8")
	case strings.IndexByte(s, 0) >= 0:
		c.faults.add(pointer, InvalidFormat, faultNUL)
	}
	return s
}

func (c *checker) tags() {
	const pointer = "#/tags"
	tags := bounded(c, pointer, c.draft.Tags, c.desk.options.Limits.Tags)
	for i, tag := range tags {
		at := Pointer("tags", strconv.Itoa(i))
		switch {
		case len(tag) > maxTag:
			c.faults.addf(at, TooLong, "has more than %d characters", maxTag)
		case !consistsOf(tag, "_.:-"):
			c.faults.add(at, InvalidFormat, "must be letters, digits and _ . : - only, at least one")
		case !slices.Contains(c.msg.Tags, tag):
			c.msg.Tags = append(c.msg.Tags, tag)
		}
	}
}

func (c *checker) metadata() {
	const pointer = "#/metadata"
	metadata, limits := c.draft.Metadata, c.desk.options.Limits
	if len(metadata) > limits.MetadataKeys {
		c.faults.addf(pointer, TooMany, "has more than %d keys", limits.MetadataKeys)
		return
	}
	keys, total := make([]string, 0, len(metadata)), 0
	for key, value := range metadata {
		keys, total = append(keys, key), total+len(key)+len(value)
	}
	slices.Sort(keys)
	for _, key := range keys {
		value, at := metadata[key], Pointer("metadata", key)
		switch {
		case len(key) > maxMetadataKey:
			// The key itself would make the pointer as long.
			c.faults.addf(pointer, TooLong, "has a key of more than %d characters", maxMetadataKey)
		case !consistsOf(key, "_.-"):
			c.faults.add(at, InvalidFormat, "has a key that is not of letters, digits and _ . - only")
		case utf8.RuneCountInString(value) > maxMetadataValue:
			c.faults.addf(at, TooLong, "has more than %d characters", maxMetadataValue)
		case !utf8.ValidString(value):
			c.faults.add(at, InvalidFormat, "is not UTF-8")
		}
	}
	if total > limits.MetadataBytes {
		c.faults.addf(pointer, TooLong, "has more than %d octets of keys and values together", limits.MetadataBytes)
	}
	c.msg.Metadata = metadata
}

func (c *checker) scheduledAt() {
	const pointer = "#/scheduled_at"
	if c.draft.ScheduledAt == nil {
		return
	}
	at, err := parseTime(*c.draft.ScheduledAt)
	if err != nil {
		c.faults.add(pointer, InvalidFormat, "is not a time of RFC 3339, such as 2026-08-23T14:05:00Z or 2026-08-23T16:05:00+02:00")
		return
	}
	ahead := at.Sub(c.desk.options.Now())
	switch {
	case ahead < -pastTolerance:
		c.faults.add(pointer, ScheduledInPast, "is more than 60 seconds in the past")
	case ahead > c.desk.options.Limits.ScheduleAhead:
		c.faults.addf(pointer, OutOfRange, "is more than %d days ahead", c.desk.options.Limits.ScheduleAhead/(24*time.Hour))
	case ahead > 0:
		c.msg.ScheduledAt = at.UTC().Truncate(time.Millisecond)
	}
}

// parseTime reads a time of RFC 3339 and nothing else: package time also takes a
// comma before the fraction and an hour of one digit.
func parseTime(s string) (time.Time, error) {
	// RFC 3339 5.6: T and Z may be lower case.
	s = strings.ToUpper(s)
	if !dateTime.MatchString(s) {
		return time.Time{}, errors.New("not of RFC 3339")
	}
	return time.Parse(time.RFC3339, s)
}

func (c *checker) ttlSeconds() {
	limits := c.desk.options.Limits
	c.ttl = limits.DefaultTTL
	if c.draft.TTLSeconds == nil {
		return
	}
	seconds := *c.draft.TTLSeconds
	least, most := int64(limits.MinTTL/time.Second), int64(limits.MaxTTL/time.Second)
	if seconds < least || seconds > most {
		c.faults.addf("#/ttl_seconds", OutOfRange, "must be from %d to %d", least, most)
		return
	}
	c.ttl = time.Duration(seconds) * time.Second
}

// stream refuses a stream that this installation does not have: a mistyped one would
// escape the suppressions of the one that was meant.
func (c *checker) stream() {
	c.msg.Stream = transactional
	if c.draft.Stream != nil {
		c.msg.Stream = *c.draft.Stream
	}
	class, ok := c.desk.options.Streams[c.msg.Stream]
	if !ok {
		c.faults.add("#/stream", InvalidFormat, "is not one of the streams "+strings.Join(slices.Sorted(maps.Keys(c.desk.options.Streams)), ", "))
	}
	c.msg.Class = class
}

func (c *checker) supersede() {
	const pointer = "#/supersede"
	key := c.draft.Supersede
	switch {
	case key == nil:
	case *key == "":
		c.faults.add(pointer, InvalidFormat, "is empty")
	case utf8.RuneCountInString(*key) > maxSupersede:
		c.faults.addf(pointer, TooLong, "has more than %d characters", maxSupersede)
	default:
		if why := faultOfLine(*key, false); why != "" {
			c.faults.add(pointer, InvalidFormat, why)
			return
		}
		c.msg.Supersede = *key
	}
}

// bounded reports a list that is too long and returns as much of it as is looked
// at: an answer names at most so many faults.
func bounded[T any](c *checker, pointer string, list []T, limit int) []T {
	if len(list) <= limit {
		return list
	}
	c.faults.addf(pointer, TooMany, "has more than %d", limit)
	return list[:limit]
}

// faultOfText is faultOfLine for free text, where a tab is white space
// (RFC 5322 2.2.2).
func faultOfText(s string, refuseBidi bool) string {
	return faultOfLine(strings.ReplaceAll(s, "\t", " "), refuseBidi)
}

// faultOfLine says what keeps s out of a header field: empty if nothing does.
func faultOfLine(s string, refuseBidi bool) string {
	if !utf8.ValidString(s) {
		return "is not UTF-8"
	}
	for _, r := range s {
		switch {
		case unicode.IsControl(r):
			return "has a line break or another control character"
		case refuseBidi && email.IsBidiControl(r):
			return "has a control character for the direction of text"
		}
	}
	return ""
}

// consistsOf reports whether s is not empty and of ASCII letters, digits and extra only.
func consistsOf(s, extra string) bool {
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && strings.IndexByte(extra, s[i]) < 0 {
			return false
		}
	}
	return s != ""
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
