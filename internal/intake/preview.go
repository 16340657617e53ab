package intake

import (
	"context"

	"postrider/internal/email"
)

// Preview is a message that would be accepted.
type Preview struct {
	Message  *email.Message
	Content  *email.Content
	Warnings []Warning
}

// Warning is what is allowed, but likely not meant.
type Warning struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// clippedAt is how much HTML the largest mailbox provider shows before it cuts the rest
// off, in octets.
const clippedAt = 102 << 10

// Preview does all that Accept does, but keeps and sends nothing. Errors: as Accept.
func (d *Desk) Preview(ctx context.Context, r Request) (*Preview, error) {
	ready, err := d.prepare(ctx, &r, d.options.Store.Messages.ShardFor(r.World, ""))
	if err != nil {
		return nil, err
	}
	s, err := d.completed(ctx, ready)
	if err != nil {
		return nil, err
	}
	return &Preview{Message: s.Message, Content: s.Content, Warnings: Warnings(s.Content)}, nil
}

// Warnings are what is allowed in a content, but likely not meant.
func Warnings(c *email.Content) []Warning {
	list := []Warning{}
	if c.HTML != "" && c.Text == "" {
		list = append(list, Warning{Code: "no_text_part", Detail: "The mail has no text part, which filters hold against it."})
	}
	if len(c.HTML) > clippedAt {
		list = append(list, Warning{Code: "html_clipped", Detail: "The HTML is longer than 102 KiB: Gmail shows only its beginning."})
	}
	return list
}
