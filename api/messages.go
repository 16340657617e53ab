package api

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"

	"postrider/internal/email"
	"postrider/internal/intake"
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
		if err := requireScope(c.key, scopeReadContent); err != nil {
			return err
		}
	}
	msg, err := d.message(c)
	if err != nil {
		return err
	}
	if !include {
		c.answer(http.StatusOK, viewMessage(msg))
		return nil
	}
	content, err := d.store.Messages.Content(c.ctx(), c.key.World, msg.ID)
	if err != nil {
		return err
	}
	if content == nil {
		return &problem{code: contentExpired, detail: "The content of this message is no longer kept."}
	}
	c.answer(http.StatusOK, viewWithContent(msg, content))
	return nil
}

// listParameters are the query parameters of GET /messages.
func listParameters() []string { return []string{"limit", "cursor", "recipient", "status", "tag"} }

// list is GET /messages, newest first.
func (d *door) list(c *call) error {
	limit, err := c.limit()
	if err != nil {
		return err
	}
	filter, err := c.filter()
	if err != nil {
		return err
	}
	hash := listHash(c.key.World, append([]string{"messages", filter.Recipient, string(filter.Status)}, filter.Tags...)...)
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
		data[i] = viewMessage(m)
	}
	if next == "" {
		d.answerPage(c, data, nil)
		return nil
	}
	d.answerPage(c, data, &cursor{Version: cursorVersion, List: hash, Before: next})
	return nil
}

// filter reads the filters of the list. Errors: *problem with all that is wrong.
func (c *call) filter() (store.Filter, error) {
	var (
		f      store.Filter
		faults []fault
	)
	if c.query.Has("recipient") {
		address, err := email.NewAddress(c.query.Get("recipient"), "")
		if err != nil {
			faults = append(faults, fault{Parameter: "recipient", Code: intake.InvalidEmail, Detail: "is not a mail address"})
		}
		f.Recipient = address.Normalized()
	}
	if c.query.Has("status") {
		f.Status = email.Status(c.query.Get("status"))
		if !slices.Contains(email.MessageStatuses(), f.Status) {
			faults = append(faults, fault{Parameter: "status", Code: intake.InvalidFormat, Detail: "is not a status of a message"})
		}
	}
	for _, tag := range c.query["tag"] {
		if !tagPattern.MatchString(tag) {
			faults = append(faults, fault{Parameter: "tag", Code: intake.InvalidFormat, Detail: "is not a tag"})
			break
		}
	}
	f.Tags = slices.Compact(slices.Sorted(slices.Values(c.query["tag"])))
	if len(f.Tags) > maxTags {
		faults = append(faults, fault{Parameter: "tag", Code: intake.TooMany, Detail: fmt.Sprintf("may be given %d times", maxTags)})
	}
	if len(faults) > 0 {
		return f, badParameters(faults)
	}
	return f, nil
}
