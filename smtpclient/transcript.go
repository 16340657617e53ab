package smtpclient

import (
	"fmt"
	"time"
)

// Bounds of a transcript: its beginning and its end are kept, what is between is counted.
const (
	maxLineText   = 512
	maxHeadLines  = 128
	maxHeadOctets = 24 << 10
	maxTailLines  = 32
)

// transcript records one attempt's dialogue. It is used by one goroutine at a
// time. A nil transcript records nothing.
type transcript struct {
	now    func() time.Time
	at     time.Time // of the latest line
	head   []Line
	octets int
	tail   []Line // a ring once full
	cut    int    // lines dropped between head and tail
}

// usualLines is the dialogue of one mail on a kept connection.
const usualLines = 13

func newTranscript(now func() time.Time) transcript {
	return transcript{now: now, head: make([]Line, 0, usualLines)}
}

func (t *transcript) add(from, text string) {
	t.stamp()
	t.also(from, text)
}

func (t *transcript) stamp() {
	if t != nil {
		t.at = t.now()
	}
}

// also adds a line of the same moment as the one before.
func (t *transcript) also(from, text string) {
	if t == nil {
		return
	}
	line := Line{At: t.at, From: from, Text: printable(text, maxLineText)}
	if len(t.tail) == 0 && len(t.head) < maxHeadLines && t.octets < maxHeadOctets {
		t.head = append(t.head, line)
		t.octets += len(line.Text)
		return
	}
	if len(t.tail) == maxTailLines {
		copy(t.tail, t.tail[1:])
		t.tail = t.tail[:maxTailLines-1]
		t.cut++
	}
	t.tail = append(t.tail, line)
}

func (t *transcript) note(format string, args ...any) {
	if t != nil {
		t.add("*", fmt.Sprintf(format, args...))
	}
}

// lines gives the record, with a note where lines were left out.
func (t *transcript) lines() []Line {
	all := t.head
	if t.cut > 0 {
		all = append(all, Line{At: t.tail[0].At, From: "*", Text: fmt.Sprintf("%d lines left out", t.cut)})
	}
	return append(all, t.tail...)
}
