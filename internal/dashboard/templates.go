package dashboard

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"postrider/internal/email"
	"postrider/internal/intake"
	"postrider/internal/library"
	"postrider/internal/starters"
	"postrider/internal/store"
	"postrider/templates"
)

const (
	// templatesShown is how many templates a page of the list has.
	templatesShown = 50
	// maxAliases is how many aliases are tried for what is made of a starter.
	maxAliases = 9
)

type templatesPage struct {
	frame
	Q, Kind  string
	Kinds    []choice
	List     []*store.Template
	Any      bool // there are templates
	Found    int
	Newest   string
	Older    string
	Starters []starters.Starter
	New      newTemplate
	Fault    string
	base     string
}

// newTemplate is what is entered for a template that is to be made.
type newTemplate struct{ Name, Alias, Kind string }

// templates is the list of a world, the latest change first.
func (d *dashboard) templates(v *visit) error {
	p, err := d.templatesPage(v)
	if err != nil {
		return err
	}
	return d.render(v, "templates.html", p)
}

func (d *dashboard) templatesPage(v *visit) (*templatesPage, error) {
	q := v.URL.Query()
	p := &templatesPage{frame: d.frame(v, "Templates"), Q: strings.TrimSpace(q.Get("q")), Kind: q.Get("kind"), New: newTemplate{Kind: library.Message}, base: cmp.Or(d.BaseURL, "$POSTRIDER_URL")}
	reading, err := d.library.Read(v.Context(), v.world)
	if err != nil {
		return nil, err
	}
	if p.Starters, err = starters.All(); err != nil {
		return nil, err
	}
	q.Del("done")
	from, _ := strconv.Atoi(q.Get("from"))
	q.Del("from")
	for _, kind := range []string{"", library.Message, library.Layout, library.Partial} {
		c := choice{Label: kind + "s", Path: with("/ui/templates", q, "kind", kind), Chosen: kind == p.Kind}
		if kind == "" {
			c.Label = "All"
		}
		p.Kinds = append(p.Kinds, c)
	}
	if !slices.ContainsFunc(p.Kinds, func(c choice) bool { return c.Chosen }) || from < 0 {
		return nil, store.ErrNotFound
	}
	all := reading.List()
	p.Any = len(all) > 0
	found := slices.DeleteFunc(all, func(t *store.Template) bool { return !p.matches(t) })
	slices.SortStableFunc(found, func(a, b *store.Template) int { return b.UpdatedAt.Compare(a.UpdatedAt) })
	p.Found = len(found)
	from = min(from, len(found))
	p.List = found[from:min(from+templatesShown, len(found))]
	if from > 0 {
		p.Newest = withQuery("/ui/templates", q)
	}
	if next := from + templatesShown; next < len(found) {
		p.Older = with("/ui/templates", q, "from", strconv.Itoa(next))
	}
	return p, nil
}

// API is the address of the API in examples.
func (p *templatesPage) API() string { return p.base }

// matches reports whether a template is of the kind and has the words that are searched.
func (p *templatesPage) matches(t *store.Template) bool {
	if p.Kind != "" && t.Kind != p.Kind {
		return false
	}
	all := strings.ToLower(strings.Join([]string{t.Name, t.Alias, t.ID, t.Draft.Subject}, "\n"))
	for _, word := range strings.Fields(strings.ToLower(p.Q)) {
		if !strings.Contains(all, word) {
			return false
		}
	}
	return true
}

// author is who changes templates here, and what they know of the one they change.
func (d *dashboard) author(v *visit, may library.Condition) library.Author {
	return library.Author{World: v.world, Name: d.actor(v).Name(), At: d.Now(), May: may}
}

// createTemplate makes a draft: of a starter, or with a few words to begin with.
func (d *dashboard) createTemplate(v *visit) (string, error) {
	var made *library.Stored
	var err error
	entered := newTemplate{strings.TrimSpace(v.PostFormValue("name")), strings.TrimSpace(v.PostFormValue("alias")), cmp.Or(v.PostFormValue("kind"), library.Message)}
	if name := v.PostFormValue("starter"); name != "" {
		made, err = d.fromStarter(v, name)
	} else {
		made, err = d.library.Create(v.Context(), d.author(v, nil), entered.edit())
	}
	if err == nil {
		v.did(made.ID, "")
		return done("/ui/templates/"+made.ID, "created"), nil
	}
	var why *refusal
	if err = ofLibrary(err); !errors.As(err, &why) || why.status != http.StatusUnprocessableEntity {
		return "", err
	}
	p, err := d.templatesPage(v)
	if err != nil {
		return "", err
	}
	p.New, p.Fault = entered, why.text
	return "", d.write(v, why.status, "templates.html", p)
}

// edit is a template to begin with.
func (n newTemplate) edit() *library.Edit {
	e := &library.Edit{Name: &n.Name, Alias: &n.Alias, Kind: &n.Kind}
	words := map[string][3]string{
		library.Layout: {
			"", "<!doctype html>\n<html>\n<body style=\"margin: 0; padding: 32px 16px; font-family: sans-serif\">\n{{{content}}}\n</body>\n</html>\n",
			"{{{content}}}\n\n-- \nAcme\n",
		},
		library.Partial: {"", "<p>A piece that messages call by its alias.</p>\n", ""},
	}
	begin, ok := words[n.Kind]
	if !ok {
		begin = [3]string{"Hello {{name}}", "<p>Hello {{name}},</p>\n<p>this is the mail.</p>\n", "Hello {{name}},\n\nthis is the mail.\n"}
		e.Subject = &begin[0]
		e.Variables = &[]store.TemplateVariable{{Key: "name", Type: "string", Required: true, Description: "The recipient's name.", Example: json.RawMessage(`"Ada"`)}}
	}
	if e.HTML = &begin[1]; begin[2] != "" {
		e.Text = &begin[2]
	}
	return e
}

// fromStarter makes a draft of a starter, under its name or one like it.
func (d *dashboard) fromStarter(v *visit, name string) (*library.Stored, error) {
	s, err := theStarter(name)
	if err != nil {
		return nil, err
	}
	e, err := starterEdit(s)
	if err != nil {
		return nil, err
	}
	for n := 1; ; n++ {
		alias := name
		switch {
		case n > maxAliases:
			alias = ""
		case n > 1:
			alias = fmt.Sprintf("%s-%d", name, n)
		}
		e.Alias = &alias
		made, err := d.library.Create(v.Context(), d.author(v, nil), e)
		var taken *library.TakenError
		if !errors.As(err, &taken) {
			return made, err
		}
	}
}

func theStarter(name string) (*starters.Starter, error) {
	s, err := starters.Get(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = store.ErrNotFound
	}
	return s, err
}

// starterEdit is a starter as a template, its sample as the examples of its variables.
func starterEdit(s *starters.Starter) (*library.Edit, error) {
	sample, err := templates.Data(s.Sample)
	if err != nil {
		return nil, err
	}
	variables := make([]store.TemplateVariable, len(s.Variables))
	for i, x := range s.Variables {
		variables[i] = store.TemplateVariable{Key: x.Key, Type: x.Type, Required: x.Required, Description: x.Description}
		if x.Default != nil {
			variables[i].Default = compactJSON(x.Default)
		}
		if value, ok := member(sample, x.Key); ok {
			variables[i].Example = compactJSON(value)
		}
	}
	return &library.Edit{Name: &s.Title, Subject: &s.Subject, HTML: &s.HTML, Text: &s.Text, Variables: &variables}, nil
}

// starter shows what a starter makes of its sample.
func (d *dashboard) starter(v *visit) error {
	s, err := theStarter(v.PathValue("name"))
	if err != nil {
		return err
	}
	e, err := starterEdit(s)
	if err != nil {
		return err
	}
	reading, err := d.library.Read(v.Context(), v.world)
	if err != nil {
		return err
	}
	shown, err := reading.PreviewEdit(v.Context(), "", e, nil)
	if err != nil {
		return err
	}
	return d.showFrame(v, shown, frameChoice{Dark: v.URL.Query().Get("scheme") == "dark"}, nil)
}

// ofLibrary says what is wrong with a change to a template.
func ofLibrary(err error) error {
	var (
		invalid *library.Invalid
		taken   *library.TakenError
		inUse   *library.InUseError
		changed *library.ChangedError
		version *library.NoVersionError
	)
	switch {
	case errors.Is(err, library.ErrNotFound), errors.As(err, &version):
		return store.ErrNotFound
	case errors.As(err, &taken):
		return refused("Another template has this alias.")
	case errors.As(err, &inUse):
		return refused("It is used by %s: change these first.", strings.Join(inUse.By, ", "))
	case errors.As(err, &changed):
		return &refusal{http.StatusConflict, "Somebody changed it meanwhile", "The template is not what the page showed any more. Nothing was done. Load the page again, look at it, and repeat."}
	case errors.As(err, &invalid):
		var said []string
		for _, f := range invalid.Faults {
			said = append(said, strings.TrimSpace(strings.TrimPrefix(f.Pointer, "#/")+placeOf(f)+" "+f.Detail))
		}
		return refused("%s.", strings.TrimPrefix(strings.Join(said, "; "), "# "))
	case errors.Is(err, store.ErrTooManyTemplates):
		return refused("There are %d templates already, which is the limit: delete one first.", store.MaxTemplates)
	}
	return err
}

func placeOf(f library.Fault) string {
	if f.Line == 0 {
		return ""
	}
	return fmt.Sprintf(" in line %d, column %d", f.Line, f.Column)
}

// who is a name of the record of changes, for people: of a key its end, which tells it.
func who(actor string) string {
	if strings.HasPrefix(actor, email.KeyPrefix+"_") && len(actor) > 12 {
		return "key …" + actor[len(actor)-6:]
	}
	return strings.TrimPrefix(actor, "user:")
}

// warnings are those of a mail, in words.
func warnings(c *email.Content) (said []string) {
	for _, w := range intake.Warnings(c) {
		said = append(said, w.Detail)
	}
	return said
}
