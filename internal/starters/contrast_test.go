package starters

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// darkBlock is the dark styles of a starter, whose rules are inside.
var darkBlock = regexp.MustCompile(`(?s)@media \(prefers-color-scheme: dark\) \{\n(.*?)\n\}\n`)

// TestContrast: every text stands out from what is behind it, light and dark: at least
// 4.5 to 1 (WCAG 2.2, 1.4.3).
func TestContrast(t *testing.T) {
	for _, s := range all(t) {
		dark := s
		dark.HTML = darkBlock.ReplaceAllString(s.HTML, "$1\n")
		if dark.HTML == s.HTML {
			t.Fatalf("%s has no dark styles", s.Name)
		}
		for scheme, starter := range map[string]*Starter{"light": &s, "dark": &dark} {
			root, err := html.Parse(strings.NewReader(rendered(t, starter, s.Sample).HTML))
			if err != nil {
				t.Fatal(err)
			}
			texts := 0
			look(root, "#000000", "#ffffff", func(text, color, behind string) {
				texts++
				if ratio := contrast(t, color, behind); ratio < 4.5 {
					t.Errorf("%s, %s: %.1f to 1, %s on %s: %q", s.Name, scheme, ratio, color, behind, text)
				}
			})
			if texts < 5 {
				t.Errorf("%s: only %d texts found", s.Name, texts)
			}
		}
	}
}

var (
	colorOf      = regexp.MustCompile(`(?:^|; )color: (#[0-9a-f]{6})`)
	backgroundOf = regexp.MustCompile(`(?:^|; )background: (#[0-9a-f]{6})`)
)

// look visits all texts with their color and the background that they stand on.
func look(n *html.Node, color, behind string, visit func(text, color, behind string)) {
	if n.Type == html.TextNode && strings.TrimSpace(n.Data) != "" {
		visit(strings.TrimSpace(n.Data), color, behind)
	}
	if n.Data == "head" {
		return
	}
	for _, a := range n.Attr {
		if a.Key != "style" {
			continue
		}
		if strings.Contains(a.Val, "display: none") {
			return
		}
		if found := colorOf.FindStringSubmatch(a.Val); found != nil {
			color = found[1]
		}
		if found := backgroundOf.FindStringSubmatch(a.Val); found != nil {
			behind = found[1]
		}
	}
	for child := range n.ChildNodes() {
		look(child, color, behind, visit)
	}
}

// contrast is the ratio of WCAG 2.2.
func contrast(t *testing.T, a, b string) float64 {
	la, lb := luminance(t, a), luminance(t, b)
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

func luminance(t *testing.T, color string) float64 {
	t.Helper()
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(color[1+2*i:3+2*i], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}
