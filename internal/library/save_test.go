package library_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postrider/internal/email"
	"postrider/internal/library"
	"postrider/internal/redistest"
	"postrider/internal/store"
	"postrider/templates"
)

// What one process changes the others see at once.
func TestOtherProcessesSeeChanges(t *testing.T) {
	url := redistest.Server(t)
	one, two := open(t, url), open(t, url)
	one.published("alias=a", "text=one")
	if got := two.render(library.Order{Name: "a"}); got != "one v1" {
		t.Error(got)
	}
	one.must(one.change("a", "text=two"))
	one.must(one.publish("a"))
	if got := two.render(library.Order{Name: "a"}); got != "two v2" {
		t.Error(got)
	}
	if err := two.Delete(t.Context(), author(), "a"); err != nil {
		t.Fatal(err)
	}
	if got := one.render(library.Order{Name: "a"}); got != library.ErrNotFound.Error() {
		t.Error(got)
	}
}

// Everything that a template may be refused for when it is saved, all at once.
func TestSavingNamesEveryFault(t *testing.T) {
	s := open(t, redistest.InProcess(t))
	for _, c := range []struct {
		words []string
		want  []string
	}{
		{[]string{"name= ", "alias=A b", "kind=letter"}, []string{"#/name required", "#/alias invalid_format", "#/kind invalid_format", "#/html required"}},
		{[]string{"alias=tpl_x", "text=x"}, []string{"#/alias invalid_format"}},
		{[]string{"kind=partial", "subject=s", "from=a@b.example", "html=x"}, []string{"#/subject mutually_exclusive", "#/from mutually_exclusive"}},
		{[]string{"from=no address", "layout=nobody", "text=x"}, []string{"#/from invalid_email", "#/layout_id invalid_format"}},
		{[]string{"html={{#if a}}", "text={{> nobody}}"}, []string{"#/html invalid_template", "#/text invalid_template"}},
		{[]string{"html=" + strings.Repeat("x", 1<<20+1)}, []string{"#/html invalid_template"}},
	} {
		e := edit(c.words...)
		if e.Name == nil {
			e.Name = text("T")
		}
		if e.Subject == nil && e.Kind == nil {
			e.Subject = text("s")
		}
		_, err := s.Create(t.Context(), author(), e)
		var invalid *library.Invalid
		if !errors.As(err, &invalid) {
			t.Errorf("%.60q: %v", c.words, err)
			continue
		}
		var got []string
		for _, f := range invalid.Faults {
			got = append(got, f.Pointer+" "+f.Code)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%.60q (-want +got):\n%s", c.words, diff)
		}
	}
	_, err := s.create("html=<p>\n{{#each a}}")
	var invalid *library.Invalid
	if !errors.As(err, &invalid) || invalid.Faults[0].Line != 2 || invalid.Faults[0].Column != 1 {
		t.Errorf("where: %+v", err)
	}
	if n := s.rdb.DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("%d keys after refusals", n)
	}
}

// A preview tells what is wrong and is no error.
func TestPreview(t *testing.T) {
	s := open(t, redistest.InProcess(t))
	s.must(s.create("alias=a", "html=<p>{{name}} {{order.id}}</p>"))
	s.must(s.create("kind=layout", "alias=frame", "html=<main>{{{content}}}{{year}}</main>"))
	preview := func(name string, data map[string]any) *library.Preview {
		t.Helper()
		r, err := s.Read(t.Context(), email.Live)
		if err != nil {
			t.Fatal(err)
		}
		p, err := r.Preview(t.Context(), name, 0, data)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if p := preview("a", nil); p.Output == nil || p.HTML != "<p>name id</p>" || p.Version != 1 {
		t.Errorf("with made-up data: %+v", p)
	}
	p := preview("a", map[string]any{"name": "Ada", "nmae": "x"})
	if p.Output != nil || cmp.Diff([]string{"order.id"}, p.Missing)+cmp.Diff([]string{"nmae"}, p.Unused) != "" || len(p.Inferred) != 3 {
		t.Errorf("missing %v, unused %v, inferred %v", p.Missing, p.Unused, p.Inferred)
	}
	if p := preview("frame", map[string]any{"year": "2026"}); p.HTML != "<main><p>The mail itself stands here.</p>2026</main>" {
		t.Errorf("a layout: %+v", p)
	}
	r, err := s.Read(t.Context(), email.Live)
	if err != nil {
		t.Fatal(err)
	}
	p, err = r.PreviewEdit(t.Context(), "", edit("text={{#if x}}"), nil)
	if err != nil || len(p.Faults) != 1 || p.Faults[0].Part != templates.Text {
		t.Errorf("%+v, %v", p, err)
	}
}

// There are at most so many.
func TestTooManyTemplates(t *testing.T) {
	s := open(t, redistest.InProcess(t))
	for i := range store.MaxTemplates {
		s.must(s.create(fmt.Sprint("text=", i)))
	}
	if _, err := s.create("text=x"); !errors.Is(err, store.ErrTooManyTemplates) {
		t.Errorf("one more: %v", err)
	}
}
