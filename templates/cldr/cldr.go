// Package cldr knows how numbers, money and dates are written in some 170 locales.
//
// The facts are those of the Unicode Common Locale Data Repository, version 48.2.0,
// reduced to what a mail needs (cldr.txt, made by generate.go; its licence is beside
// it). They are embedded: nothing is read at run time.
//
//	de, _ := cldr.Find("de-AT")
//	de.AppendMoney(nil, "-1234.50", "EUR") // "-€ 1.234,50"
//	de.AppendDate(nil, t, de.DatePattern(cldr.Long)) // "7. Jänner 2026"
//
// It is not a formatting library: numbers come as decimal text that is rounded
// already, calendars are Gregorian, and there are no plural rules.
//
// x/text was not enough: it places every currency sign before the amount, knows no
// names of months, and has the data of 2017.
package cldr

import (
	_ "embed"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

//go:embed cldr.txt
var data string

// Style is how much room a date or time takes, from "Monday, 2 January 2006" to "02/01/06".
type Style int

// The styles.
const (
	Full Style = iota
	Long
	Medium
	Short
)

// Locale is how one language, perhaps in one country, writes. It never changes.
type Locale struct {
	Tag      string // as in CLDR, such as "de-AT"
	digits   string // ten characters, "" for ASCII
	minus    string
	minGroup int
	number   numeral
	money    [2]affixed // positive, negative
	signs    string     // "|EUR=€|USD=$"

	months, days [4][]string // wide and abbreviated in a date, wide and abbreviated alone
	halves       []string    // AM, PM
	dates        []string    // by Style
	times        []string    // Medium, Short
	joins        []string    // by the Style of the date
}

// numeral is a pattern's middle: separators and sizes of the groups.
type numeral struct {
	decimal, group     string
	primary, secondary int
}

// affixed is a pattern with its money sign as "¤" in what surrounds the number.
type affixed struct {
	numeral
	prefix, suffix string
}

// The fields of a line, in order, behind the tag.
const (
	fieldDigits = iota
	fieldDecimal
	fieldGroup
	fieldMinus
	fieldMinGroup
	fieldNumber
	fieldMoney
	fieldMoneyDecimal
	fieldMoneyGroup
	fieldSigns
	fieldMonths                   // four fields
	fieldDays   = fieldMonths + 4 // two fields
	fieldHalves = fieldDays + 2
	fieldDates  = fieldHalves + 1
	fieldTimes  = fieldDates + 1
	fieldJoins  = fieldTimes + 1
)

// maxTag bounds what is looked up: no tag of the data is longer than "zh-Hant-HK".
const maxTag = 35

// Find gives the locale for a tag such as "de", "de-AT", "pt_BR" or "zh-TW": the
// nearest that is known, which is the language itself where the country adds nothing.
func Find(tag string) (*Locale, bool) {
	if tag == "" || len(tag) > maxTag {
		return nil, false
	}
	tag = canonical(tag)
	if language, _, _ := strings.Cut(tag, "-"); len(language) < 2 || len(language) > 3 {
		return nil, false
	}
	for {
		if tag == "en" {
			return english(), true
		}
		if line, ok := find(tag); ok {
			return parse(tag, line), true
		}
		i := strings.LastIndexByte(tag, '-')
		if i < 0 {
			return nil, false
		}
		tag = tag[:i]
	}
}

// english is what nearly everybody asks for, since it is the default of templates.
var english = sync.OnceValue(func() *Locale {
	line, _ := find("en")
	return parse("en", line)
})

// Decimals is how many decimals a currency's amounts have; ok is false if no country
// uses a currency of that code (ISO 4217) today.
func Decimals(code string) (n int, ok bool) {
	if len(code) != 3 {
		return 0, false
	}
	for _, c := range []byte(code) {
		if c < 'A' || c > 'Z' {
			return 0, false
		}
	}
	line, _ := find("currencies")
	i := strings.Index(line, code)
	if i < 0 {
		return 0, false
	}
	return int(line[i+3] - '0'), true
}

// canonical spells a tag as the data does.
func canonical(tag string) string {
	parts := strings.Split(strings.ReplaceAll(tag, "_", "-"), "-")
	parts[0] = strings.ToLower(parts[0])
	for i, p := range parts[1:] {
		switch len(p) {
		case 2:
			parts[i+1] = strings.ToUpper(p)
		case 4:
			parts[i+1] = strings.ToUpper(p[:1]) + strings.ToLower(p[1:])
		}
	}
	tag = strings.Join(parts, "-")
	switch parts[0] {
	case "no": // the macrolanguage; CLDR has its two written forms
		return "nb" + tag[2:]
	case "iw":
		return "he" + tag[2:]
	case "in":
		return "id" + tag[2:]
	case "tl":
		return "fil" + tag[2:]
	}
	switch tag { // where the country decides the script
	case "zh-TW", "zh-Hant-TW":
		return "zh-Hant"
	case "zh-HK", "zh-MO", "zh-Hant-MO":
		return "zh-Hant-HK"
	case "zh-SG":
		return "zh-Hans-SG"
	case "sr-ME":
		return "sr-Latn"
	case "pt-AO", "pt-MZ", "pt-CV", "pt-LU", "pt-TL": // they write as in Portugal, CLDR's parentLocales
		return "pt-PT"
	}
	return tag
}

func find(tag string) (line string, ok bool) {
	i := strings.Index(data, "\n"+tag+"\t")
	if i < 0 {
		return "", false
	}
	line = data[i+len(tag)+2:]
	line, _, _ = strings.Cut(line, "\n")
	return line, true
}

func parse(tag, line string) *Locale {
	f := strings.Split(line, "\t")
	if language, _, ok := strings.Cut(tag, "-"); ok {
		base, _ := find(language)
		for i, s := range strings.Split(base, "\t") {
			if f[i] == "=" {
				f[i] = s
			}
		}
	}
	l := &Locale{Tag: tag, minus: f[fieldMinus], minGroup: int(f[fieldMinGroup][0] - '0'), signs: "|" + f[fieldSigns] + "|"}
	if f[fieldDigits] != "0123456789" {
		l.digits = f[fieldDigits]
	}
	l.number = parsePattern(f[fieldNumber]).numeral
	l.number.decimal, l.number.group = f[fieldDecimal], f[fieldGroup]
	plus, minus, ok := strings.Cut(f[fieldMoney], ";")
	if !ok {
		minus = "-" + plus
	}
	for i, pattern := range []string{plus, minus} {
		l.money[i] = parsePattern(pattern)
		l.money[i].decimal, l.money[i].group = f[fieldMoneyDecimal], f[fieldMoneyGroup]
	}
	for i := range l.months {
		l.months[i] = strings.Split(f[fieldMonths+i], "|")
	}
	for i := range 2 {
		l.days[i] = strings.Split(f[fieldDays+i], "|")
	}
	l.halves = strings.Split(f[fieldHalves], "|")
	l.dates = strings.Split(f[fieldDates], "|")
	l.times = strings.Split(f[fieldTimes], "|")
	l.joins = strings.Split(f[fieldJoins], "|")
	return l
}

// parsePattern reads "#,##,##0.00 ¤" (UTS 35 part 3, 3).
func parsePattern(p string) affixed {
	start := strings.IndexAny(p, "#0")
	end := strings.LastIndexAny(p, "#0") + 1
	a := affixed{prefix: p[:start], suffix: p[end:]}
	whole, _, _ := strings.Cut(p[start:end], ".")
	groups := strings.Split(whole, ",")
	if n := len(groups); n > 1 {
		a.primary = len(groups[n-1])
		a.secondary = a.primary
		if n > 2 {
			a.secondary = len(groups[n-2])
		}
	}
	return a
}

// AppendNumber writes a decimal such as "-1234.50" with the locale's digits,
// separators and groups. All the decimals that it has are written.
func (l *Locale) AppendNumber(dst []byte, decimal string) []byte {
	decimal, negative := strings.CutPrefix(decimal, "-")
	if negative {
		dst = append(dst, l.minus...)
	}
	return l.append(dst, decimal, &l.number)
}

// AppendMoney writes an amount with the sign that the locale has for the currency,
// where it puts it.
func (l *Locale) AppendMoney(dst []byte, decimal, code string) []byte {
	decimal, negative := strings.CutPrefix(decimal, "-")
	m := &l.money[0]
	if negative {
		m = &l.money[1]
	}
	sign := l.Sign(code)
	dst = l.affix(dst, m.prefix, sign)
	if strings.HasSuffix(m.prefix, "¤") && needsSpace(utf8.DecodeLastRuneInString(sign)) {
		dst = append(dst, "\u00a0"...)
	}
	dst = l.append(dst, decimal, &m.numeral)
	if strings.HasPrefix(m.suffix, "¤") && needsSpace(utf8.DecodeRuneInString(sign)) {
		dst = append(dst, "\u00a0"...)
	}
	return l.affix(dst, m.suffix, sign)
}

// needsSpace is CLDR's rule of currency spacing: letters do not touch digits.
func needsSpace(r rune, _ int) bool { return !unicode.IsSymbol(r) && !unicode.Is(unicode.Z, r) }

// Sign is the locale's sign for a currency, or the code itself.
func (l *Locale) Sign(code string) string {
	_, rest, ok := strings.Cut(l.signs, "|"+code+"=")
	if !ok {
		return code
	}
	sign, _, _ := strings.Cut(rest, "|")
	return sign
}

func (l *Locale) affix(dst []byte, s, sign string) []byte {
	for _, r := range s {
		switch r {
		case '¤':
			dst = append(dst, sign...)
		case '-':
			dst = append(dst, l.minus...)
		case '\'':
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return dst
}

// append writes the digits of a decimal without a sign.
func (l *Locale) append(dst []byte, decimal string, n *numeral) []byte {
	whole, fraction, ok := strings.Cut(decimal, ".")
	grouped := n.primary > 0 && len(whole) >= n.primary+l.minGroup
	for i := range len(whole) {
		left := len(whole) - i // digits from here to the point
		if grouped && i > 0 && (left == n.primary || left > n.primary && (left-n.primary)%n.secondary == 0) {
			dst = append(dst, n.group...)
		}
		dst = l.digit(dst, whole[i])
	}
	if !ok {
		return dst
	}
	dst = append(dst, n.decimal...)
	for i := range len(fraction) {
		dst = l.digit(dst, fraction[i])
	}
	return dst
}

func (l *Locale) digit(dst []byte, c byte) []byte {
	if l.digits == "" || c < '0' || c > '9' {
		return append(dst, c)
	}
	width := len(l.digits) / 10 // the digits of one script have one width
	i := int(c-'0') * width
	return append(dst, l.digits[i:i+width]...)
}
