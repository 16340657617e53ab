package templates

import (
	"cmp"
	"strconv"
	"strings"
)

// maxExponent bounds the zeros that a number such as 1e99 stands for.
const maxExponent = 40

// maxDigits bounds the digits that are computed with.
const maxDigits = 400

// decimal is a number without loss: money must not pass through a float.
type decimal struct {
	negative bool
	whole    string // digits, at least one, no leading zeros
	fraction string // digits
}

// parseDecimal reads a JSON number (and, more kindly, one with a + or leading zeros).
func parseDecimal(s string) (decimal, bool) {
	var d decimal
	if len(s) > maxDigits {
		return d, false
	}
	s, d.negative = strings.CutPrefix(s, "-")
	if !d.negative {
		s = strings.TrimPrefix(s, "+")
	}
	exponent := 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		n, err := strconv.Atoi(s[i+1:])
		if err != nil || n > maxExponent || n < -maxExponent {
			return d, false
		}
		s, exponent = s[:i], n
	}
	whole, fraction, point := strings.Cut(s, ".")
	if whole == "" || point && fraction == "" || !digits(whole) || !digits(fraction) {
		return d, false
	}
	for ; exponent > 0; exponent-- {
		next := "0"
		if fraction != "" {
			next, fraction = fraction[:1], fraction[1:]
		}
		whole += next
	}
	for ; exponent < 0; exponent++ {
		last := "0"
		if whole != "" {
			last, whole = whole[len(whole)-1:], whole[:len(whole)-1]
		}
		fraction = last + fraction
	}
	d.whole, d.fraction = strings.TrimLeft(whole, "0"), fraction
	if d.whole == "" {
		d.whole = "0"
	}
	return d, true
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// String is the number in plain digits; minus zero is zero.
func (d decimal) String() string {
	s := d.whole
	if d.fraction != "" {
		s += "." + d.fraction
	}
	if d.negative && strings.ContainsAny(s, "123456789") {
		return "-" + s
	}
	return s
}

// round gives the number with exactly n decimals, halves away from zero as on a bill.
func (d decimal) round(n int) decimal {
	if len(d.fraction) <= n {
		d.fraction += strings.Repeat("0", n-len(d.fraction))
		return d
	}
	up := d.fraction[n] >= '5'
	all := []byte("0" + d.whole + d.fraction[:n])
	for i := len(all) - 1; up && i >= 0; i-- {
		if up = all[i] == '9'; up {
			all[i] = '0'
		} else {
			all[i]++
		}
	}
	point := len(all) - n
	d.whole, d.fraction = strings.TrimLeft(string(all[:point]), "0"), string(all[point:])
	if d.whole == "" {
		d.whole = "0"
	}
	return d
}

// trim cuts zeros at the end of the decimals.
func (d decimal) trim() decimal {
	d.fraction = strings.TrimRight(d.fraction, "0")
	return d
}

// compareNumbers orders two numbers written in decimals.
func compareNumbers(a, b string) int {
	x, ok := parseDecimal(a)
	y, ok2 := parseDecimal(b)
	if !ok || !ok2 { // beyond what is computed with: by their nearest floats
		f, _ := strconv.ParseFloat(a, 64)
		g, _ := strconv.ParseFloat(b, 64)
		return cmp.Compare(f, g)
	}
	x, y = x.trim(), y.trim()
	x.negative, y.negative = x.negative && x.String() != "0", y.negative && y.String() != "0"
	if x.negative != y.negative {
		if x.negative {
			return -1
		}
		return 1
	}
	c := cmp.Or(cmp.Compare(len(x.whole), len(y.whole)), strings.Compare(x.whole, y.whole), strings.Compare(x.fraction, y.fraction))
	if x.negative {
		return -c
	}
	return c
}
