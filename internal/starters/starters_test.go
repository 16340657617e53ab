package starters

import (
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"postrider/internal/compose"
	"postrider/internal/inline"
	"postrider/templates"
)

// -write DIR writes each starter as it is sent, for a browser.
var writeTo = flag.String("write", "", "write the mails made of the samples into this folder")

// rendered is the mail that a starter makes of data.
func rendered(t *testing.T, s *Starter, data []byte) *templates.Output {
	t.Helper()
	source := &templates.Source{Subject: s.Subject, HTML: s.HTML, Text: s.Text}
	for _, v := range s.Variables {
		source.Variables = append(source.Variables, templates.Variable{
			Key: v.Key, Type: templates.Type(v.Type), Required: v.Required, Default: v.Default, Description: v.Description,
		})
	}
	parsed, err := templates.Parse(source, templates.Options{})
	if err != nil {
		t.Fatalf("%s: %v", s.Name, err)
	}
	model, err := templates.Data(data)
	if err != nil {
		t.Fatal(err)
	}
	if unused := parsed.Unused(model); len(unused) > 0 {
		t.Errorf("%s: nothing shows the sample's %v", s.Name, unused)
	}
	declared := make(map[string]bool)
	for _, v := range s.Variables {
		declared[v.Key] = true
	}
	for _, v := range parsed.Variables() {
		if key := strings.TrimSuffix(strings.SplitN(v.Path, ".", 2)[0], "[]"); !declared[key] {
			t.Errorf("%s: %s is used and not declared", s.Name, v.Path)
		}
	}
	out, err := parsed.Render(model)
	if err != nil {
		t.Fatalf("%s: %v", s.Name, err)
	}
	if out.HTML, err = inline.CSS(out.HTML); err != nil {
		t.Fatalf("%s: %v", s.Name, err)
	}
	return out
}

func all(t *testing.T) []Starter {
	t.Helper()
	list, err := All()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestStarters(t *testing.T) {
	for _, s := range all(t) {
		t.Run(s.Name, func(t *testing.T) {
			out := rendered(t, &s, s.Sample)
			if *writeTo != "" {
				for suffix, content := range map[string]string{".html": out.HTML, ".txt": out.Text, ".made.txt": compose.Text(out.HTML)} {
					if err := os.WriteFile(filepath.Join(*writeTo, s.Name+suffix), []byte(content), 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
			if s.Title == "" || s.About == "" || out.Subject == "" || len(out.Subject) > 70 {
				t.Errorf("title %q, about %q, subject %q", s.Title, s.About, out.Subject)
			}
			if len(out.HTML) > 30<<10 {
				t.Errorf("the HTML has %d octets: Gmail cuts mails at 102 KiB, and this is a small one", len(out.HTML))
			}
			for _, left := range []string{"{{", "@", "undefined"} {
				if i := strings.Index(strings.ReplaceAll(strings.ReplaceAll(out.HTML, "@media", ""), "@example.org", ""), left); left != "@" && i >= 0 {
					t.Errorf("%q is left in the HTML", left)
				}
			}
			for line := range strings.Lines(out.Text) {
				if strings.Contains(line, "{{") || strings.TrimRight(line, " \t\n")+"\n" != line && line != "-- \n" {
					t.Errorf("text line %q", line)
				}
			}
			if strings.Contains(out.Text, "\n\n\n") {
				t.Errorf("the text has empty lines:\n%s", out.Text)
			}
			accessible(t, out.HTML)
			fits(t, out.HTML)
		})
	}
}

// accessible checks what screen readers need.
func accessible(t *testing.T, page string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	headings := 0
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		attr := make(map[string]string)
		for _, a := range n.Attr {
			attr[a.Key] = a.Val
		}
		switch n.Data {
		case "html":
			if attr["lang"] == "" {
				t.Error("no language")
			}
		case "title":
			if n.FirstChild == nil || strings.TrimSpace(n.FirstChild.Data) == "" {
				t.Error("no title")
			}
		case "h1":
			headings++
		case "img":
			if attr["alt"] == "" {
				t.Error("an image without alt")
			}
		case "table":
			if attr["role"] != "presentation" && !strings.Contains(text(n), "Item") && !strings.Contains(text(n), "When") {
				t.Errorf("a table that is neither layout nor data: %.60q", text(n))
			}
		case "a":
			if attr["href"] == "" || strings.TrimSpace(text(n)) == "" {
				t.Errorf("a link without a target or words: %v", attr)
			}
		case "th":
			if attr["scope"] == "" {
				t.Error("a heading of a table without its scope")
			}
		}
	}
	if headings != 1 {
		t.Errorf("%d h1", headings)
	}
}

// fits checks what mail programs need: dark styles and phone styles in the head, nothing
// hidden behind a class that was not inlined, Outlook's comments whole.
func fits(t *testing.T, page string) {
	t.Helper()
	for _, want := range []string{
		"@media (prefers-color-scheme: dark)", "@media (max-width: 600px)", "<!--[if mso]>", "<![endif]-->", `name="color-scheme"`,
		`<div style="display: none;`, `bgcolor="#ffffff"`, "width=\"560\"",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s", want)
		}
	}
	if opened, closed := strings.Count(page, "<!--[if mso]>"), strings.Count(page, "<![endif]-->"); opened != closed {
		t.Errorf("%d conditional comments begin and %d end", opened, closed)
	}
	for _, bad := range []string{"display: flex", "display: grid", "position:", "float:", "<script", "javascript:", "data:"} {
		if strings.Contains(page, bad) {
			t.Errorf("%s, which mail programs do not show alike", bad)
		}
	}
	body := page[strings.Index(page, "<body"):]
	for _, cell := range regexp.MustCompile(`<(td|th|p|h1)\b[^>]*>`).FindAllString(body, -1) {
		if strings.Contains(cell, "class=") && !strings.Contains(cell, "style=") {
			t.Errorf("a class without a style: %s", cell)
		}
	}
}

func text(n *html.Node) string {
	var out strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			out.WriteString(d.Data)
		}
	}
	return out.String()
}

// TestWithoutOptional: what may be missing may be missing, one by one and all at once.
func TestWithoutOptional(t *testing.T) {
	for _, s := range all(t) {
		var sample map[string]any
		if err := json.Unmarshal(s.Sample, &sample); err != nil {
			t.Fatal(err)
		}
		bare := map[string]any{}
		for _, v := range s.Variables {
			if v.Required {
				bare[v.Key] = sample[v.Key]
			}
		}
		bare["brand"] = map[string]any{"name": "Harbour", "url": "https://harbour.example"}
		if order, ok := bare["order"].(map[string]any); ok {
			delete(order, "paid_with")
			order["extras"] = []any{}
		}
		data, err := json.Marshal(bare)
		if err != nil {
			t.Fatal(err)
		}
		out := rendered(t, &s, data)
		if strings.Contains(out.Text, "\n\n\n") || strings.Contains(out.HTML, " ,") {
			t.Errorf("%s: a gap where something is missing:\n%s", s.Name, out.Text)
		}
	}
}

// TestHostileValues: whatever is in the data, it stays text.
func TestHostileValues(t *testing.T) {
	for _, s := range all(t) {
		data := regexp.MustCompile(`"(name|place|device|note|title|text|team|summary|value|intro|label)": "[^"]*"`).
			ReplaceAllString(string(s.Sample), `"$1": "<img src=x onerror=alert(1)>\"'--><script>{{x}}\r\nBcc: a@b.c"`)
		out := rendered(t, &s, []byte(data))
		// The samples show what they are given somewhere, so that this is no empty test.
		if strings.Contains(data, "onerror") && !strings.Contains(out.HTML, "&lt;img") {
			t.Errorf("%s: the value is not shown", s.Name)
		}
		if strings.Contains(out.HTML, "<img src=x") || strings.Contains(out.HTML, "<script>") || strings.ContainsAny(out.Subject, "\r\n") {
			t.Errorf("%s: the value is more than text: %q", s.Name, out.Subject)
		}
	}
}

func TestNames(t *testing.T) {
	entries, err := files.ReadDir("files")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !slices.Contains(Names(), e.Name()) {
			t.Errorf("%s is not listed", e.Name())
		}
	}
	if _, err := Get("../frame"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an unknown name: %v", err)
	}
}

// TestFolder: what is written reads back, once, and nothing is written over.
func TestFolder(t *testing.T) {
	into := filepath.Join(t.TempDir(), "new", "folder")
	s, err := Get("receipt")
	if err != nil {
		t.Fatal(err)
	}
	folder, err := s.Write(into)
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) []byte {
		content, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	var head about
	if err := yaml.UnmarshalWithOptions(read("template.yaml"), &head, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	again := &Starter{Name: s.Name, Title: head.Name, About: s.About, Subject: head.Subject, Variables: head.Variables, HTML: string(read("body.html")), Text: string(read("body.txt")), Sample: read("sample.json")}
	if d := cmp.Diff(s, again); d != "" {
		t.Errorf("written and read (-want +got):\n%s", d)
	}
	if _, err := s.Write(into); !errors.Is(err, fs.ErrExist) {
		t.Errorf("written over: %v", err)
	}
}
