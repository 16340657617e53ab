package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"postrider/internal/email"
	"postrider/internal/events"
	"postrider/internal/intake"
	"postrider/internal/store"
)

// How long a reader of the log may wait for something to happen, how often it is
// looked for meanwhile, and how many may wait in one process: the others are answered
// at once.
const (
	maxWait    = 20 * time.Second
	waitStep   = 200 * time.Millisecond
	maxWaiting = 200
)

func logParameters() []string {
	return []string{"limit", "cursor", "type", "message_id", "recipient", "created_after", "wait"}
}

// eventLog is GET /events: what happened in the key's world, oldest first. next_cursor is
// always given, since there will be more.
func (d *door) eventLog(c *call) error {
	limit, badLimit := c.limit()
	filter, wait, badFilter := c.logFilter()
	if err := allFaults(badLimit, badFilter); err != nil {
		return err
	}
	hash := listHash(c.key.World, c.filters("log", logParameters())...)
	at, err := c.cursor(hash, email.EventPrefix)
	if err != nil {
		return err
	}
	place := store.LogPlace{Epoch: at.Epoch, At: at.Places}
	if !c.query.Has("cursor") {
		if place, err = d.store.Log.Start(c.ctx(), filter.CreatedAfter); err != nil {
			return err
		}
	}
	part, err := d.readLog(c, filter, place, limit)
	if err == nil && wait > 0 && len(part.Found) == 0 && !part.More {
		part, err = d.await(c, filter, part, wait, limit)
	}
	if err != nil {
		return err
	}
	data := make([]eventView, len(part.Found))
	for i := range part.Found {
		if data[i], err = viewOccurrence(&part.Found[i]); err != nil {
			return err
		}
	}
	next := cursor{Version: cursorVersion, List: hash, Epoch: part.Next.Epoch, Places: part.Next.At}
	d.answerPart(c, page{Object: "list", Data: data, HasMore: part.More}, &next)
	return nil
}

// readLog reads once; each look has the time of a request.
func (d *door) readLog(c *call, f store.LogFilter, place store.LogPlace, limit int) (*store.LogPage, error) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), storeLimit)
	defer cancel()
	return d.store.Log.Read(ctx, c.key.World, f, place, limit)
}

// await looks again until something happened, the wait is over, the caller has gone or
// the process is to end.
func (d *door) await(c *call, f store.LogFilter, part *store.LogPage, wait time.Duration, limit int) (*store.LogPage, error) {
	select {
	case d.waiting <- struct{}{}:
		defer func() { <-d.waiting }()
	default:
		return part, nil
	}
	over, tick := time.NewTimer(wait), time.NewTicker(waitStep)
	defer over.Stop()
	defer tick.Stop()
	for len(part.Found) == 0 && !part.More && !d.draining() {
		select {
		case <-c.Request.Context().Done():
			return part, nil
		case <-over.C:
			return part, nil
		case <-tick.C:
		}
		var err error
		if part, err = d.readLog(c, f, part.Next, limit); err != nil {
			return nil, err
		}
	}
	return part, nil
}

// logFilter reads the filters of the log, and how long to wait. Errors: *problem.
func (c *call) logFilter() (f store.LogFilter, wait time.Duration, err error) {
	r := &queryReader{c: c}
	f = store.LogFilter{
		Type: email.EventType(r.word("type")), Message: r.id("message_id", email.MessagePrefix),
		Recipient: r.address("recipient"), CreatedAfter: r.time("created_after"),
	}
	if c.query.Has("type") && events.CheckPattern(string(f.Type)) != nil {
		r.fault("type", intake.InvalidFormat, "is neither a type of event nor a group such as message.*")
	}
	if c.query.Has("wait") {
		seconds, err := strconv.ParseUint(r.word("wait"), 10, 16)
		switch wait = time.Duration(seconds) * time.Second; {
		case err != nil:
			r.fault("wait", intake.InvalidFormat, "is not a number of seconds")
		case wait > maxWait:
			r.fault("wait", intake.OutOfRange, "is not between 0 and 20")
		}
	}
	return f, wait, r.err()
}

// getEvent is GET /events/{id}.
func (d *door) getEvent(c *call) error {
	found, err := d.store.Log.Find(c.ctx(), c.key.World, c.Param("id"))
	if err != nil {
		return missing("event", err)
	}
	view, err := viewOccurrence(found)
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, view)
	return nil
}
