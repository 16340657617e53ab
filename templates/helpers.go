package templates

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"postrider/templates/cldr"
)

// helper is a function that templates call.
type helper struct {
	name     string
	params   []helperParam
	variadic bool // and takes any number of values from the named ones on
	lenient  bool // its first value may be missing
	// prepare looks at values that are literals when the template is parsed; detail is
	// "" if they will do.
	prepare func(c *call, o *Options) (detail, hint string)
	do      func(r *run, c *call) any
}

type helperParam struct {
	name     string
	optional bool
	want     Type // inferred of a variable that stands here
}

func (h *helper) index(name string) int {
	if h.variadic {
		return -1
	}
	return slices.IndexFunc(h.params, func(p helperParam) bool { return p.name == name })
}

// usage is the helper's form, for hints.
func (h *helper) usage() string {
	s := "write (" + h.name
	for _, p := range h.params {
		if p.optional {
			s += " [" + p.name + "]"
		} else {
			s += " " + p.name
		}
	}
	if h.variadic {
		s += " ..."
	}
	return s + ")"
}

// helpers are all that templates can call. The table is made once and never changes.
var helpers = sync.OnceValue(makeHelpers)

func makeHelpers() map[string]*helper {
	value := helperParam{name: "value", want: TypeString}
	number := helperParam{name: "value", want: TypeNumber}
	a, b := helperParam{name: "a", want: TypeAny}, helperParam{name: "b", want: TypeAny}
	low, high := helperParam{name: "a", want: TypeNumber}, helperParam{name: "b", want: TypeNumber}
	locale := helperParam{name: "locale", optional: true, want: TypeString}
	list := []*helper{
		{name: "default", params: []helperParam{{name: "value", want: TypeString}, {name: "fallback", want: TypeString}}, lenient: true, do: doDefault},
		{name: "eq", params: []helperParam{a, b}, do: doEqual},
		{name: "ne", params: []helperParam{a, b}, do: func(r *run, c *call) any { return !doEqual(r, c).(bool) }},
		{name: "gt", params: []helperParam{low, high}, do: func(r *run, c *call) any { return doOrder(r, c, 1) }},
		{name: "lt", params: []helperParam{low, high}, do: func(r *run, c *call) any { return doOrder(r, c, -1) }},
		{name: "and", params: []helperParam{a, b}, variadic: true, do: doAnd},
		{name: "or", params: []helperParam{a, b}, variadic: true, do: doOr},
		{name: "not", params: []helperParam{a}, do: func(r *run, c *call) any { return !r.truth(r.eval(c.args[0])) }},
		{name: "upper", params: []helperParam{value}, do: func(r *run, c *call) any { return r.mapText(c, strings.ToUpper) }},
		{name: "lower", params: []helperParam{value}, do: func(r *run, c *call) any { return r.mapText(c, strings.ToLower) }},
		{name: "truncate", params: []helperParam{value, {name: "length", want: TypeNumber}, {name: "ellipsis", optional: true, want: TypeString}}, do: doTruncate},
		{name: "url_encode", params: []helperParam{value}, do: func(r *run, c *call) any { return r.mapText(c, urlEncode) }},
		{name: "format_number", params: []helperParam{number, {name: "decimals", optional: true, want: TypeNumber}, locale}, prepare: prepareNumber, do: doNumber},
		{name: "format_currency", params: []helperParam{number, {name: "currency", want: TypeString}, locale}, prepare: prepareMoney, do: doMoney},
		{name: "format_date", params: []helperParam{value, {name: "layout", want: TypeString}, {name: "zone", optional: true, want: TypeString}, locale}, prepare: prepareDate, do: doDate},
	}
	all := make(map[string]*helper, len(list))
	for _, h := range list {
		all[h.name] = h
	}
	return all
}

func doDefault(r *run, c *call) any {
	r.lenient++
	v := r.eval(c.args[0])
	r.lenient--
	if v == nil || v == "" {
		return r.eval(c.args[1])
	}
	return v
}

func doEqual(r *run, c *call) any {
	a, b := r.eval(c.args[0]), r.eval(c.args[1])
	for i, v := range []any{a, b} {
		switch typeOf(v) {
		case TypeObject, TypeArray:
			r.fault(c.args[i].place(), c.helper.name+" cannot compare "+describe(v), "compare one of its members")
			return false
		case TypeString:
			r.spend(len(v.(string)))
		case TypeNumber:
			n, _ := numberText(v)
			r.spend(2 * len(n))
		}
	}
	return equal(a, b)
}

func doOrder(r *run, c *call, sign int) any {
	a, b := r.eval(c.args[0]), r.eval(c.args[1])
	if a == nil || b == nil {
		return false
	}
	x, isText := a.(string)
	y, isText2 := b.(string)
	if isText && isText2 {
		r.spend(min(len(x), len(y)))
		return strings.Compare(x, y) == sign
	}
	m, isNumber := numberText(a)
	n, isNumber2 := numberText(b)
	if !isNumber || !isNumber2 {
		r.fault(c.at, fmt.Sprintf("%s cannot compare %s with %s", c.helper.name, describe(a), describe(b)), "give it two numbers or two strings")
		return false
	}
	r.spend(len(m) + len(n))
	return compareNumbers(m, n) == sign
}

func doAnd(r *run, c *call) any {
	for _, x := range c.args {
		if !r.truth(r.eval(x)) {
			return false
		}
	}
	return true
}

func doOr(r *run, c *call) any {
	for _, x := range c.args {
		if r.truth(r.eval(x)) {
			return true
		}
	}
	return false
}

// mapText applies f to a value as text.
func (r *run) mapText(c *call, f func(string) string) any {
	s, ok := r.text(c, 0)
	if !ok || !r.spend(8*len(s)) {
		return nil
	}
	return f(s)
}

// text evaluates one of a call's values as text; ok is false if it is missing or none.
func (r *run) text(c *call, i int) (string, bool) {
	v := r.eval(c.args[i])
	if v == nil {
		return "", false
	}
	s, ok := text(v)
	if !ok {
		r.fault(c.args[i].place(), fmt.Sprintf("%s cannot use %s", c.helper.name, describe(v)), c.helper.usage())
	}
	return s, ok
}

// maxTruncate is the longest that truncate leaves.
const maxTruncate = 10_000

// doTruncate cuts a text to a number of characters, the ellipsis among them. What
// belongs to one visible character is not torn apart.
func doTruncate(r *run, c *call) any {
	s, ok := r.text(c, 0)
	n, ok2 := r.whole(c, 1, maxTruncate)
	if !ok || !ok2 {
		return nil
	}
	ellipsis := "…"
	if c.args[2] != nil {
		if ellipsis, ok = r.text(c, 2); !ok {
			return nil
		}
	}
	r.spend(min(len(s), 4*n))
	if !isLonger(s, n) {
		return s
	}
	keep := n - utf8.RuneCountInString(ellipsis)
	if keep < 0 {
		r.fault(c.at, fmt.Sprintf("truncate cannot fit its ellipsis into %d characters", n), "")
		return nil
	}
	cut, last := 0, 0 // byte offsets: after keep characters, and of the last visible character's start
	for i, ch := range s {
		if !joins(s[:i], ch) {
			last = i
		}
		if keep == 0 {
			cut = i
			break
		}
		keep--
	}
	if last < cut {
		cut = last
	}
	return strings.TrimRightFunc(s[:cut], unicode.IsSpace) + ellipsis
}

// isLonger: s has more than n characters. The rest of it is not looked at.
func isLonger(s string, n int) bool {
	if len(s) <= n {
		return false
	}
	for range s {
		if n--; n < 0 {
			return true
		}
	}
	return false
}

// joins: r is part of the visible character that before ends with.
func joins(before string, r rune) bool {
	const joiner = '\u200d'
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Mc) || r == joiner || r >= 0x1f3fb && r <= 0x1f3ff {
		return true
	}
	p, _ := utf8.DecodeLastRuneInString(before)
	return p == joiner || isFlag(p) && isFlag(r)
}

func isFlag(r rune) bool { return r >= 0x1f1e6 && r <= 0x1f1ff }

// whole evaluates a value that is a whole number from 0 to most.
func (r *run) whole(c *call, i, most int) (int, bool) {
	v := r.eval(c.args[i])
	if v == nil {
		return 0, false
	}
	s, ok := numberText(v)
	n := 0
	if d, isDecimal := parseDecimal(s); ok && isDecimal && d.trim().fraction == "" && !d.negative && len(d.whole) < 10 {
		n, _ = strconv.Atoi(d.whole)
		ok = n <= most
	} else {
		ok = false
	}
	if !ok {
		r.fault(c.args[i].place(), fmt.Sprintf("the %s of %s is not a whole number from 0 to %d", c.helper.params[i].name, c.helper.name, most), c.helper.usage())
	}
	return n, ok
}

// urlEncode encodes a value for a query or a path (RFC 3986 2.3).
func urlEncode(s string) string {
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+len(s)/2)
	for i := range len(s) {
		c := s[i]
		if isLetter(c) || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}

// familiar are the names that other template languages have for what is here.
func familiar(name string) string {
	switch strings.ToLower(strings.ReplaceAll(name, "_", "")) {
	case "equals", "equal", "is":
		return "eq"
	case "notequals", "neq", "isnt":
		return "ne"
	case "greaterthan":
		return "gt"
	case "lessthan":
		return "lt"
	case "formatdate", "date", "dateformat", "moment":
		return "format_date"
	case "insert", "coalesce", "fallback":
		return "default"
	case "uppercase", "upcase":
		return "upper"
	case "lowercase", "downcase":
		return "lower"
	case "substring", "ellipsis":
		return "truncate"
	case "numberformat", "number", "tofixed":
		return "format_number"
	case "currency", "money":
		return "format_currency"
	case "urlencode", "encodeuricomponent", "encode":
		return "url_encode"
	}
	return ""
}

func helperHint(name string, all map[string]*helper) string {
	if known := familiar(name); known != "" {
		return "here it is called " + known + ": " + strings.TrimPrefix(all[known].usage(), "write ")
	}
	return "the helpers are " + strings.Join(slices.Sorted(maps.Keys(all)), ", ")
}

func blockHint(name string, all map[string]*helper) string {
	if known := familiar(name); known != "" {
		name = known
	}
	if h := all[name]; h != nil {
		return "write {{#if " + strings.TrimPrefix(h.usage(), "write ") + "}}"
	}
	return "the blocks are if, unless, each, with, and sections such as {{#name}}"
}

// locale gives the locale that a call's value names, or the template's.
func (r *run) locale(c *call, i int) *cldr.Locale {
	if c.args[i] == nil {
		return r.t.locale
	}
	tag, ok := r.text(c, i)
	if !ok {
		return nil
	}
	if r.found != nil && r.foundTag == tag {
		return r.found
	}
	r.spend(costOfLookup)
	l, ok := cldr.Find(tag)
	if !ok {
		r.fault(c.args[i].place(), "the value is not a locale that is known", `write one such as "en-GB" or "de"`)
		return nil
	}
	r.found, r.foundTag = l, tag
	return l
}
