package dashboard

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"postrider/internal/email"
	"postrider/internal/library"
	"postrider/internal/store"
)

// template makes a draft.
func (w *world) template(e *library.Edit) *library.Stored {
	w.t.Helper()
	made, err := w.library().Create(w.t.Context(), library.Author{World: email.Test, Name: "user:ada", At: time.Now()}, e)
	if err != nil {
		w.t.Fatal(err)
	}
	return made
}

func (w *world) library() *library.Library { return library.New(w.store, w.options.Log) }

// stored is a template as it stands.
func (w *world) stored(id string) *library.Stored {
	w.t.Helper()
	reading, err := w.library().Read(w.t.Context(), email.Test)
	if err != nil {
		w.t.Fatal(err)
	}
	found, err := reading.Get(w.t.Context(), id, 0, false)
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

func some(s string) *string { return &s }

// welcome is a message that shows a name.
func welcome() *library.Edit {
	return &library.Edit{
		Name: some("Welcome"), Alias: some("welcome"), Subject: some("Hi {{name}}"), HTML: some("<p>Hi {{name}}</p>\n<p>two</p>\n"),
		Variables: &[]store.TemplateVariable{{Key: "name", Type: "string", Required: true, Example: []byte(`"Ada"`)}},
	}
}

// fields are those of the editor, as a browser sends them.
func fields(t *testing.T, page string) url.Values {
	t.Helper()
	form := url.Values{}
	for _, name := range []string{"html", "text", "sample"} {
		found := regexp.MustCompile(`(?s)<textarea name="` + name + `"[^>]*>\n(.*?)</textarea>`).FindStringSubmatch(page)
		if found == nil {
			t.Fatalf("no field %s in %s", name, page)
		}
		form.Set(name, strings.ReplaceAll(lines(text(t, found[1])), "\n", "\r\n"))
	}
	for _, in := range regexp.MustCompile(`<input (?:type="hidden" )?name="([^"]+)" value="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if in[1] != "token" && !form.Has(in[1]) {
			form.Set(in[1], text(t, in[2]))
		}
	}
	for _, box := range regexp.MustCompile(`<input type="checkbox" name="(v\d+-required)" value="yes" checked`).FindAllStringSubmatch(page, -1) {
		form.Set(box[1], "yes")
	}
	for _, choice := range regexp.MustCompile(`(?s)<select name="(v\d+-type|layout)"[^>]*>(.*?)</select>`).FindAllStringSubmatch(page, -1) {
		if chosen := regexp.MustCompile(`<option(?: value="([^"]*)")? selected>([^<]*)`).FindStringSubmatch(choice[2]); chosen != nil {
			form.Set(choice[1], chosen[1]+map[bool]string{true: chosen[2]}[strings.HasSuffix(choice[1], "type")])
		}
	}
	return form
}

func TestTemplates(t *testing.T) {
	w := newWorld(t)
	if got := text(t, body(t, w.get("/ui/templates"), 200)); !strings.Contains(got, "No templates yet") || !strings.Contains(got, "Password reset") {
		t.Error("the empty page does not teach, or offers no starters")
	}
	for i, want := range []string{"receipt", "receipt-2"} {
		r := w.post("/ui/templates", url.Values{"starter": {"receipt"}}, nil)
		body(t, r, 303)
		id := strings.TrimPrefix(strings.TrimSuffix(r.Header.Get("Location"), "?done=created"), "/ui/templates/")
		made := w.stored(id)
		if made.Alias != want || made.Published != 0 || len(made.Content.Variables) == 0 || made.Content.Variables[0].Example == nil || made.UpdatedBy != store.Operator {
			t.Errorf("%d: made %+v", i, made.Template)
		}
		if got := body(t, w.get("/ui/templates/"+id+"/preview"), 200); !strings.Contains(got, "Oilskin jacket") {
			t.Error("the draft does not show its sample")
		}
	}
	for _, kind := range []string{"message", "layout", "partial"} {
		body(t, w.post("/ui/templates", url.Values{"name": {"A " + kind}, "alias": {"a-" + kind}, "kind": {kind}}, nil), 303)
	}
	for _, c := range []struct {
		form url.Values
		said string
	}{
		{url.Values{"name": {"x"}, "alias": {"receipt"}}, "Another template has this alias"},
		{url.Values{"name": {"x"}, "alias": {"No alias"}}, "alias must be a lower-case letter"},
		{url.Values{"name": {" "}}, "name is required"},
		{url.Values{"name": {"x"}, "kind": {"letter"}}, "kind is neither message nor layout nor partial"},
	} {
		page := text(t, body(t, w.post("/ui/templates", c.form, nil), 422))
		if !strings.Contains(page, c.said) {
			t.Errorf("%v: lacks %q", c.form, c.said)
		}
	}
	body(t, w.post("/ui/templates", url.Values{"starter": {"../x"}}, nil), 404)
	for path, want := range map[string]string{
		"": "A message", "?kind=layout": "A layout", "?q=RECEIPT-2": "receipt-2", "?q=a+layout": "a-layout", "?kind=partial&q=receipt": "Nothing found",
	} {
		if got := text(t, body(t, w.get("/ui/templates"+path), 200)); !strings.Contains(got, want) {
			t.Errorf("%s lacks %q", path, want)
		}
	}
	for _, path := range []string{"?kind=x", "?from=-1", "/x", "/" + email.NewID(email.TemplatePrefix)} {
		body(t, w.get("/ui/templates"+path), 404)
	}
}

// The list has pages, the latest change first.
func TestTemplatesHavePages(t *testing.T) {
	w := newWorld(t)
	for range templatesShown + 1 {
		w.template(&library.Edit{Name: some("T"), Subject: some("s"), Text: some("x")})
	}
	first := body(t, w.get("/ui/templates?q=t"), 200)
	if strings.Count(first, `<li><a class="row`) != templatesShown || !strings.Contains(first, `href="/ui/templates?from=50&amp;q=t"`) {
		t.Error("the first page has not its templates, or no next one")
	}
	if last := body(t, w.get("/ui/templates?q=t&from=50"), 200); strings.Count(last, `<li><a class="row`) != 1 || strings.Contains(last, `class="next"`) {
		t.Error("the last page has not one template")
	}
}

// Saving what the page shows changes nothing: not a line end, not an example.
func TestSavingWithoutAChange(t *testing.T) {
	w := newWorld(t)
	for name, e := range map[string]*library.Edit{
		"message": welcome(),
		"undeclared, CR LF, leading lines": {
			Name: some("x"), Subject: some("{{a}}"), HTML: some("\n\n<p>{{b.c}}</p>\r\n"), Text: some("\nx\ry"),
			Variables: &[]store.TemplateVariable{
				{Key: "d", Type: "number", Default: []byte("1.50")},
				{Key: "e", Type: "string", Default: []byte(`""`)},
				{Key: "f", Type: "string", Default: []byte(`"\"q"`)},
				{Key: "g", Type: "object", Example: []byte(`{"z":1,"a":[true,null]}`)},
				{Key: "b.c", Type: "string", Required: true},
			},
		},
		"layout": {Name: some("y"), Kind: some("layout"), HTML: some("<b>{{{content}}}</b>")},
	} {
		t.Run(name, func(t *testing.T) {
			made := w.template(e)
			path := "/ui/templates/" + made.ID
			body(t, w.post(path, fields(t, body(t, w.get(path), 200)), nil), 303)
			if now := w.stored(made.ID); now.ETag != made.ETag {
				t.Errorf("changed to %+v\nfrom %+v", now.Content, made.Content)
			}
		})
	}
}

func TestEditPublishRestore(t *testing.T) {
	w := newWorld(t)
	id := w.template(welcome()).ID
	path := "/ui/templates/" + id
	form := fields(t, body(t, w.get(path), 200))
	form.Set("html", "<p>Hello {{name}}, {{count}}</p>")
	form.Set("sample", `{"name": "Bob", "count": 3}`)
	form.Set("v1-key", "count")
	form.Set("v1-type", "number")
	form.Set("v1-default", "7")
	body(t, w.post(path, form, nil), 303)
	now := w.stored(id)
	if v := now.Content.Variables; now.Content.HTML != "<p>Hello {{name}}, {{count}}</p>" || len(v) != 2 || string(v[0].Example) != `"Bob"` || string(v[1].Example) != "3" || string(v[1].Default) != "7" || v[1].Required {
		t.Errorf("saved %+v", now.Content)
	}
	review := body(t, w.get(path+"/diff"), 200)
	if got := text(t, review); !strings.Contains(got, "Publish this as version 1?") || !strings.Contains(got, "<p>Hello {{name}}, {{count}}</p>") {
		t.Errorf("the review says %s", got)
	}
	body(t, w.post(path+"/publish", url.Values{"etag": {now.ETag}}, nil), 303)
	form = fields(t, body(t, w.get(path), 200))
	form.Set("html", "<p>Goodbye {{name}}, {{count}}</p>")
	body(t, w.post(path, form, nil), 303)
	now = w.stored(id)
	if now.Published != 1 || now.Draft.Number != 2 {
		t.Fatalf("stands at %+v", now.Template)
	}
	if got := body(t, w.get(path+"/diff"), 200); !strings.Contains(got, "<mark>Hello</mark>") || !strings.Contains(got, "<mark>Goodbye</mark>") {
		t.Errorf("the changes do not stand out: %s", got)
	}
	if got := text(t, body(t, w.get(path+"?version=1"), 200)); !strings.Contains(got, "This is version 1") || !strings.Contains(got, "Hello {{name}}") || strings.Contains(got, "Save the draft") {
		t.Error("the version cannot be looked at, or be changed")
	}
	body(t, w.post(path+"/restore", url.Values{"etag": {now.ETag}, "version": {"1"}}, nil), 303)
	if now = w.stored(id); now.Draft.Number != 1 {
		t.Errorf("restored %+v", now.Template)
	}
	body(t, w.post(path+"/restore", url.Values{"etag": {now.ETag}, "version": {"9"}}, nil), 404)
	body(t, w.post(path+"/name", url.Values{"etag": {now.ETag}, "name": {"Hello"}, "alias": {"hello"}}, nil), 303)
	now = w.stored(id)
	body(t, w.post(path+"/delete", url.Values{"etag": {now.ETag}}, nil), 303)
	body(t, w.get(path), 404)
	changes, _, err := w.store.Audit.Latest(t.Context(), []email.World{email.Test}, "", 20)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range changes[:len(changes)-1] { // the first one is the test's own
		if got = append(got, c.Action); c.Actor != store.Operator || c.Object != id {
			t.Errorf("recorded %+v", c)
		}
	}
	if want := "template.deleted template.updated template.restored template.updated template.published template.updated"; strings.Join(got, " ") != want {
		t.Errorf("recorded %v", got)
	}
}

// What somebody else changed meanwhile is not overwritten, whatever is done.
func TestTwoPeopleEdit(t *testing.T) {
	w := newWorld(t)
	made := w.template(welcome())
	path := "/ui/templates/" + made.ID
	form := fields(t, body(t, w.get(path), 200))
	if _, err := w.library().Update(t.Context(), library.Author{World: email.Test, Name: "user:eve", At: time.Now()}, made.ID, &library.Edit{Text: some("theirs")}); err != nil {
		t.Fatal(err)
	}
	form.Set("html", "<p>mine {{name}}</p>")
	page := body(t, w.post(path, form, nil), 409)
	if got := text(t, page); !strings.Contains(got, "Somebody changed the draft") || !strings.Contains(got, "eve") || !strings.Contains(got, "theirs") || !strings.Contains(got, "<p>mine {{name}}</p>") {
		t.Errorf("the page says %s", got)
	}
	old := url.Values{"etag": {made.ETag}, "version": {"1"}, "name": {"x"}}
	for _, action := range []string{"/publish", "/name", "/delete", "/restore"} {
		body(t, w.post(path+action, old, nil), 409)
		body(t, w.post(path+action, url.Values{"version": {"1"}, "name": {"x"}}, nil), 409)
	}
	now := w.stored(made.ID)
	if now.Content.Text != "theirs" || now.Content.HTML != *welcome().HTML {
		t.Errorf("overwritten: %+v", now.Content)
	}
	form.Set("over", now.ETag)
	body(t, w.post(path, form, nil), 303)
	if now = w.stored(made.ID); now.Content.HTML != "<p>mine {{name}}</p>" || now.Content.Text != "" {
		t.Errorf("saved %+v", now.Content)
	}
}

// What is wrong is told at its field, with its place; nothing is saved, and nothing
// entered is lost.
func TestFaultsOfTemplates(t *testing.T) {
	w := newWorld(t)
	made := w.template(welcome())
	path := "/ui/templates/" + made.ID
	for name, c := range map[string]struct {
		set   url.Values
		field string
		said  string
	}{
		"language":       {url.Values{"html": {"<p>\r\n  {{#if a}}</p>"}}, "html", "line 2, column 3"},
		"its line":       {url.Values{"html": {"<p>\r\n  {{#if a}}</p>"}}, "html", "<mark>{</mark>{#if a}}"},
		"text":           {url.Values{"text": {"{{nam e}}"}}, "text", "there is no helper"},
		"subject":        {url.Values{"subject": {"{{"}}, "subject", "never closed"},
		"no subject":     {url.Values{"subject": {""}}, "subject", "is required"},
		"from":           {url.Values{"from": {"nobody"}}, "from", "<bdi>"},
		"layout":         {url.Values{"layout": {"tpl_x"}}, "layout_id", "is not the id or alias of a layout"},
		"variable":       {url.Values{"v1-key": {"name"}, "v1-type": {"string"}}, "variables", "<bdi>"},
		"type":           {url.Values{"v0-type": {"date"}}, "variables", "<bdi>"},
		"default":        {url.Values{"v0-type": {"number"}, "v0-default": {"x"}}, "variables", "0 default is no JSON of the type number"},
		"sample":         {url.Values{"sample": {"{\r\n \"name\": }"}}, "sample", "line 2, column 10"},
		"no object":      {url.Values{"sample": {"[1]"}}, "sample", "must be one JSON object"},
		"type of sample": {url.Values{"sample": {`{"name": 1}`}}, "sample", "is a number, not a string"},
		"too long":       {url.Values{"html": {strings.Repeat("x", 1<<20+1)}}, "html", "<bdi>"},
	} {
		t.Run(name, func(t *testing.T) {
			form := fields(t, body(t, w.get(path), 200))
			for k, v := range c.set {
				form[k] = v
			}
			for suffix, status := range map[string]int{"/check": 200, "": 422} {
				if suffix == "/check" && (name == "no subject" || name == "from" || name == "type") {
					continue // says only who saves
				}
				page := body(t, w.post(path+suffix, form, nil), status)
				_, at, _ := strings.Cut(page, `id="f-`+c.field+`"`)
				at, _, _ = strings.Cut(at, "</div>")
				if !strings.Contains(at, c.said) {
					t.Errorf("%q lacks %q at %s: %q", suffix, c.said, c.field, at)
				}
				if h := c.set.Get("html"); h != "" && !strings.Contains(text(t, page), strings.ReplaceAll(h, "\r\n", "\n")) {
					t.Errorf("%q: what was entered is lost", suffix)
				}
			}
			if now := w.stored(made.ID); now.ETag != made.ETag {
				t.Errorf("saved %+v", now.Content)
			}
		})
	}
}
