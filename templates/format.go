package templates

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"postrider/templates/cldr"
)

// costOfLookup is what finding a locale or a time zone counts in steps.
const costOfLookup = 4000

// maxLayout is the longest layout of a date.
const maxLayout = 200

// word gives the text of a call's value where it is a literal.
func word(c *call, i int) (s string, ok bool) {
	l, ok := c.args[i].(*literal)
	if !ok {
		return "", false
	}
	s, ok = l.value.(string)
	return s, ok
}

// prepareLocale looks at a literal locale.
func prepareLocale(c *call, i int) (l *cldr.Locale, detail string) {
	tag, ok := word(c, i)
	if !ok {
		return nil, ""
	}
	if l, ok = cldr.Find(tag); !ok {
		return nil, fmt.Sprintf("%s is not a locale that is known", excerpt(tag))
	}
	return l, ""
}

const localeHint = `write one such as "en-GB" or "de"`

func prepareNumber(c *call, _ *Options) (detail, hint string) {
	l, detail := prepareLocale(c, 2)
	if l != nil {
		c.ready = l
	}
	if _, ok := word(c, 1); ok {
		return "the decimals of format_number are a number", "write (format_number value 2 \"de\") or locale=\"de\""
	}
	return detail, localeHint
}

// maxDecimals is how many decimals format_number writes.
const maxDecimals = 20

// amount evaluates a call's first value as a number.
func (r *run) amount(c *call) (decimal, bool) {
	v := r.eval(c.args[0])
	if v == nil {
		return decimal{}, false
	}
	s, ok := numberText(v)
	given, isText := v.(string)
	if isText { // money is often kept as text
		s, ok = given, true
	}
	d, isNumber := parseDecimal(s)
	if !ok || !isNumber {
		got := describe(v)
		switch {
		case isText:
			got = "a string that is none"
		case ok:
			got = "one that is too large or too long"
		}
		r.fault(c.args[0].place(), fmt.Sprintf("%s needs a number and got %s", c.helper.name, got), `give it 1234.5 or "1234.50"`)
		return decimal{}, false
	}
	r.spend(len(s) * 4)
	return d, true
}

func doNumber(r *run, c *call) any {
	d, ok := r.amount(c)
	if !ok {
		return nil
	}
	if c.args[1] != nil {
		n, ok := r.whole(c, 1, maxDecimals)
		if !ok {
			return nil
		}
		d = d.round(n)
	} else if d = d.trim(); len(d.fraction) > 3 {
		d = d.round(3).trim()
	}
	l, _ := c.ready.(*cldr.Locale)
	if l == nil {
		if l = r.locale(c, 2); l == nil {
			return nil
		}
	}
	return string(l.AppendNumber(make([]byte, 0, 32), d.String()))
}

func prepareMoney(c *call, _ *Options) (detail, hint string) {
	l, detail := prepareLocale(c, 2)
	if l != nil {
		c.ready = l
	}
	if code, ok := word(c, 1); ok {
		if _, ok := cldr.Decimals(code); !ok {
			return fmt.Sprintf("%s is not a currency", excerpt(code)), `write its code of three capital letters: "EUR"`
		}
	}
	return detail, localeHint
}

func doMoney(r *run, c *call) any {
	d, ok := r.amount(c)
	code, ok2 := r.text(c, 1)
	if !ok || !ok2 {
		return nil
	}
	n, ok := cldr.Decimals(code)
	if !ok {
		r.fault(c.args[1].place(), "the value is not a currency", `give its code of three capital letters: "EUR"`)
		return nil
	}
	if n == 0 && d.trim().fraction != "" {
		n = 2 // what was given is not hidden
	}
	l, _ := c.ready.(*cldr.Locale)
	if l == nil {
		if l = r.locale(c, 2); l == nil {
			return nil
		}
	}
	return string(l.AppendMoney(make([]byte, 0, 32), d.round(n).String(), code))
}

// dateCall is what can be known of a format_date before it is called.
type dateCall struct {
	layout string // as CLDR's pattern, "" if it comes from data or depends on the locale
	zone   *time.Location
	locale *cldr.Locale
}

func prepareDate(c *call, _ *Options) (detail, hint string) {
	ready := &dateCall{}
	if layout, ok := word(c, 1); ok {
		if styled(layout) == nil {
			pattern, detail, hint := datePattern(layout)
			if detail != "" {
				return detail, hint
			}
			ready.layout = pattern
		}
	}
	if zone, ok := word(c, 2); ok {
		at, ok := findZone(zone)
		if !ok {
			return fmt.Sprintf("%s is not a time zone", excerpt(zone)), zoneHint
		}
		ready.zone = at
	}
	ready.locale, detail = prepareLocale(c, 3)
	c.ready = ready
	return detail, localeHint
}

const zoneHint = `write a name of the time zone database, such as "Europe/Berlin" or "UTC"`

// findZone gives a zone by its name in the time zone database. "Local" is none: what
// the machine is set to is not the template's business.
func findZone(name string) (*time.Location, bool) {
	if name == "" || name == "Local" || len(name) > 60 {
		return nil, false
	}
	for i := range len(name) {
		c := name[i]
		if !isLetter(c) && (i == 0 || c != '/' && c != '_' && c != '-' && c != '+' && (c < '0' || c > '9')) {
			return nil, false
		}
	}
	zone, err := time.LoadLocation(name)
	return zone, err == nil
}

func doDate(r *run, c *call) any {
	ready := c.ready.(*dateCall)
	zone := r.zone(c, ready)
	l := ready.locale
	if l == nil {
		l = r.locale(c, 3)
	}
	v := r.eval(c.args[0])
	if zone == nil || l == nil || v == nil {
		return nil
	}
	t, ok := parseTime(v, zone)
	if !ok {
		got := describe(v)
		if _, ok := v.(string); ok {
			got = "a string that is none"
		}
		r.fault(c.args[0].place(), "format_date needs a time and got "+got, `give it "2026-01-31T15:04:05Z", "2026-01-31" or seconds since 1970`)
		return nil
	}
	pattern := ready.layout
	if pattern == "" {
		layout, ok := r.text(c, 1)
		if !ok {
			return nil
		}
		if style := styled(layout); style != nil {
			pattern = style(l)
		} else {
			var detail, hint string
			if pattern, detail, hint = datePattern(layout); detail != "" {
				r.fault(c.args[1].place(), detail, hint)
				return nil
			}
		}
	}
	r.spend(20 * len(pattern))
	return string(l.AppendDate(make([]byte, 0, 40), t, pattern))
}

func (r *run) zone(c *call, ready *dateCall) *time.Location {
	switch {
	case ready.zone != nil:
		return ready.zone
	case c.args[2] == nil:
		return r.t.zone
	}
	name, ok := r.text(c, 2)
	if !ok {
		return nil
	}
	if r.foundZone != nil && r.foundZone.String() == name {
		return r.foundZone
	}
	r.spend(costOfLookup)
	zone, ok := findZone(name)
	if !ok {
		r.fault(c.args[2].place(), "the value is not a time zone", zoneHint)
		return nil
	}
	r.foundZone = zone
	return zone
}

// parseTime reads a time of RFC 3339; without an offset it is one in the zone, and a
// date alone stays that date everywhere. A number counts seconds since 1970.
func parseTime(v any, zone *time.Location) (time.Time, bool) {
	s, isText := v.(string)
	if !isText {
		n, ok := numberText(v)
		d, ok2 := parseDecimal(n)
		if !ok || !ok2 || len(d.whole) > 12 {
			return time.Time{}, false
		}
		var seconds int64
		for i := range len(d.whole) {
			seconds = seconds*10 + int64(d.whole[i]-'0')
		}
		if d.negative {
			seconds = -seconds
		}
		t := time.Unix(seconds, 0).In(zone)
		return t, t.Year() >= 1 && t.Year() <= 9999
	}
	if len(s) > 40 {
		return time.Time{}, false
	}
	s = strings.ToUpper(s)
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05Z07:00"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.In(zone), true
		}
	}
	for _, layout := range []string{"2006-01-02", "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05"} {
		if t, err := time.ParseInLocation(layout, s, zone); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// styled gives the locale's own form for a layout such as "long" or "long time"; nil
// if it is none.
func styled(layout string) func(*cldr.Locale) string {
	name, timed := strings.CutSuffix(layout, " time")
	style := cldr.Full
	switch name {
	case "time":
		return func(l *cldr.Locale) string { return l.TimePattern(cldr.Short) }
	case "full":
	case "long":
		style = cldr.Long
	case "medium":
		style = cldr.Medium
	case "short":
		style = cldr.Short
	default:
		return nil
	}
	if timed {
		return func(l *cldr.Locale) string { return l.DateTimePattern(style) }
	}
	return func(l *cldr.Locale) string { return l.DatePattern(style) }
}

// datePattern turns a layout such as "D MMMM YYYY [at] HH:mm" into CLDR's letters.
func datePattern(layout string) (pattern, detail, hint string) {
	if len(layout) > maxLayout {
		return "", fmt.Sprintf("the layout is longer than %d characters", maxLayout), ""
	}
	var pieces []string
	day := false
	for i := 0; i < len(layout); {
		piece, size, detail := layoutPiece(layout[i:])
		if detail != "" {
			return "", detail, layoutHint
		}
		pieces = append(pieces, piece)
		day = day || piece == "d" || piece == "dd"
		i += size
	}
	for i, p := range pieces {
		if !day && (p == "MMM" || p == "MMMM") { // a month without a day stands alone
			pieces[i] = strings.Repeat("L", len(p))
		}
	}
	return strings.Join(pieces, ""), "", ""
}

// layoutPiece translates what a layout begins with.
func layoutPiece(s string) (piece string, size int, detail string) {
	c := s[0]
	switch {
	case c == '[':
		text, _, ok := strings.Cut(s[1:], "]")
		if !ok {
			return "", 0, "the layout opens a [ that it does not close"
		}
		if text == "" {
			return "", 2, ""
		}
		return "'" + strings.ReplaceAll(text, "'", "''") + "'", len(text) + 2, ""
	case isLetter(c):
		n := 1
		for n < len(s) && s[n] == c {
			n++
		}
		letters := letter(s[:n])
		if letters == "" {
			return "", 0, fmt.Sprintf("%q means nothing in the layout of a date", s[:n])
		}
		return letters, n, ""
	case c >= '0' && c <= '9':
		return "", 0, "the layout of a date holds a digit"
	case c == '\'':
		return "''", 1, ""
	}
	_, size = utf8.DecodeRuneInString(s)
	return s[:size], size, ""
}

const layoutHint = `write "long", "long time", or letters such as "D MMMM YYYY [at] HH:mm", with text in brackets`

// letter translates one token of a layout.
func letter(token string) string {
	switch token {
	case "YYYY", "yyyy":
		return "yyyy"
	case "YY", "yy":
		return "yy"
	case "MMMM", "MMM", "MM", "M", "HH", "H", "hh", "h", "mm", "m", "ss", "s", "SSS", "z":
		return token
	case "DD":
		return "dd"
	case "D":
		return "d"
	case "dddd":
		return "EEEE"
	case "ddd":
		return "EEE"
	case "A", "a":
		return "a"
	case "Z":
		return "xxx"
	case "ZZ":
		return "xx"
	}
	return ""
}
