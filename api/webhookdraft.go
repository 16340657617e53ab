package api

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"postrider/internal/email"
	"postrider/internal/endpoint"
	"postrider/internal/intake"
	"postrider/internal/store"
	"postrider/internal/webhook"
)

// Limits of an endpoint's members.
const (
	maxWords          = 50 // tags or streams
	maxWebhookHeaders = 5
	maxHeaderName     = 64
	maxHeaderValue    = 1024
)

// webhookDraft is what a request says about an endpoint; nil is not given.
type webhookDraft struct {
	url         *string
	events      []string
	description *string
	enabled     *bool
	headers     *[]email.Header
	tags        *[]string
	streams     *[]string
	deferred    *string
}

// readWebhook checks the body of POST (whole) or PATCH /webhooks and makes of it the
// change to an endpoint. Errors, also of the change: *intake.Invalid, *problem.
func (d *door) readWebhook(doc *document, whole bool) (func(*store.Webhook) error, error) {
	var (
		draft webhookDraft
		dec   decoder
	)
	switch {
	case doc.root.kind != objectKind:
		dec.wrongType("#", "an object")
	case doc.crowded:
		dec.fault("#", intake.TooMany, fmt.Sprintf("has more than %d values", maxValues))
	default:
		given := make(map[string]bool)
		for _, m := range doc.root.children {
			if m.given() {
				given[m.name] = true
				d.webhookMember(&dec, &draft, m)
			}
		}
		for _, name := range []string{"url", "events"} {
			if whole && !given[name] {
				dec.fault(member("#", name), intake.Required, "is required")
			}
		}
	}
	if len(dec.faults) > 0 {
		return nil, &intake.Invalid{Faults: dec.faults}
	}
	return draft.apply, nil
}

// webhookMember reads one member of an endpoint.
func (d *door) webhookMember(dec *decoder, draft *webhookDraft, m *node) {
	at := member("#", m.name)
	switch m.name {
	case "url":
		if draft.url = dec.str(m, at); draft.url != nil {
			dec.found(at, endpoint.CheckURL(*draft.url, d.poster))
		}
	case "events":
		draft.events = dec.patterns(m, at)
	case "description":
		if draft.description = dec.str(m, at); draft.description != nil {
			dec.found(at, endpoint.CheckDescription(*draft.description))
		}
	case "enabled":
		if m.kind != boolKind {
			dec.wrongType(at, "true or false")
			return
		}
		enabled := m.text == "true"
		draft.enabled = &enabled
	case "headers":
		headers := dec.webhookHeaders(m, at)
		draft.headers = &headers
	case "tags_filter":
		tags := dec.words(m, at, tagPattern, "a tag")
		draft.tags = &tags
	case "streams":
		streams := dec.words(m, at, streamPattern, "the name of a stream")
		draft.streams = &streams
	case "deferred":
		if draft.deferred = dec.str(m, at); draft.deferred != nil && *draft.deferred != deferredFirst && *draft.deferred != deferredAll {
			dec.fault(at, intake.InvalidFormat, "is neither first nor all")
		}
	case "batch", "format":
		dec.fault(at, intake.UnsupportedFeature, "is not supported by this version")
	default:
		dec.fault(at, intake.UnknownMember, "is not a member of this object")
	}
}

// apply writes the draft into an endpoint.
func (w *webhookDraft) apply(h *store.Webhook) error {
	if w.url != nil {
		h.URL = *w.url
	}
	if w.events != nil {
		h.Events = w.events
	}
	if w.description != nil {
		h.Description = *w.description
	}
	if w.enabled != nil {
		h.Enabled = *w.enabled
	}
	if w.headers != nil {
		h.Headers = *w.headers
	}
	if w.tags != nil {
		h.TagsFilter = *w.tags
	}
	if w.streams != nil {
		h.Streams = *w.streams
	}
	if w.deferred != nil {
		h.AllDeferrals = *w.deferred == deferredAll
	}
	return endpoint.CheckWhole(h)
}

// found notes what a check of package endpoint found, if it did.
func (d *decoder) found(at string, f *intake.Fault) {
	if f != nil {
		d.fault(at, f.Code, f.Detail)
	}
}

// Which deferrals of a recipient an endpoint is told of.
const (
	deferredFirst = "first"
	deferredAll   = "all"
)

// words reads an array of strings of a form, each once.
func (d *decoder) words(n *node, at string, form *regexp.Regexp, what string) []string {
	if n.kind != arrayKind {
		d.wrongType(at, "an array of strings")
		return nil
	}
	if len(n.children) > maxWords {
		d.fault(at, intake.TooMany, fmt.Sprintf("has more than %d elements", maxWords))
		return nil
	}
	var out []string
	for i, m := range n.children {
		value := d.str(m, element(at, i))
		switch {
		case value == nil:
		case !form.MatchString(*value):
			d.fault(element(at, i), intake.InvalidFormat, "is not "+what)
		case !slices.Contains(out, *value):
			out = append(out, *value)
		}
	}
	return out
}

// line checks a text for people that has no control characters.
func (d *decoder) line(s, at string, most int) {
	switch {
	case utf8.RuneCountInString(s) > most:
		d.fault(at, intake.TooLong, fmt.Sprintf("has more than %d characters", most))
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || 0x7f <= r && r < 0xa0 }):
		d.fault(at, intake.InvalidFormat, "holds control characters")
	}
}

// patterns reads the events that an endpoint wants, each once.
func (d *decoder) patterns(n *node, at string) []string {
	if n.kind != arrayKind {
		d.wrongType(at, "an array of strings")
		return nil
	}
	d.found(at, endpoint.CheckEvents(len(n.children)))
	if len(n.children) > endpoint.MaxEvents {
		return nil
	}
	var out []string
	for i, m := range n.children {
		value := d.str(m, element(at, i))
		switch {
		case value == nil:
		case endpoint.CheckEvent(*value) != nil:
			d.found(element(at, i), endpoint.CheckEvent(*value))
		case !slices.Contains(out, *value):
			out = append(out, *value)
		}
	}
	return out
}

// webhookHeaders reads the header fields to send with every event.
func (d *decoder) webhookHeaders(n *node, at string) []email.Header {
	list := d.strings(n, at)
	if len(list) > maxWebhookHeaders {
		d.fault(at, intake.TooMany, fmt.Sprintf("has more than %d members", maxWebhookHeaders))
		return nil
	}
	seen := make(map[string]bool)
	for _, f := range list {
		pointer, name := member(at, f.Name), strings.ToLower(f.Name)
		switch {
		case !httpguts.ValidHeaderFieldName(f.Name) || len(f.Name) > maxHeaderName:
			d.fault(pointer, intake.InvalidFormat, fmt.Sprintf("is not the name of a header field of 1 to %d characters", maxHeaderName))
		case webhook.CheckHeader(email.Header{Name: f.Name}) != nil:
			d.fault(pointer, intake.HeaderNotAllowed, webhook.CheckHeader(email.Header{Name: f.Name}).Error())
		case seen[name]:
			d.fault(pointer, intake.InvalidFormat, "occurs more than once: case does not matter here")
		case len(f.Value) > maxHeaderValue:
			d.fault(pointer, intake.TooLong, fmt.Sprintf("has more than %d characters", maxHeaderValue))
		case f.Value == webhook.ShowHeaders(list)[0].Value:
			d.fault(pointer, intake.InvalidFormat, "is what is shown in the place of a value: give it again")
		case !isFieldValue(f.Value):
			d.fault(pointer, intake.InvalidFormat, "must be visible ASCII with spaces inside")
		}
		seen[name] = true
	}
	return list
}

// isFieldValue is RFC 9110 5.5, without tabs and obs-text.
func isFieldValue(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return strings.Trim(s, " ") == s
}
