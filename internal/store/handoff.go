package store

import (
	"container/list"
	"sync"
	"time"

	"postrider/internal/email"
)

// How much a process keeps at hand of what it accepted: mails together, in octets, the
// largest one, and how long; and about what each costs beside its octets.
const (
	handoffRoom = 32 << 20
	handoffMail = 256 << 10
	handoffLife = 30 * time.Second
	handoffEach = 1 << 10
)

// handoff keeps what this process has just accepted at hand for the case that it
// delivers it too: then Redis need not give back what it was given moments ago, and
// nobody unpacks or composes it a second time. Only what never changes is kept; states
// are always those of Redis. Where it is full it keeps what came first, which is
// delivered first. It may forget anything. A nil one keeps nothing.
type handoff struct {
	mu     sync.Mutex
	mails  map[handed]*list.Element // of *handedMail
	oldest list.List
	octets int
}

// handed names a message.
type handed struct {
	world email.World
	id    string
}

type handedMail struct {
	handed
	meta      *meta
	composed  []byte
	size      int
	envelopes int // that were not begun yet
	at        time.Time
}

func newHandoff() *handoff { return &handoff{mails: make(map[handed]*list.Element)} }

// put keeps a mail that is due, unless its content is not to outlive it. stored is how
// many octets fixed is when it is written down: in memory it is about twice that.
func (h *handoff) put(m *email.Message, fixed *meta, stored int, composed []byte, now time.Time) {
	size := cap(composed) + 2*stored + handoffEach
	if h == nil || len(composed) == 0 || size > handoffMail || m.DropContent || !m.ScheduledAt.IsZero() {
		return
	}
	mail := &handedMail{handed: handed{m.World, m.ID}, meta: fixed, composed: composed, size: size, at: now}
	for _, e := range m.Envelopes {
		if e.State.Phase == email.Waiting {
			mail.envelopes++
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for first := h.oldest.Front(); first != nil && now.Sub(first.Value.(*handedMail).at) > handoffLife; first = h.oldest.Front() {
		h.drop(first)
	}
	if mail.envelopes > 0 && h.octets+size <= handoffRoom && h.mails[mail.handed] == nil {
		h.mails[mail.handed] = h.oldest.PushBack(mail)
		h.octets += size
	}
}

// take gives what is kept of a message, nil if that is nothing, once for each of its
// envelopes.
func (h *handoff) take(w email.World, id string, now time.Time) *handedMail {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.mails[handed{w, id}]
	if e == nil {
		return nil
	}
	mail := e.Value.(*handedMail)
	if mail.envelopes--; mail.envelopes == 0 {
		h.drop(e)
	}
	if now.Sub(mail.at) > handoffLife {
		return nil
	}
	return mail
}

// drop forgets one; h.mu is held.
func (h *handoff) drop(e *list.Element) {
	mail := h.oldest.Remove(e).(*handedMail)
	delete(h.mails, mail.handed)
	h.octets -= mail.size
}
