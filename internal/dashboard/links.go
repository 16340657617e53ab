package dashboard

import (
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// outward makes the links of a mail open in a tab of their own, which cannot reach
// back: followed in place they would replace the preview. Links to a place in the
// mail stay in it; those that are not to the web, to mail or to a phone lead nowhere.
// All else stays as it is, to the octet.
func outward(source string) string {
	z := html.NewTokenizer(strings.NewReader(source))
	var out strings.Builder
	out.Grow(len(source) + 512)
	// For what is a link to a browser and not to the tokenizer.
	const base = `<base target="_blank">`
	based := false
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			break
		}
		raw := string(z.Raw())
		if !based && kind != html.DoctypeToken && kind != html.CommentToken && strings.TrimSpace(raw) != "" {
			// Behind the doctype, or the page would be drawn in quirks mode.
			out.WriteString(base)
			based = true
		}
		if kind == html.StartTagToken || kind == html.SelfClosingTagToken {
			if t := z.Token(); t.DataAtom == atom.A || t.DataAtom == atom.Area {
				raw = link(t).String()
			}
		}
		out.WriteString(raw)
	}
	return out.String()
}

// link is a link without what decides where it opens, and with what we decide.
func link(t html.Token) html.Token {
	target, kept := "_blank", t.Attr[:0]
	for _, a := range t.Attr {
		switch key := strings.ToLower(a.Key); {
		case key == "target", key == "rel", key == "ping", key == "download":
			continue
		case key == "href", strings.HasSuffix(key, ":href"):
			to := strings.Trim(a.Val, " \t\r\n\f")
			if strings.HasPrefix(to, "#") {
				target = "_self"
			} else if !leadsOut(to) {
				continue
			}
		}
		kept = append(kept, a)
	}
	t.Attr = append(kept, html.Attribute{Key: "target", Val: target}, html.Attribute{Key: "rel", Val: "noopener noreferrer"})
	return t
}

func leadsOut(href string) bool {
	scheme, _, found := strings.Cut(href, ":")
	switch strings.ToLower(scheme) {
	case "http", "https", "mailto", "tel":
		return found
	}
	return false
}
