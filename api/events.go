package api

import (
	"encoding/json"

	"postrider/internal/email"
	"postrider/internal/events"
	"postrider/internal/store"
)

// eventView is one change of one recipient (api.md 12.1), or of the suppressions. Its data has the same octets
// as in a webhook.
type eventView struct {
	Object    string          `json:"object"`
	ID        string          `json:"id"`
	Type      email.EventType `json:"type"`
	CreatedAt stamp           `json:"created_at"`
	Timestamp stamp           `json:"timestamp"`
	Livemode  bool            `json:"livemode"`
	Data      json.RawMessage `json:"data"`
}

func viewEvent(m *email.Message, e email.Event) (eventView, error) {
	data, err := events.Data(m, e)
	return eventView{
		Object: "event", ID: e.ID, Type: e.Type, CreatedAt: stamp(e.At), Timestamp: stamp(e.At), Livemode: m.World.Livemode(),
		Data: data,
	}, err
}

// viewOccurrence is an event of the log, whatever it is of.
func viewOccurrence(o *store.Occurrence) (eventView, error) {
	e := o.Suppression
	if e == nil {
		return viewEvent(o.Message, o.Event)
	}
	data, err := events.SuppressionData(e)
	return eventView{
		Object: "event", ID: e.ID, Type: e.Type, CreatedAt: stamp(e.At), Timestamp: stamp(e.At), Livemode: e.Suppression.World.Livemode(),
		Data: data,
	}, err
}

// events is GET /messages/{id}/events, in the order in which they happened.
func (d *door) events(c *call) error {
	limit, err := c.limit()
	if err != nil {
		return err
	}
	id, err := c.messageID()
	if err != nil {
		return err
	}
	hash := listHash(c.key.World, "events", id)
	at, err := c.cursor(hash, email.MessagePrefix)
	if err != nil {
		return err
	}
	msg, err := d.store.Messages.Get(c.ctx(), c.key.World, id)
	if err != nil {
		return err
	}
	found, next, err := d.store.Messages.Events(c.ctx(), c.key.World, id, at.After, limit)
	if err != nil {
		return err
	}
	data := make([]eventView, len(found))
	for i, e := range found {
		if data[i], err = viewEvent(msg, e); err != nil {
			return err
		}
	}
	if next == 0 {
		d.answerPage(c, data, nil)
		return nil
	}
	d.answerPage(c, data, &cursor{Version: cursorVersion, List: hash, After: next})
	return nil
}
