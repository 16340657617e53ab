package sandbox

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-message"

	"postrider/internal/email"
)

const (
	maxMails      = 500
	maxInboxBytes = 64 << 20
	mailOverhead  = 512 // octets that a mail costs beside its own
)

// Mail is one caught mail. It must not be changed.
type Mail struct {
	Number int64     // in the inbox, from 1: the order in which it came
	ID     string    // our message id, from the Message-ID field; empty if it is not ours
	At     time.Time // when it was taken
	From   string    // reverse-path
	To     []string  // forward-paths
	Data   []byte    // exactly as it came, without dot-stuffing

	once    sync.Once
	heading Heading
}

// Heading is what a list shows of a mail: decoded, bounded, valid UTF-8, and
// still foreign text.
type Heading struct {
	Subject string
	From    string
	To      string
}

// Heading reads the mail's header fields, once.
func (m *Mail) Heading() Heading {
	m.once.Do(func() {
		entity, err := message.Read(bytes.NewReader(m.Data))
		if entity == nil || err != nil && !readable(err) {
			return
		}
		m.heading = headingOf(&entity.Header)
	})
	return m.heading
}

// size is what the mail counts in the inbox.
func (m *Mail) size() int {
	n := mailOverhead + len(m.Data) + len(m.From)
	for _, to := range m.To {
		n += len(to)
	}
	return n
}

// Inbox keeps the latest mails in memory, bounded in number and octets. It is
// safe for concurrent use.
type Inbox struct {
	maxMails, maxBytes int

	mu    sync.RWMutex
	mails []*Mail // oldest first
	bytes int
	last  int64 // Mail.Number of the newest one, ever
}

func newInbox(mails, octets int) *Inbox { return &Inbox{maxMails: mails, maxBytes: octets} }

// Bounds are how many mails the inbox keeps at most, and how many octets of them.
func (i *Inbox) Bounds() (mails int, octets int64) { return i.maxMails, int64(i.maxBytes) }

// List returns up to limit mails, newest first.
func (i *Inbox) List(limit int) []*Mail {
	i.mu.RLock()
	defer i.mu.RUnlock()
	first := max(0, len(i.mails)-max(0, limit))
	newest := slices.Clone(i.mails[first:])
	slices.Reverse(newest)
	return newest
}

// ForMessage returns the mails of one message, newest first: one for each of its
// envelopes that arrived, more if one was sent again.
func (i *Inbox) ForMessage(id string) []*Mail {
	i.mu.RLock()
	defer i.mu.RUnlock()
	var found []*Mail
	for _, m := range slices.Backward(i.mails) {
		if id != "" && m.ID == id {
			found = append(found, m)
		}
	}
	return found
}

// add keeps a mail and drops the oldest ones beyond the bounds.
func (i *Inbox) add(m *Mail) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.last++
	m.Number = i.last
	i.mails = append(i.mails, m)
	i.bytes += m.size()
	drop := 0
	for drop < len(i.mails)-1 && (len(i.mails)-drop > i.maxMails || i.bytes > i.maxBytes) {
		i.bytes -= i.mails[drop].size()
		drop++
	}
	i.mails = slices.Delete(i.mails, 0, drop)
}

// Delete removes one mail; false if it is not there.
func (i *Inbox) Delete(number int64) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	at := slices.IndexFunc(i.mails, func(m *Mail) bool { return m.Number == number })
	if at < 0 {
		return false
	}
	i.bytes -= i.mails[at].size()
	i.mails = slices.Delete(i.mails, at, at+1)
	return true
}

// Clear removes all mails, and tells how many.
func (i *Inbox) Clear() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := len(i.mails)
	i.mails, i.bytes = nil, 0
	return n
}

// ownID reads our message id from a Message-ID field of the form <msg_...@...>.
func ownID(data []byte) string {
	entity, err := message.Read(bytes.NewReader(data))
	if entity == nil || err != nil && !readable(err) {
		return ""
	}
	value := strings.TrimSpace(entity.Header.Get("Message-Id"))
	inner, ok := strings.CutPrefix(value, "<")
	if !ok {
		return ""
	}
	id, _, ok := strings.Cut(inner, "@")
	if !ok {
		return ""
	}
	if _, err := email.ParseID(email.MessagePrefix, id); err != nil {
		return ""
	}
	return id
}
