package intake_test

import (
	"errors"
	"strings"
	"testing"

	"postrider/internal/inline"
	"postrider/internal/intake"
	"postrider/internal/starters"
	"postrider/templates"
)

// TestFinish: what a template made is finished: its CSS inlined, its text without what
// the CSS hides.
func TestFinish(t *testing.T) {
	mail, err := intake.Finish(`<style>.pre{display:none} p{color:red}</style><div class="pre">hidden</div><p>shown`, "")
	if err != nil {
		t.Fatal(err)
	}
	if mail.Text != "shown" || !strings.Contains(mail.HTML, `<p style="color: red">shown`) {
		t.Errorf("text %q, HTML %q", mail.Text, mail.HTML)
	}
	if mail, err = intake.Finish("<p>a", "own"); err != nil || mail.Text != "own" {
		t.Errorf("a text of its own: %v, %v", mail, err)
	}
	if _, err = intake.Finish(strings.Repeat("<div>", 1000)+"<style>p{a:b}</style>", ""); !errors.Is(err, inline.ErrTooMuch) {
		t.Errorf("too much: %v", err)
	}
}

// TestStartersFinish: so are the starters, and their made texts have no preheader.
func TestStartersFinish(t *testing.T) {
	all, err := starters.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		source := &templates.Source{Subject: s.Subject, HTML: s.HTML}
		for _, v := range s.Variables {
			source.Variables = append(source.Variables, templates.Variable{Key: v.Key, Type: templates.Type(v.Type), Required: v.Required, Default: v.Default})
		}
		parsed, err := templates.Parse(source, templates.Options{})
		if err != nil {
			t.Fatal(err)
		}
		data, err := templates.Data(s.Sample)
		if err != nil {
			t.Fatal(err)
		}
		out, err := parsed.Render(data)
		if err != nil {
			t.Fatal(err)
		}
		mail, err := intake.Finish(out.HTML, "")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(mail.Text, "Harbour <https://harbour.example>\n") {
			t.Errorf("%s: the text begins with %.60q", s.Name, mail.Text)
		}
	}
}
