package templates

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestBalancedStaysInItsFrame: what is taken of any mixture of tags leaves the elements
// around it where they are, as a whole HTML5 parser reads them.
func TestBalancedStaysInItsFrame(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 11))
	taken := 0
	for range 20_000 {
		value := tagMixture(r)
		if checkRaw(value) == "" {
			taken++
			checkRawFrames(t, value)
		}
	}
	if taken < 2000 {
		t.Errorf("only %d of the mixtures are taken", taken)
	}
}

// tagMixture is HTML that is mostly balanced.
func tagMixture(r *rand.Rand) string {
	names := []string{"div", "p", "ul", "li", "dl", "dd", "dt", "b", "i", "a", "span", "h1", "h2", "section", "blockquote", "br", "img", "center", "pre", "option", "ruby", "rt"}
	var b strings.Builder
	var open []string
	for range r.IntN(12) {
		switch n := r.IntN(10); {
		case n < 5:
			name := names[r.IntN(len(names))]
			fmt.Fprintf(&b, "<%s>", name)
			if !void(name) {
				open = append(open, name)
			}
		case n < 9 && len(open) > 0:
			if name := open[len(open)-1]; n < 8 || !optionalEnd(name) {
				fmt.Fprintf(&b, "</%s>", name)
			}
			open = open[:len(open)-1]
		case n == 9 && r.IntN(5) == 0:
			fmt.Fprintf(&b, "</%s>", names[r.IntN(len(names))])
		default:
			b.WriteString("x")
		}
	}
	for len(open) > 0 {
		fmt.Fprintf(&b, "</%s>", open[len(open)-1])
		open = open[:len(open)-1]
	}
	return b.String()
}
