package templates

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write what the cases give into their files, to be read before it is kept")

// parseCase cuts a file of testdata/cases into its sections. A section begins with a
// line "--- name"; its last line break does not count.
func parseCase(s string) map[string]string {
	c := map[string]string{}
	name := "about"
	var lines []string
	end := func() { c[name] = strings.Join(lines, "\n") }
	for line := range strings.SplitSeq(strings.TrimSuffix(s, "\n"), "\n") {
		if next, ok := strings.CutPrefix(line, "--- "); ok {
			end()
			name, lines = next, nil
			continue
		}
		lines = append(lines, line)
	}
	end()
	return c
}

// TestCases runs every file of testdata/cases: sources and data, and the output or
// error that they give.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/cases/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 250 {
		t.Errorf("%d cases, want at least 250", len(files))
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			c := parseCase(string(b))
			want := map[string]string{}
			for section, s := range c {
				if strings.HasPrefix(section, "want ") {
					want[section] = s
				}
			}
			got := runCase(t, c)
			if *update {
				writeCase(t, name, string(b), got)
				return
			}
			for _, section := range slices.Sorted(sections(got, want)) {
				if got[section] != want[section] {
					t.Errorf("%s is\n%s\nand should be\n%s", section, got[section], want[section])
				}
			}
		})
	}
}

func sections(maps ...map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		seen := map[string]bool{}
		for _, m := range maps {
			for k := range m {
				if !seen[k] {
					seen[k] = true
					if !yield(k) {
						return
					}
				}
			}
		}
	}
}

func writeCase(t *testing.T, name, was string, got map[string]string) {
	t.Helper()
	head, _, _ := strings.Cut(was, "\n--- want ")
	s := strings.TrimSuffix(head, "\n")
	for _, section := range slices.Sorted(sections(got)) {
		s += "\n--- " + section + "\n" + got[section]
	}
	if err := os.WriteFile(name, []byte(s+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// runCase gives "want html" and the like, or "want error".
func runCase(t *testing.T, c map[string]string) map[string]string {
	t.Helper()
	src := &Source{Subject: c["subject"], HTML: c["html"], Text: c["text"], From: c["from"], ReplyTo: c["reply_to"]}
	if c["layout html"] != "" || c["layout text"] != "" {
		src.Layout = "frame"
	}
	if s := c["layout"]; s != "" {
		src.Layout = s
	}
	if s := c["declare"]; s != "" {
		if err := json.Unmarshal([]byte(s), &src.Variables); err != nil {
			t.Fatal(err)
		}
	}
	// The clock is out of the way: a case ends alike on every machine.
	o := Options{Locale: c["locale"], Zone: c["zone"], Limits: Limits{Time: time.Hour}}
	o.Lookup = func(kind Kind, name string) (*Source, error) {
		prefix := string(kind) + " " + name + " "
		if kind == KindLayout {
			prefix = "layout "
		}
		s := &Source{HTML: c[prefix+"html"], Text: c[prefix+"text"]}
		if s.HTML == "" && s.Text == "" {
			return nil, ErrNotFound
		}
		return s, nil
	}
	parsed, err := Parse(src, o)
	if err != nil {
		return map[string]string{"want error": describeError(err)}
	}
	data, err := Data([]byte(c["data"]))
	if err != nil {
		t.Fatal(err)
	}
	out, err := parsed.Render(data)
	if err != nil {
		return map[string]string{"want error": describeError(err)}
	}
	got := map[string]string{}
	for section, s := range map[string]string{"subject": out.Subject, "html": out.HTML, "text": out.Text, "from": out.From, "reply_to": out.ReplyTo} {
		if c[section] != "" {
			got["want "+section] = visible(s)
		}
	}
	introspect(t, c, parsed, data, got)
	return got
}

// introspect adds what a case asks beside the output.
func introspect(t *testing.T, c map[string]string, parsed *Template, data map[string]any, got map[string]string) {
	t.Helper()
	if _, ok := c["want unused"]; ok {
		got["want unused"] = strings.Join(parsed.Unused(data), "\n")
	}
	if _, ok := c["want variables"]; ok {
		var b strings.Builder
		for _, v := range parsed.Variables() {
			fmt.Fprintf(&b, "%s %s required=%v\n", v.Path, v.Type, v.Required)
		}
		got["want variables"] = strings.TrimSuffix(b.String(), "\n")
	}
	if _, ok := c["want model"]; ok {
		b, err := json.Marshal(parsed.Model())
		if err != nil {
			t.Fatal(err)
		}
		got["want model"] = string(b)
	}
}

// visible writes spaces that look like others, and controls, so that they can be read.
func visible(s string) string {
	return strings.NewReplacer("\u00a0", "<NBSP>", "\u202f", "<NNBSP>", "\r", "<CR>", "\u200f", "<RLM>", "\u200e", "<LRM>").Replace(s)
}

func describeError(err error) string {
	var refused *ParseError
	var failed *RenderError
	var missing *MissingError
	var faults []Fault
	switch {
	case errors.As(err, &refused):
		faults = refused.Faults
	case errors.As(err, &failed):
		faults = failed.Faults
	case errors.As(err, &missing):
		var lines []string
		for _, m := range missing.Missing {
			lines = append(lines, fmt.Sprintf("missing %s (%s) %s:%d:%d", m.Path, m.Key, m.Part, m.Line, m.Column))
		}
		return strings.Join(lines, "\n")
	default:
		return err.Error()
	}
	lines := make([]string, len(faults))
	for i, f := range faults {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}
