package api

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"

	"postrider/internal/apikey"
	"postrider/internal/email"
	"postrider/internal/intake"
	"postrider/internal/sign"
	"postrider/internal/store"
)

// maxTags is how many tags a message can have, so how many a filter can name.
const maxTags = 10

var tagPattern = regexp.MustCompile(`^[A-Za-z0-9_.:-]{1,64}$`)

// messageID is the id in the path. An id that cannot be is not found.
func (c *call) messageID() (string, error) {
	id := c.Param("id")
	if _, err := email.ParseID(email.MessagePrefix, id); err != nil {
		return "", fmt.Errorf("message id: %w", store.ErrNotFound)
	}
	return id, nil
}

// message loads the message that the path names, of the key's own world.
func (d *door) message(c *call) (*email.Message, error) {
	id, err := c.messageID()
	if err != nil {
		return nil, err
	}
	return d.store.Messages.Get(c.ctx(), c.key.World, id)
}

// get is GET /messages/{id}.
func (d *door) get(c *call) error {
	include := c.query.Has("include")
	if include {
		if c.query.Get("include") != "content" {
			return badParameter("include", intake.InvalidFormat, "must be content")
		}
		if err := requireScope(c.key, apikey.ReadContent); err != nil {
			return err
		}
	}
	msg, err := d.message(c)
	if err != nil {
		return err
	}
	if !include {
		c.answer(http.StatusOK, viewMessage(msg, d.now()))
		return nil
	}
	content, err := d.content(c, msg)
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, viewWithContent(msg, content, d.now()))
	return nil
}

// content loads the content of a message. Errors: *problem content_expired.
func (d *door) content(c *call, m *email.Message) (*email.Content, error) {
	content, err := d.store.Messages.Content(c.ctx(), c.key.World, m.ID)
	if err == nil && content == nil {
		err = &problem{code: contentExpired, detail: "The content of this message is no longer kept."}
	}
	return content, err
}

// raw is GET /messages/{id}/raw: what was signed, octet by octet, or what would be
// by the next attempt.
func (d *door) raw(c *call) error {
	msg, err := d.message(c)
	if err != nil {
		return err
	}
	content, err := d.content(c, msg)
	if err != nil {
		return err
	}
	order := sign.Order{Message: msg, Content: content, Envelope: slices.IndexFunc(msg.Envelopes, func(e email.Envelope) bool { return e.State.Signed })}
	if order.Envelope < 0 && len(msg.Envelopes) > 0 {
		order.Envelope = 0
	}
	mail, err := sign.Envelope(c.ctx(), d.signer, order)
	if errors.Is(err, sign.ErrUnfit) {
		return &problem{code: contentExpired, detail: "This message can no longer be made as it was: a key that it was signed with is gone."}
	}
	if err != nil {
		return err
	}
	writeBody(c.Context, http.StatusOK, "message/rfc822", mail.Data)
	return nil
}

// listParameters are the query parameters of GET /messages.
func listParameters() []string {
	return []string{"limit", "cursor", "recipient", "status", "tag", "from", "stream", "batch_id", "template", "created_after", "created_before"}
}

// list is GET /messages, newest first.
func (d *door) list(c *call) error {
	limit, badLimit := c.limit()
	filter, badFilter := c.filter()
	if badFilter == nil {
		filter.Template, badFilter = d.templateFilter(c)
	}
	if err := allFaults(badLimit, badFilter); err != nil {
		return err
	}
	hash := listHash(c.key.World, c.filters("messages", listParameters())...)
	at, err := c.cursor(hash, email.MessagePrefix)
	if err != nil {
		return err
	}
	found, next, err := d.store.Messages.List(c.ctx(), c.key.World, filter, at.Before, limit)
	if err != nil {
		return err
	}
	data := make([]messageView, len(found))
	for i, m := range found {
		data[i] = viewMessage(m, d.now())
	}
	if next == "" {
		d.answerPage(c, data, nil)
		return nil
	}
	d.answerPage(c, data, &cursor{Version: cursorVersion, List: hash, Before: next})
	return nil
}

// templateFilter reads the template to list the messages of: an id, or the alias of one
// that is there now. Errors: *problem, else the store's.
func (d *door) templateFilter(c *call) (string, error) {
	name := c.query.Get("template")
	if _, err := email.ParseID(email.TemplatePrefix, name); err == nil || !c.query.Has("template") {
		return name, nil
	}
	reading, err := d.library().Read(c.ctx(), c.key.World)
	if err != nil {
		return "", err
	}
	t, err := reading.Find(name)
	if err != nil {
		return "", badParameter("template", intake.InvalidFormat, "is neither the id of a template nor the alias of one that is there")
	}
	return t.ID, nil
}

// filter reads the filters of the list. Errors: *problem with all that is wrong.
func (c *call) filter() (store.Filter, error) {
	r := &queryReader{c: c}
	f := store.Filter{
		Recipient: r.address("recipient"), From: r.address("from"),
		Stream: r.word("stream"), Batch: r.id("batch_id", email.BatchPrefix), Tags: slices.Compact(slices.Sorted(slices.Values(c.query["tag"]))),
		CreatedAfter: r.time("created_after"), CreatedBefore: r.time("created_before"),
	}
	if status := email.Status(r.word("status")); slices.Contains(email.MessageStatuses(), status) {
		f.Statuses = []email.Status{status}
	} else if c.query.Has("status") {
		r.fault("status", intake.InvalidFormat, "is not a status of a message")
	}
	if slices.ContainsFunc(f.Tags, func(tag string) bool { return !tagPattern.MatchString(tag) }) {
		r.fault("tag", intake.InvalidFormat, "is not a tag")
	}
	if c.query.Has("stream") && !tagPattern.MatchString(f.Stream) {
		r.fault("stream", intake.InvalidFormat, "is not the name of a stream")
	}
	if len(f.Tags) > maxTags {
		r.fault("tag", intake.TooMany, fmt.Sprintf("may be given %d times", maxTags))
	}
	return f, r.err()
}
