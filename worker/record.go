package worker

import (
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"postrider/internal/email"
	"postrider/smtpclient"
)

// What is kept of foreign text, in octets and lines.
const (
	maxDetail     = 300
	maxReply      = 1024
	maxLine       = 512
	maxLines      = 300
	maxTranscript = 24 << 10
)

// record is the attempt as the timeline keeps it.
func record(d *delivery, plan smtpclient.Plan, r *smtpclient.Result, v verdict) *email.Attempt {
	a := &email.Attempt{
		Number: d.env.State.Attempts + 1, Envelope: d.job.Envelope, Fence: d.claim.Fence, Worker: d.w.o.ID,
		StartedAt: r.StartedAt, EndedAt: r.EndedAt, Provider: plan.Provider, ReversePath: d.env.ReversePath,
		Host: r.Host, Address: addrPort(r.Addr), Source: addrPort(r.Source), HELO: r.HELO,
		TLSReason: printable(r.TLSReason, maxDetail), Error: v.err, Outcomes: v.outcomes, Transcript: transcript(r.Transcript),
	}
	if a.StartedAt.IsZero() {
		a.StartedAt = d.begun // a zero start would say that nothing was tried
	}
	if r.TLS != nil {
		a.TLS, a.TLSVerified = strings.TrimSpace(r.TLS.Version+" "+r.TLS.Cipher), r.TLS.Verified
	}
	return a
}

func addrPort(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// transcript bounds a dialogue: of a long one, its beginning and its end.
func transcript(lines []smtpclient.Line) []email.Line {
	octets := 0
	keep := func(l smtpclient.Line) (email.Line, bool) {
		text := printable(l.Text, maxLine)
		octets += len(text) + 40
		return email.Line{At: l.At, From: email.Speaker(l.From), Text: text}, octets <= maxTranscript/2
	}
	i, j := 0, len(lines)
	head := slices.Grow([]email.Line(nil), min(j, maxLines))
	var tail []email.Line
	for ; i < j && len(head) < maxLines/2; i++ {
		l, ok := keep(lines[i])
		if !ok {
			break
		}
		head = append(head, l)
	}
	octets = 0
	for ; j > i && len(tail) < maxLines/2; j-- {
		l, ok := keep(lines[j-1])
		if !ok {
			break
		}
		tail = append(tail, l)
	}
	if i < j {
		head = append(head, email.Line{At: lines[i].At, From: email.Note, Text: "lines left out here"})
	}
	for k := len(tail) - 1; k >= 0; k-- {
		head = append(head, tail[k])
	}
	return head
}

// printable replaces what may not stand in a log or on a page and cuts at limit
// octets. Line breaks stay.
func printable(s string, limit int) string {
	if len(s) <= limit && plain(s) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if r == '\n' || (r != utf8.RuneError && unicode.IsPrint(r)) {
			return r
		}
		return '?'
	}, s)
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "")
}

// plain reports printable ASCII, as most of a dialogue is.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
