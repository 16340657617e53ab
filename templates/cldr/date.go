package cldr

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// DatePattern is how the locale writes a date, in the letters of [Locale.AppendDate].
func (l *Locale) DatePattern(s Style) string { return l.dates[s] }

// TimePattern is how it writes a time of day; Full and Long are Medium, with seconds.
func (l *Locale) TimePattern(s Style) string {
	if s == Short {
		return l.times[1]
	}
	return l.times[0]
}

// DateTimePattern is a date in that style with hours and minutes.
func (l *Locale) DateTimePattern(s Style) string {
	return strings.NewReplacer("{1}", l.dates[s], "{0}", l.times[1]).Replace(l.joins[s])
}

// AppendDate writes a time by a pattern of UTS 35 part 4: y, M, L, d, E, a, B, h, H,
// K, k, m, s, S, z, x and X in their common widths, and text in single quotes. Letters
// that it does not know are written as they are.
func (l *Locale) AppendDate(dst []byte, t time.Time, pattern string) []byte {
	for i := 0; i < len(pattern); {
		c := pattern[i]
		switch {
		case c == '\'':
			text, rest := quoted(pattern[i+1:])
			dst = append(dst, text...)
			i = len(pattern) - len(rest)
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
			width := 1
			for i+width < len(pattern) && pattern[i+width] == c {
				width++
			}
			dst = l.field(dst, t, c, width)
			i += width
		default:
			_, size := utf8.DecodeRuneInString(pattern[i:])
			dst = append(dst, pattern[i:i+size]...)
			i += size
		}
	}
	return dst
}

// quoted reads text behind its first quote: a doubled quote stands for itself.
func quoted(s string) (text, rest string) {
	if strings.HasPrefix(s, "'") {
		return "'", s[1:]
	}
	for {
		head, tail, _ := strings.Cut(s, "'")
		text += head
		if !strings.HasPrefix(tail, "'") {
			return text, tail
		}
		text += "'"
		s = tail[1:]
	}
}

func (l *Locale) field(dst []byte, t time.Time, c byte, width int) []byte {
	switch c {
	case 'y', 'u':
		if width == 2 {
			return l.pad(dst, t.Year()%100, 2)
		}
		return l.pad(dst, t.Year(), width)
	case 'M', 'L':
		if width <= 2 {
			return l.pad(dst, int(t.Month()), width)
		}
		form := 0 // in a date
		if c == 'L' {
			form = 2 // alone
		}
		if width == 3 {
			form++
		}
		return append(dst, l.months[form][t.Month()-1]...)
	case 'd':
		return l.pad(dst, t.Day(), width)
	case 'E', 'c':
		form := 0
		if width <= 3 {
			form = 1
		}
		return append(dst, l.days[form][t.Weekday()]...)
	case 'a', 'B', 'b':
		return append(dst, l.halves[t.Hour()/12]...)
	}
	return l.clock(dst, t, c, width)
}

// clock writes what is smaller than a day.
func (l *Locale) clock(dst []byte, t time.Time, c byte, width int) []byte {
	switch c {
	case 'H':
		return l.pad(dst, t.Hour(), width)
	case 'h':
		return l.pad(dst, (t.Hour()+11)%12+1, width)
	case 'K':
		return l.pad(dst, t.Hour()%12, width)
	case 'k':
		return l.pad(dst, (t.Hour()+23)%24+1, width)
	case 'm':
		return l.pad(dst, t.Minute(), width)
	case 's':
		return l.pad(dst, t.Second(), width)
	case 'S':
		return append(dst, t.Format(".000000000")[1:1+min(width, 9)]...)
	case 'z':
		return t.AppendFormat(dst, "MST")
	case 'x', 'X':
		if width == 2 {
			return t.AppendFormat(dst, "-0700")
		}
		return t.AppendFormat(dst, "-07:00")
	}
	for range width {
		dst = append(dst, c)
	}
	return dst
}

func (l *Locale) pad(dst []byte, n, width int) []byte {
	if n < 0 {
		dst = append(dst, l.minus...)
		n = -n
	}
	s := strconv.Itoa(n)
	for range width - len(s) {
		dst = l.digit(dst, '0')
	}
	for i := range len(s) {
		dst = l.digit(dst, s[i])
	}
	return dst
}
