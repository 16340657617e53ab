package dashboard

import (
	"context"
	"encoding/base64"
	"errors"
	"html"
	"mime"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"postrider/internal/email"
	"postrider/internal/sandbox"
	"postrider/internal/sign"
	"postrider/internal/store"
)

// maxInline is how many octets of images a preview carries as data: URLs.
const maxInline = 8 << 20

// letter is the mail itself: as caught, or as submitted while none was.
type letter struct {
	*sandbox.Parsed
	Caught   bool
	CaughtAt time.Time
	Copies   int // caught: one per envelope, more if it was sent again
	data     []byte
}

// letter finds the mail of a message; nil if it was never caught and its content
// is forgotten. m is nil if the store does not know the message.
func (d *dashboard) letter(ctx context.Context, w email.World, id string, m *email.Message) (*letter, error) {
	if mails := d.caught(id); len(mails) > 0 {
		newest := mails[0]
		return &letter{Parsed: newest.Parse(), Caught: true, CaughtAt: newest.At, Copies: len(mails), data: newest.Data}, nil
	}
	if m == nil {
		return nil, nil
	}
	content, err := d.Store.Messages.Content(ctx, w, id)
	if err != nil || content == nil {
		return nil, err
	}
	if content.Raw != nil {
		return &letter{Parsed: (&sandbox.Mail{Data: content.Raw}).Parse()}, nil
	}
	return &letter{Parsed: submitted(m, content)}, nil
}

// caught are the mails of a message in the inbox.
func (d *dashboard) caught(id string) []*sandbox.Mail {
	if d.Inbox == nil {
		return nil
	}
	return d.Inbox.ForMessage(id)
}

// submitted shows a message as it was sent to us.
func submitted(m *email.Message, c *email.Content) *sandbox.Parsed {
	p := &sandbox.Parsed{
		Heading: sandbox.Heading{Subject: m.Subject, From: address(m.From), To: addresses(m.To)},
		Text:    c.Text,
		HTML:    c.HTML,
	}
	field := func(name, value string) {
		if value != "" {
			p.Fields = append(p.Fields, sandbox.Field{Name: name, Value: value})
		}
	}
	field("From", address(m.From))
	field("To", addresses(m.To))
	field("Cc", addresses(m.Cc))
	field("Reply-To", addresses(m.ReplyTo))
	field("Subject", m.Subject)
	for _, h := range c.Headers {
		field(h.Name, h.Value)
	}
	if c.Calendar != nil {
		p.Calendar, p.CalendarMethod = c.Calendar.Content, c.Calendar.Method
	}
	for _, a := range c.Attachments {
		p.Files = append(p.Files, sandbox.File{Name: a.Filename, ContentType: a.ContentType, ContentID: a.ContentID, Content: a.Content})
	}
	return p
}

// requested loads the letter that a path names.
func (d *dashboard) requested(v *visit) (*letter, error) {
	id := v.PathValue("id")
	m, err := d.get(v, id)
	if err != nil {
		return nil, err
	}
	l, err := d.letter(v.Context(), v.world, id, m)
	if err == nil && l == nil {
		err = store.ErrNotFound
	}
	return l, err
}

// get loads a message; nil without an error if only the inbox knows it. One of another
// world turns the visit to that.
func (d *dashboard) get(v *visit, id string) (*email.Message, error) {
	if _, err := email.ParseID(email.MessagePrefix, id); err != nil {
		return nil, store.ErrNotFound
	}
	var m *email.Message
	err := d.turn(v, func(w email.World) (err error) {
		m, err = d.Store.Messages.Get(v.Context(), w, id)
		return err
	})
	if errors.Is(err, store.ErrNotFound) && len(d.caught(id)) > 0 {
		return nil, nil
	}
	return m, err
}

// previewPolicy gives foreign HTML an origin of its own without scripts, forms,
// plug-ins or network; only our pages may frame it. Its links open in tabs of their
// own, which are out of the sandbox, as those of a mail program are.
const previewPolicy = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; img-src data: cid:; style-src 'unsafe-inline'; " +
	"form-action 'none'; base-uri 'none'; frame-ancestors 'self'"

// imagesPolicy is previewPolicy for a reader who asked for the images outside: whoever
// wrote the mail learns then that it is looked at, and from where.
var imagesPolicy = strings.Replace(previewPolicy, "img-src data: cid:", "img-src data: cid: https: http:", 1)

func (d *dashboard) preview(v *visit) error {
	l, err := d.requested(v)
	if err != nil {
		return err
	}
	if l.HTML == "" {
		return store.ErrNotFound
	}
	writeFrame(v.w, inlined(outward(l.HTML), l.Files, maxInline), v.URL.Query().Get("images") == "on")
	return nil
}

// RFC 2392 2: a cid URL is "cid:" and the percent-encoded content id.
var cidURL = regexp.MustCompile(`(?i)\bcid:[^\s"'<>()\\]+`)

// inlined puts the images that HTML refers to by content id in their places, up to
// limit octets in all.
func inlined(source string, parts []sandbox.File, limit int) string {
	return cidURL.ReplaceAllStringFunc(source, func(match string) string {
		id, err := url.PathUnescape(html.UnescapeString(match[len("cid:"):]))
		if err != nil {
			return match
		}
		at := slices.IndexFunc(parts, func(f sandbox.File) bool { return f.ContentID == id })
		if at < 0 || !image(parts[at].ContentType) || len(parts[at].Content) > limit {
			return match
		}
		limit -= len(parts[at].Content)
		return "data:" + parts[at].ContentType + ";base64," + base64.StdEncoding.EncodeToString(parts[at].Content)
	})
}

// image reports whether a type is shown in previews: the ones that cannot hold
// markup.
func image(contentType string) bool {
	switch contentType {
	case "image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp":
		return true
	}
	return false
}

// rawPolicy is for answers that are not to be rendered at all.
const rawPolicy = "sandbox; default-src 'none'; frame-ancestors 'none'"

// source shows the mail's octets as text, or saves them with ?download: as caught, else
// as they are sent.
func (d *dashboard) source(v *visit) error {
	w := v.w
	l, err := d.requested(v)
	if err != nil {
		return err
	}
	if !l.Caught {
		if l.data, err = d.made(v); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Security-Policy", rawPolicy)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if v.URL.Query().Has("download") {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Disposition", disposition(v.PathValue("id")+".eml"))
	}
	_, _ = w.Write(l.data)
	return nil
}

// made is the mail as an attempt sends it, with its signatures.
func (d *dashboard) made(v *visit) ([]byte, error) {
	m, err := d.target(v)
	if err != nil {
		return nil, err
	}
	content, err := d.Store.Messages.Content(v.Context(), m.World, m.ID)
	if err != nil {
		return nil, err
	}
	if content == nil || d.Domains == nil {
		return nil, store.ErrNotFound
	}
	order := sign.Order{Message: m, Content: content, Envelope: slices.IndexFunc(m.Envelopes, func(e email.Envelope) bool { return e.State.Signed })}
	if order.Envelope < 0 && len(m.Envelopes) > 0 {
		order.Envelope = 0
	}
	mail, err := sign.Envelope(v.Context(), d.Domains, order)
	if errors.Is(err, sign.ErrUnfit) {
		return nil, refused("This mail can no longer be made as it was: a key that it was signed with is gone.")
	}
	if err != nil {
		return nil, err
	}
	return mail.Data, nil
}

// file saves one attachment: whatever it claims to be, it is never rendered.
func (d *dashboard) file(v *visit) error {
	w := v.w
	l, err := d.requested(v)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(v.PathValue("n"))
	if err != nil || n < 0 || n >= len(l.Files) {
		return store.ErrNotFound
	}
	w.Header().Set("Content-Security-Policy", rawPolicy)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", disposition(fileName(l.Files[n], n)))
	_, _ = w.Write(l.Files[n].Content)
	return nil
}

// fileName is what a file is called in lists and when it is saved.
func fileName(f sandbox.File, n int) string {
	if f.Name == "" {
		return "file-" + strconv.Itoa(n+1)
	}
	return f.Name
}

// disposition writes Content-Disposition (RFC 6266) with a name that is no path
// and cannot hide its extension behind direction marks.
func disposition(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r < ' ' || r == 0x7f || strings.ContainsRune(`/\:*?"<>|`, r):
			return '_'
		// Marks that turn the direction of text (Unicode TR 9).
		case r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f || r == 0x061c:
			return '_'
		}
		return r
	}, name)
	if value := mime.FormatMediaType("attachment", map[string]string{"filename": name}); value != "" {
		return value
	}
	return "attachment"
}
