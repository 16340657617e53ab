package store

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"postrider/internal/email"
)

// meta is the part of a record that is fixed at accept.
type meta struct {
	Key        string            `json:"k,omitempty"`
	Created    int64             `json:"c"`
	From       mailbox           `json:"f"`
	To         []mailbox         `json:"t,omitempty"`
	Cc         []mailbox         `json:"cc,omitempty"`
	Bcc        []mailbox         `json:"bc,omitempty"`
	ReplyTo    []mailbox         `json:"rt,omitempty"`
	Subject    string            `json:"s,omitempty"`
	Tags       []string          `json:"g,omitempty"`
	Metadata   map[string]string `json:"m,omitempty"`
	Stream     string            `json:"st,omitempty"` // absent: transactional
	Batch      string            `json:"b,omitempty"`
	Supersede  string            `json:"u,omitempty"`
	Template   *templateMeta     `json:"tp,omitempty"`
	MessageID  string            `json:"i,omitempty"`  // absent: <id@domain of from>
	FeedbackID string            `json:"fb,omitempty"` // absent: as implied; noFeedback: none
	SizeBytes  int64             `json:"z,omitempty"`
	Recipients []recipientMeta   `json:"r,omitempty"` // absent: as impliedRecipients
	Envelopes  []envelopeMeta    `json:"e,omitempty"`
}

// templateMeta is the template that a message was made from.
type templateMeta struct {
	ID      string `json:"i"`
	Alias   string `json:"a,omitempty"`
	Version int    `json:"v"`
}

type mailbox struct {
	Email string `json:"e"`
	Name  string `json:"n,omitempty"`
}

type recipientMeta struct {
	Email    string `json:"e"`
	Name     string `json:"n,omitempty"`
	Type     string `json:"t"`
	AtAccept string `json:"s"`
}

type envelopeMeta struct {
	Domain      string `json:"d"`
	ReversePath string `json:"p"`
	Sandbox     bool   `json:"x,omitempty"`
}

// state is the part of a record that changes. Lua reads and writes it with
// cjson, so it has no empty array, no null and no number beyond 14 digits: lists
// that may be empty are words in a string.
type state struct {
	Class      string           `json:"q,omitempty"` // the queue; absent: default
	Expires    int64            `json:"x,omitempty"`
	Scheduled  int64            `json:"t,omitempty"`
	Drop       int              `json:"o,omitempty"` // 1: the content goes with the last final state
	FirstSched int64            `json:"k,omitempty"` // t and x as told at accept, once they changed
	FirstExp   int64            `json:"j,omitempty"`
	Completed  int64            `json:"c,omitempty"`
	Recipients []recipientState `json:"r"`
	Envelopes  []envelopeState  `json:"e,omitempty"`
}

type recipientState struct {
	Status        email.Status `json:"s"`
	Reason        string       `json:"w,omitempty"`
	Seq           int          `json:"q,omitempty"`
	Attempts      int          `json:"a,omitempty"`
	Unknowns      int          `json:"u,omitempty"`
	Cancel        int          `json:"x,omitempty"` // 1: cancel was requested, 2: it was superseded
	FirstAttempt  int64        `json:"f,omitempty"`
	LastAttempt   int64        `json:"l,omitempty"`
	NextAttempt   int64        `json:"n,omitempty"`
	Delivered     int64        `json:"d,omitempty"`
	Bounced       int64        `json:"b,omitempty"`
	SuppressionID string       `json:"p,omitempty"`
	Envelope      int          `json:"e,omitempty"` // index; -1 none
}

type envelopeState struct {
	Phase      email.Phase `json:"p"`
	Fence      int64       `json:"f,omitempty"`
	Attempts   int         `json:"a,omitempty"`
	Generation int         `json:"g,omitempty"`
	Worker     string      `json:"w,omitempty"`
	Nonce      string      `json:"o,omitempty"` // of the Begin that holds the fence
	Begun      int64       `json:"b,omitempty"`
	Next       int64       `json:"n,omitempty"`
	Marked     string      `json:"m,omitempty"` // recipient indexes, separated by spaces
	Selectors  *string     `json:"k,omitempty"` // separated by spaces; present once signed
	Ended      int64       `json:"z,omitempty"` // the last fence that was concluded or released
	Repaired   int         `json:"v,omitempty"` // 1: by a repair
	Counted    int64       `json:"y,omitempty"` // and the start of the attempt that it counted
	Deaths     int         `json:"d,omitempty"` // attempts in a row of which the worker died
	Hold       email.Hold  `json:"h,omitempty"` // why it was put off without an attempt
	HoldDetail string      `json:"t,omitempty"`
}

const defaultStream = "transactional"

func toMS(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMS(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func toMailboxes(list []email.Address) []mailbox {
	var out []mailbox
	for _, a := range list {
		out = append(out, mailbox(a))
	}
	return out
}

func fromMailboxes(list []mailbox) []email.Address {
	var out []email.Address
	for _, a := range list {
		out = append(out, email.Address(a))
	}
	return out
}

// impliedRecipients are the recipients of a message whose header names each
// mailbox once and all of which were accepted alike: most messages.
func impliedRecipients(m *email.Message) []recipientMeta {
	first := email.Queued
	if m.FirstScheduledAt.After(m.CreatedAt) {
		first = email.Scheduled
	}
	var out []recipientMeta
	for _, part := range []struct {
		kind email.RecipientType
		list []email.Address
	}{{email.To, m.To}, {email.Cc, m.Cc}, {email.Bcc, m.Bcc}} {
		for _, a := range part.list {
			out = append(out, recipientMeta{Email: a.Email, Name: a.Name, Type: string(part.kind), AtAccept: string(first)})
		}
	}
	return out
}

func toMeta(m *email.Message) *meta {
	out := &meta{
		Key: m.KeyID, Created: toMS(m.CreatedAt), From: mailbox(m.From), To: toMailboxes(m.To),
		Cc: toMailboxes(m.Cc), Bcc: toMailboxes(m.Bcc), ReplyTo: toMailboxes(m.ReplyTo),
		Subject: m.Subject, Tags: m.Tags, Metadata: m.Metadata, SizeBytes: m.SizeBytes,
		Batch: m.BatchID, Supersede: m.Supersede, FeedbackID: feedbackWord(m),
	}
	if m.Stream != defaultStream {
		out.Stream = m.Stream
	}
	if m.MessageID != impliedMessageID(m) {
		out.MessageID = m.MessageID
	}
	if m.Template.ID != "" {
		t := templateMeta(m.Template)
		out.Template = &t
	}
	var recipients []recipientMeta
	for _, r := range m.Recipients {
		recipients = append(recipients, recipientMeta{
			Email: r.Address.Email, Name: r.Address.Name, Type: string(r.Type), AtAccept: string(r.State.AtAccept),
		})
	}
	if !slices.Equal(recipients, impliedRecipients(m)) {
		out.Recipients = recipients
	}
	for _, e := range m.Envelopes {
		out.Envelopes = append(out.Envelopes, envelopeMeta{Domain: e.Domain, ReversePath: e.ReversePath, Sandbox: e.Sandbox})
	}
	return out
}

func encodeState(m *email.Message) ([]byte, error) {
	out := state{Class: classWord(m.Class), Expires: toMS(m.ExpiresAt), Scheduled: toMS(m.ScheduledAt), Completed: toMS(m.CompletedAt)}
	if m.DropContent {
		out.Drop = 1
	}
	for _, r := range m.Recipients {
		s := r.State
		out.Recipients = append(out.Recipients, recipientState{
			Status: s.Status, Reason: s.Reason, Seq: s.Seq, Attempts: s.Attempts, NextAttempt: toMS(s.NextAttemptAt),
			SuppressionID: s.SuppressionID, Envelope: r.Envelope,
		})
	}
	for _, e := range m.Envelopes {
		out.Envelopes = append(out.Envelopes, envelopeState{
			Phase: e.State.Phase, Generation: e.State.Generation, Next: toMS(e.State.NextAt),
		})
	}
	return json.Marshal(out)
}

// classWord is a class as it is stored: the default one is left out.
func classWord(class string) string {
	if class == defaultClass {
		return ""
	}
	return class
}

func (s *state) class() string { return cmp.Or(s.Class, defaultClass) }

// decodeMessage reads a record's fields as Redis gave them.
func decodeMessage(w email.World, id string, fields map[string]string) (*email.Message, error) {
	var fixed meta
	if err := json.Unmarshal([]byte(fields["m"]), &fixed); err != nil {
		return nil, fmt.Errorf("decode message %s: %w: %w", long(id), ErrBroken, err)
	}
	return assemble(w, id, fixed, fields)
}

// assemble makes a message of its fixed part and the fields that change.
func assemble(w email.World, id string, fixed meta, fields map[string]string) (*email.Message, error) {
	now, err := decodeState(fields["s"])
	if err != nil {
		return nil, fmt.Errorf("decode message %s: %w", long(id), err)
	}
	m := &email.Message{
		ID: long(id), World: w, KeyID: fixed.Key, CreatedAt: fromMS(fixed.Created), ScheduledAt: fromMS(now.Scheduled),
		ExpiresAt: fromMS(now.Expires), CompletedAt: fromMS(now.Completed), From: email.Address(fixed.From),
		To: fromMailboxes(fixed.To), Cc: fromMailboxes(fixed.Cc), Bcc: fromMailboxes(fixed.Bcc), ReplyTo: fromMailboxes(fixed.ReplyTo),
		Subject: fixed.Subject, Tags: fixed.Tags, Metadata: fixed.Metadata, Stream: fixed.Stream, Class: now.class(),
		MessageID: fixed.MessageID, SizeBytes: fixed.SizeBytes,
		BatchID: fixed.Batch, Supersede: fixed.Supersede, DropContent: now.Drop != 0,
	}
	if fixed.Template != nil {
		m.Template = email.Template(*fixed.Template)
	}
	m.FirstScheduledAt, m.FirstExpiresAt = m.ScheduledAt, m.ExpiresAt
	if now.FirstExp != 0 {
		m.FirstScheduledAt, m.FirstExpiresAt = fromMS(now.FirstSched), fromMS(now.FirstExp)
	}
	if m.Stream == "" {
		m.Stream = defaultStream
	}
	m.FeedbackID = feedbackOf(m, fixed.FeedbackID)
	if m.MessageID == "" {
		m.MessageID = impliedMessageID(m)
	}
	if len(fixed.Recipients) == 0 {
		fixed.Recipients = impliedRecipients(m)
	}
	if len(fixed.Recipients) != len(now.Recipients) || len(fixed.Envelopes) != len(now.Envelopes) {
		return nil, fmt.Errorf("decode message %s: %w: its parts disagree", long(id), ErrBroken)
	}
	if err := fill(m, &fixed, now, fields); err != nil {
		return nil, fmt.Errorf("decode message %s: %w", long(id), err)
	}
	return m, nil
}

// decodeBrief reads of a record what Briefly promises.
func decodeBrief(w email.World, id string, fields map[string]string) (*email.Message, error) {
	var fixed struct {
		Created int64    `json:"c"`
		Tags    []string `json:"g"`
		Stream  string   `json:"st"`
	}
	var now struct {
		Scheduled int64 `json:"t"`
	}
	err := json.Unmarshal([]byte(fields["m"]), &fixed)
	if err == nil && (fields["s"] == "" || strings.Contains(fields["s"], `"t":`)) {
		err = json.Unmarshal([]byte(fields["s"]), &now)
	}
	if err != nil {
		return nil, fmt.Errorf("decode message %s: %w: %w", long(id), ErrBroken, err)
	}
	return &email.Message{
		ID: long(id), World: w, CreatedAt: fromMS(fixed.Created), ScheduledAt: fromMS(now.Scheduled), Tags: fixed.Tags,
		Stream: cmp.Or(fixed.Stream, defaultStream),
	}, nil
}

// fill adds recipients and envelopes, each from its two halves.
func fill(m *email.Message, fixed *meta, now *state, fields map[string]string) error {
	for _, e := range fixed.Envelopes {
		m.Envelopes = append(m.Envelopes, email.Envelope{Domain: e.Domain, ReversePath: e.ReversePath, Sandbox: e.Sandbox})
	}
	for i, r := range fixed.Recipients {
		s := now.Recipients[i]
		last, err := decodeReply(fields["y"+strconv.Itoa(i)])
		if err != nil {
			return err
		}
		m.Recipients = append(m.Recipients, email.Recipient{
			Address: email.Address{Email: r.Email, Name: r.Name}, Type: email.RecipientType(r.Type), Envelope: s.Envelope,
			State: email.RecipientState{
				Status: s.Status, Reason: s.Reason, Seq: s.Seq, Attempts: s.Attempts, Unknowns: s.Unknowns,
				CancelRequested: s.Cancel != 0, FirstAttemptAt: fromMS(s.FirstAttempt), LastAttemptAt: fromMS(s.LastAttempt),
				NextAttemptAt: fromMS(s.NextAttempt), DeliveredAt: fromMS(s.Delivered), BouncedAt: fromMS(s.Bounced),
				SuppressionID: s.SuppressionID, AtAccept: email.Status(r.AtAccept), LastReply: last,
			},
		})
		if s.Envelope >= 0 {
			e := &m.Envelopes[s.Envelope]
			e.Recipients = append(e.Recipients, i)
		}
	}
	for i, s := range now.Envelopes {
		m.Envelopes[i].State = s.decode()
	}
	return nil
}

// decodeState reads the changing part and checks that its indexes can be used.
func decodeState(raw string) (*state, error) {
	var s state
	if err := json.Unmarshal([]byte(raw), &s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	for _, r := range s.Recipients {
		if r.Envelope < -1 || r.Envelope >= len(s.Envelopes) || !slices.Contains(email.RecipientStatuses(), r.Status) {
			return nil, fmt.Errorf("%w: a recipient's state", ErrBroken)
		}
	}
	for _, e := range s.Envelopes {
		for word := range strings.FieldsSeq(e.Marked) {
			if i, err := strconv.Atoi(word); err != nil || i < 0 || i >= len(s.Recipients) {
				return nil, fmt.Errorf("%w: an envelope's mark", ErrBroken)
			}
		}
		switch e.Phase {
		case email.Waiting, email.InFlight, email.Marked, email.Quarantined, email.Done:
		default:
			return nil, fmt.Errorf("%w: an envelope's phase", ErrBroken)
		}
	}
	return &s, nil
}

func (s envelopeState) decode() email.EnvelopeState {
	out := email.EnvelopeState{
		Phase: s.Phase, Fence: s.Fence, Attempts: s.Attempts, Generation: s.Generation, Worker: s.Worker, Deaths: s.Deaths,
		BegunAt: fromMS(s.Begun), NextAt: fromMS(s.Next), Hold: s.Hold, HoldDetail: s.HoldDetail,
	}
	for word := range strings.FieldsSeq(s.Marked) {
		i, _ := strconv.Atoi(word) // decodeState checked it
		out.Marked = append(out.Marked, i)
	}
	if s.Selectors != nil {
		out.Signed, out.Selectors = true, strings.Fields(*s.Selectors)
	}
	return out
}
