package intake

import (
	"bytes"
	"context"
	"fmt"
	"mime"
	"net/mail"
	"regexp"
	"strings"
	"unicode/utf8"

	"postrider/internal/email"
	"postrider/internal/store"
)

// RawRequest is a mail that the caller has composed (RFC 5322).
type RawRequest struct {
	World          email.World
	KeyID          string
	Rights         Rights
	IdempotencyKey string // empty: none; the door reads it, wherever it stands
	Fingerprint    [32]byte
	Data           []byte
	To             []string // the envelope; none: the header's To, Cc and Bcc
}

// Limits of a raw mail's form, far above what is in use.
const (
	maxRawHeader = 256 << 10 // octets
	maxRawFields = 500
	maxRawLine   = 998 // RFC 5322 2.1.1, without its CRLF
)

// RFC 5322 3.6.4, without what is obsolete.
var msgID = regexp.MustCompile(`^<[!-;=?A-~]+@[!-;=?A-~]+>$`)

// AcceptRaw checks a composed mail as Accept checks a draft, and keeps it. Its bytes
// stay as they are, but for Bcc, Return-Path and our options (X-Postrider-*), which are
// removed, line breaks, which become CRLF, and a Date and Message-ID, which are added if
// it has none. Errors: as Accept; the faults name header fields.
func (d *Desk) AcceptRaw(ctx context.Context, r *RawRequest) (msg *email.Message, replayed bool, err error) {
	if limit := d.options.Limits.MessageBytes; int64(len(r.Data)) > limit {
		return nil, false, &TooLarge{Limit: limit, Actual: int64(len(r.Data))}
	}
	c := d.checkRaw(r)
	if faults := c.faults.all(); len(faults) > 0 {
		return nil, false, &Invalid{Faults: faults}
	}
	if err := r.Rights.allow(c.msg); err != nil {
		return nil, false, err
	}
	returnPath, err := d.returnPath(ctx, c.msg)
	if err != nil {
		return nil, false, err
	}
	c.msg.ID = email.NewMessageID(d.options.Store.Messages.ShardFor(r.World, r.IdempotencyKey))
	return d.keepWithin(ctx, r.Rights, &ready{checker: c, returnPath: returnPath, Submission: &store.Submission{
		Message: c.msg, Content: c.content, IdempotencyKey: r.IdempotencyKey, Fingerprint: r.Fingerprint,
	}})
}

// checkRaw makes a message of a raw mail.
func (d *Desk) checkRaw(r *RawRequest) *checker {
	c := &checker{
		desk: d, draft: &Draft{}, faults: newFaultList(nil),
		msg: &email.Message{World: r.World, KeyID: r.KeyID}, content: &email.Content{},
	}
	raw := &rawMail{c: c, found: make(map[string]string)}
	header, body := splitMail(canonicalLines(r.Data))
	raw.read(header)
	raw.lines(body)
	raw.options()
	raw.from()
	raw.envelope(r.To)
	raw.identity()
	raw.parts(body)
	c.content.Raw = append(append(raw.kept, "\r\n"...), body...)
	return c
}

// canonicalLines makes every line break CRLF: a bare CR or LF must not be read as one by
// some servers and not by others (RFC 5321 2.3.8).
func canonicalLines(data []byte) []byte {
	out := make([]byte, 0, len(data)+len(data)/32)
	for i := 0; i < len(data); i++ {
		switch {
		case data[i] == '\r' && i+1 < len(data) && data[i+1] == '\n':
			out, i = append(out, '\r', '\n'), i+1
		case data[i] == '\r' || data[i] == '\n':
			out = append(out, '\r', '\n')
		default:
			out = append(out, data[i])
		}
	}
	if !bytes.HasSuffix(out, []byte("\r\n")) {
		out = append(out, '\r', '\n')
	}
	return out
}

// splitMail cuts a mail at its first empty line (RFC 5322 2.1). The header keeps the
// CRLF of its last field.
func splitMail(data []byte) (header, body []byte) {
	if bytes.HasPrefix(data, []byte("\r\n")) {
		return nil, data[2:]
	}
	header, body, found := bytes.Cut(data, []byte("\r\n\r\n"))
	if !found {
		return data, nil
	}
	return data[:len(header)+2], body
}

// rawMail is a raw mail while it is checked.
type rawMail struct {
	c     *checker
	found map[string]string // the values of fields that occur once, unfolded, by name in lower case
	kept  []byte            // the header as it is kept

	ttl, storeContent *string // options, as written; nil: not there
}

// fault reports what is wrong with a header field; an empty name means the whole.
func (m *rawMail) fault(name, code, detail string) {
	f := Fault{Header: name, Code: code, Detail: detail}
	if name == "" {
		f.Pointer = "#"
	}
	m.c.faults.found = append(m.c.faults.found, f)
}

// read takes the header apart.
func (m *rawMail) read(header []byte) {
	if len(header) > maxRawHeader {
		m.fault("", TooLong, fmt.Sprintf("has a header of more than %d octets", maxRawHeader))
		return
	}
	m.lines(header)
	var field []byte
	fields := 0
	for line := range bytes.Lines(header) {
		if line[0] != ' ' && line[0] != '\t' {
			m.field(field)
			field = nil
			if fields++; fields > maxRawFields {
				m.fault("", TooMany, fmt.Sprintf("has more than %d header fields", maxRawFields))
				return
			}
		} else if field == nil {
			m.fault("", InvalidFormat, "begins with a line that continues another")
			return
		}
		field = append(field, line...)
	}
	m.field(field)
}

// field takes one header field, with its folds and its CRLF.
func (m *rawMail) field(field []byte) {
	if len(field) == 0 {
		return
	}
	name, value, ok := strings.Cut(string(field), ":")
	name = strings.TrimRight(name, " \t") // RFC 5322 4.5.8: obsolete, but in use
	if !ok || !isFieldName(name) || len(name) > maxHeaderName {
		m.fault("", InvalidFormat, "has a header line that is no field")
		return
	}
	lower := strings.ToLower(name)
	value = strings.TrimSpace(strings.NewReplacer("\r\n ", " ", "\r\n\t", " ", "\r\n", "").Replace(value))
	switch {
	case lower == "bcc" || lower == "return-path":
	case !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return r >= utf8.RuneSelf }):
		m.fault(name, SMTPUTF8NotSupported, "has a character outside ASCII: use encoded-words (RFC 2047)")
	case strings.HasPrefix(lower, optionPrefix):
		m.option(name, value)
	case lower == "idempotency-key" || isOfServers(lower):
		m.fault(name, HeaderNotAllowed, "is a header field that we set, or that only mail servers set")
	default:
		m.kept = append(m.kept, field...)
	}
	if !occursOnce(lower) {
		return
	}
	if _, twice := m.found[lower]; twice {
		m.fault(name, TooMany, "may be there once (RFC 5322 3.6)")
		return
	}
	m.found[lower] = value
}

// occursOnce: RFC 5322 3.6, RFC 2045, RFC 2183.
func occursOnce(name string) bool {
	switch name {
	case "from", "sender", "reply-to", "to", "cc", "bcc", "message-id", "in-reply-to", "references", "subject", "date",
		"mime-version", "content-type", "content-transfer-encoding", "content-disposition":
		return true
	}
	return false
}

// isOfServers tells the fields that no author writes.
func isOfServers(name string) bool {
	switch name {
	case "received", "dkim-signature", "authentication-results", "delivered-to", "feedback-id":
		return true
	}
	for _, prefix := range []string{"resent-", "arc-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// lines refuses what is no line of a mail.
func (m *rawMail) lines(part []byte) {
	for line := range bytes.Lines(part) {
		switch {
		case len(line) > maxRawLine+len("\r\n"):
			m.fault("", TooLong, fmt.Sprintf("has a line of more than %d octets (RFC 5322 2.1.1)", maxRawLine))
			return
		case bytes.IndexByte(line, 0) >= 0:
			m.fault("", InvalidFormat, faultNUL)
			return
		}
	}
}

func (m *rawMail) from() {
	value, ok := m.found["from"]
	if !ok {
		m.fault("From", Required, "is required")
		return
	}
	before := len(m.c.faults.found)
	list := m.addresses("From", value)
	switch {
	case len(list) == 0 && len(m.c.faults.found) == before: // empty, or a group of nobody
		m.fault("From", Required, "names no mailbox")
	case len(list) == 1:
		m.c.msg.From = list[0]
	case len(list) > 1:
		m.fault("From", TooMany, "has more than one mailbox")
	}
	if sender := m.addresses("Sender", m.found["sender"]); len(sender) > 0 && sender[0].Domain() != m.c.msg.From.Domain() {
		m.fault("Sender", HeaderNotAllowed, "is at another domain than From")
	}
}

// addresses reads a field of mailboxes and groups.
func (m *rawMail) addresses(name, value string) []email.Address {
	if strings.TrimSpace(value) == "" {
		return nil
	}
	list, err := mail.ParseAddressList(value)
	if err != nil {
		if strings.HasSuffix(strings.TrimSpace(value), ":;") { // an empty group, such as undisclosed-recipients
			return nil
		}
		m.fault(name, InvalidEmail, "is not a list of mailboxes (RFC 5322 3.4)")
		return nil
	}
	var out []email.Address
	for _, one := range list {
		a, err := email.NewAddress(one.Address, "")
		if err != nil {
			m.fault(name, codeOf(err, InvalidEmail), err.Error())
			continue
		}
		if a.Name, err = email.ParseDisplayName(one.Name); err != nil {
			m.fault(name, codeOf(err, InvalidFormat), err.Error())
			continue
		}
		out = append(out, a)
	}
	return out
}

// envelope decides who gets the mail: the caller's list, or everybody in the header.
func (m *rawMail) envelope(to []string) {
	msg := m.c.msg
	msg.To, msg.Cc = m.addresses("To", m.found["to"]), m.addresses("Cc", m.found["cc"])
	msg.ReplyTo = m.addresses("Reply-To", m.found["reply-to"])
	bcc := m.addresses("Bcc", m.found["bcc"])
	wanted := make(map[string]bool)
	for _, text := range to {
		a, err := email.NewAddress(text, "")
		if err != nil {
			m.c.faults.found = append(m.c.faults.found, Fault{Parameter: "to", Code: codeOf(err, InvalidEmail), Detail: err.Error()})
			continue
		}
		bcc = append(bcc, a)
		wanted[a.Normalized()] = true
	}
	seen := make(map[string]bool)
	for _, part := range []struct {
		kind email.RecipientType
		list []email.Address
	}{{email.To, msg.To}, {email.Cc, msg.Cc}, {email.Bcc, bcc}} {
		for _, a := range part.list {
			if key := a.Normalized(); !seen[key] && (len(to) == 0 || wanted[key]) {
				seen[key] = true
				m.recipient(a, part.kind)
			}
		}
	}
	switch {
	case len(seen) == 0:
		m.fault("To", Required, "is required: at least one recipient, in the header or the query parameter to")
	case len(seen) > m.c.desk.options.Limits.Recipients:
		m.fault("To", TooMany, fmt.Sprintf("makes more than %d different recipients with Cc and Bcc", m.c.desk.options.Limits.Recipients))
	}
}

func (m *rawMail) recipient(a email.Address, kind email.RecipientType) {
	before := len(m.c.faults.found)
	m.c.destination(Mailbox{}, "#", a)
	for i := range m.c.faults.found[before:] {
		f := &m.c.faults.found[before+i]
		f.Pointer, f.Header = "", map[email.RecipientType]string{email.To: "To", email.Cc: "Cc", email.Bcc: "Bcc"}[kind]
	}
	if kind == email.Bcc {
		m.c.msg.Bcc = append(m.c.msg.Bcc, a)
	}
	m.c.msg.Recipients = append(m.c.msg.Recipients, email.Recipient{Address: a, Type: kind})
}

// identity takes Subject, Message-ID and Date.
func (m *rawMail) identity() {
	subject, ok := m.found["subject"]
	decoded, err := (&mime.WordDecoder{}).DecodeHeader(subject)
	if err != nil {
		decoded = subject // of a charset that we do not know
	}
	switch {
	case !ok || decoded == "":
		m.fault("Subject", Required, "is required")
	case utf8.RuneCountInString(decoded) > m.c.desk.options.Limits.Subject:
		m.fault("Subject", TooLong, fmt.Sprintf("has more than %d characters", m.c.desk.options.Limits.Subject))
	case faultOfText(decoded, true) != "":
		m.fault("Subject", InvalidFormat, faultOfText(decoded, true))
	}
	m.c.msg.Subject = decoded
	if id, ok := m.found["message-id"]; ok {
		m.c.msg.MessageID = id
		if !msgID.MatchString(id) || len(id) > maxStructuredWord {
			m.fault("Message-ID", InvalidFormat, "is not a msg-id in angle brackets (RFC 5322 3.6.4)")
		}
	}
	if date, ok := m.found["date"]; ok {
		if _, err := mail.ParseDate(date); err != nil {
			m.fault("Date", InvalidFormat, "is not a date-time (RFC 5322 3.3)")
		}
	}
}
