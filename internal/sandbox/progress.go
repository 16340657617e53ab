package sandbox

import (
	"container/list"
	"crypto/sha256"
	"strings"
	"sync"
)

// maxProgress is how many envelopes' scripts are remembered; the oldest is
// forgotten, and its script begins anew.
const maxProgress = 50_000

// progressKey stands for one recipient of one envelope.
type progressKey [sha256.Size]byte

// keyOf takes the reverse-path as the envelope's name: it is the same on every
// retry and on no other envelope. Being a hash, the key has one size.
func keyOf(reversePath, recipient string) progressKey {
	return sha256.Sum256([]byte(reversePath + "\x00" + strings.ToLower(recipient)))
}

// progress counts how often each script was asked.
type progress struct {
	max int

	mu    sync.Mutex
	asked map[progressKey]*list.Element
	order *list.List // of *step, oldest first
}

type step struct {
	key   progressKey
	asked int
}

func newProgress(limit int) *progress {
	return &progress{max: limit, asked: make(map[progressKey]*list.Element), order: list.New()}
}

// advance returns how often it was called for key before.
func (p *progress) advance(key progressKey) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e, ok := p.asked[key]; ok {
		s := e.Value.(*step)
		s.asked++
		return s.asked - 1
	}
	if p.order.Len() >= p.max {
		delete(p.asked, p.order.Remove(p.order.Front()).(*step).key)
	}
	p.asked[key] = p.order.PushBack(&step{key: key, asked: 1})
	return 0
}

func (p *progress) forget(key progressKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e, ok := p.asked[key]; ok {
		p.order.Remove(e)
		delete(p.asked, key)
	}
}
