package dashboard

import (
	"strings"
	"unicode/utf8"

	"github.com/aymanbagabas/go-udiff"
)

const (
	// diffContext is how many lines around a change are shown.
	diffContext = 3
	// maxDiffLines and maxDiffLine bound a part of a comparison, in lines and characters.
	maxDiffLines = 1000
	maxDiffLine  = 500
)

// diffPart is what changed in one part of a template.
type diffPart struct {
	Name           string
	Rows           []diffRow
	Added, Removed int
	More           bool // there is more than is shown
}

// diffRow is one line. Kind: same, old, new, or gap: lines that are left out.
type diffRow struct {
	Kind     string
	Old, New int // the line's number on either side
	// Text is the line; of one that stands for another, Changed is what differs.
	Text, Changed, Rest string
}

// compare shows what changed from one text to another; ok: anything did.
func compare(name, before, after string) (p diffPart, ok bool) {
	if before == after {
		return p, false
	}
	p.Name = name
	unified, err := udiff.ToUnifiedDiff("", "", before, udiff.Lines(before, after), diffContext)
	if err != nil { // only edits that do not fit the text
		return p, true
	}
	at := 1
	for _, h := range unified.Hunks {
		if h.FromLine > at {
			p.Rows = append(p.Rows, diffRow{Kind: "gap"})
		}
		at = p.hunk(h)
	}
	if strings.Count(before, "\n") >= at {
		p.Rows = append(p.Rows, diffRow{Kind: "gap"})
	}
	if p.More = len(p.Rows) > maxDiffLines; p.More {
		p.Rows = p.Rows[:maxDiffLines]
	}
	return p, true
}

// hunk adds changed lines with those around them. It returns the first old line behind.
func (p *diffPart) hunk(h *udiff.Hunk) int {
	from, to := h.FromLine, h.ToLine
	var gone []int // rows that what comes may stand for
	for _, l := range h.Lines {
		row := diffRow{Kind: "same", Old: from, New: to, Text: cut(strings.TrimSuffix(l.Content, "\n"))}
		switch l.Kind {
		case udiff.Delete:
			row.Kind, row.New = "old", 0
			p.Removed++
			gone = append(gone, len(p.Rows))
			from++
		case udiff.Insert:
			row.Kind, row.Old = "new", 0
			p.Added++
			if len(gone) > 0 {
				pair(&p.Rows[gone[0]], &row)
				gone = gone[1:]
			}
			to++
		default:
			gone = nil
			from, to = from+1, to+1
		}
		p.Rows = append(p.Rows, row)
	}
	return from
}

// pair marks what differs between two lines that are alike at their ends.
func pair(old, now *diffRow) {
	a, b := []rune(old.Text), []rune(now.Text)
	start := 0
	for start < min(len(a), len(b)) && a[start] == b[start] {
		start++
	}
	end := 0
	for end < min(len(a), len(b))-start && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	if same := strings.TrimSpace(string(a[:start])) + strings.TrimSpace(string(a[len(a)-end:])); utf8.RuneCountInString(same)*3 < min(len(a), len(b)) {
		return // another line altogether
	}
	old.Text, old.Changed, old.Rest = string(a[:start]), string(a[start:len(a)-end]), string(a[len(a)-end:])
	now.Text, now.Changed, now.Rest = string(b[:start]), string(b[start:len(b)-end]), string(b[len(b)-end:])
}

// cut is the beginning of a line that is too long to be shown.
func cut(line string) string {
	if utf8.RuneCountInString(line) <= maxDiffLine {
		return line
	}
	return string([]rune(line)[:maxDiffLine]) + "…"
}
