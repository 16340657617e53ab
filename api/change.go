package api

import (
	"context"
	"errors"
	"net/http"

	"postrider/internal/email"
	"postrider/internal/intake"
	"postrider/internal/store"
)

// cancel is POST /messages/{id}/cancel. Asking again is no error; with an
// Idempotency-Key the first answer comes again, whatever became of the message since.
func (d *door) cancel(c *call) error {
	doc, err := noBody(c.Request)
	if err != nil {
		return err
	}
	id, err := c.messageID()
	if err != nil {
		return err
	}
	return d.once(c, sendRoute+"/"+id+"/cancel", doc, func(ctx context.Context) (*reply, error) {
		msg, err := d.store.Messages.Cancel(ctx, c.key.World, id, d.now())
		if errors.Is(err, store.ErrNotCancelable) && msg != nil {
			return nil, &problem{
				code: messageNotCancelable, messageStatus: string(msg.Status()),
				detail: "No recipient of this message can be canceled any more.",
			}
		}
		if err != nil {
			return nil, err
		}
		return newReply(http.StatusOK, "", viewMessage(msg, d.now()))
	})
}

// reschedule is PATCH /messages/{id}: another scheduled_at, null to send now.
func (d *door) reschedule(c *call) error {
	doc, err := readJSON(c.Request)
	if err != nil {
		return err
	}
	id, err := c.messageID()
	if err != nil {
		return err
	}
	when, err := readSchedule(doc)
	if err != nil {
		return err
	}
	msg, err := d.desk.Reschedule(c.ctx(), c.key.World, id, when)
	if errors.Is(err, store.ErrNotScheduled) && msg != nil {
		return notScheduled(msg)
	}
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, viewMessage(msg, d.now()))
	return nil
}

func notScheduled(m *email.Message) *problem {
	return &problem{
		code: messageNotScheduled, messageStatus: string(m.Status()),
		detail: "This message does not wait for its time any more.",
	}
}

// readSchedule reads the body of a PATCH: here null is a value, now. Errors:
// *intake.Invalid.
func readSchedule(doc *document) (when *string, err error) {
	var d decoder
	given := false
	if doc.root.kind != objectKind {
		d.wrongType("#", "an object")
	} else {
		for _, m := range doc.root.children {
			switch at := member("#", m.name); {
			case m.name != "scheduled_at":
				d.fault(at, intake.UnknownMember, "is not a member of this object")
			case m.given():
				given, when = true, d.str(m, at)
			default:
				given = true
			}
		}
		if !given {
			d.fault("#/scheduled_at", intake.Required, "is required; null sends the message now")
		}
	}
	if len(d.faults) > 0 {
		return nil, &intake.Invalid{Faults: d.faults}
	}
	return when, nil
}
