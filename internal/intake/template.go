package intake

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"postrider/internal/compose"
	"postrider/internal/email"
	"postrider/internal/inline"
	"postrider/internal/library"
	"postrider/templates"
)

// TemplateDraft is the template that a message is to be made from, as a caller wrote it.
type TemplateDraft struct {
	ID        string // or alias
	HasID     bool
	Version   *int64
	Variables map[string]any // JSON, numbers as json.Number
}

// The codes of a template that made no mail (api.md 7).
const (
	TemplateNotFound         = "template_not_found"
	TemplateNotPublished     = "template_not_published"
	TemplateVariablesMissing = "template_variables_missing"
	TemplateRenderFailed     = "template_render_failed"
)

// TemplateRefused is a template that made no mail of its variables: Code is one of those
// above.
type TemplateRefused struct {
	Code   string
	Detail string
	// Missing are the variables that were not given, as dotted paths.
	Missing []string
	Faults  []Fault
}

func (e *TemplateRefused) Error() string { return e.Code + ": " + e.Detail }

// What the rendering of one batch may take together.
const (
	maxBatchRendering = 5 * time.Second
	maxBatchRendered  = 64 << 20
)

// rendering is the templates as one request sees them, and what it has made of them.
type rendering struct {
	reading *library.Reading
	spent   time.Duration
	octets  int
}

// usesTemplate reports whether the message is made from a template, if only a faulty one.
func (c *checker) usesTemplate() bool {
	return c.draft.Template != nil || c.faults.touched("#/template")
}

// template looks at what can be known before the template is.
func (c *checker) template() {
	t := c.draft.Template
	if t == nil {
		return
	}
	if t.ID == "" {
		detail := "is required: the id or alias of a template"
		if t.HasID {
			detail = "is empty"
		}
		c.faults.add("#/template/id", Required, detail)
	}
	if t.Version != nil && (*t.Version < 1 || *t.Version > 1<<31) {
		c.faults.add("#/template/version", OutOfRange, "must be from 1")
	}
	for name, given := range map[string]bool{"html": c.draft.HTML != nil, "text": c.draft.Text != nil} {
		if given {
			c.faults.add("#/"+name, MutuallyExclusive, "cannot be given beside a template, which has its own")
		}
	}
}

// fromTemplate makes the content of a message, and what its caller left to the template.
// Errors: *[TemplateRefused], else internal.
func (d *Desk) fromTemplate(ctx context.Context, r *Request, c *checker) error {
	t := c.draft.Template
	if r.rendering == nil {
		r.rendering = &rendering{}
	}
	letter, err := d.render(ctx, r, t)
	if err != nil {
		return refusedTemplate(err, r, t)
	}
	c.msg.Template = letter.Template
	began := time.Now()
	finished, err := Finish(letter.HTML, letter.Text)
	r.rendering.spent += time.Since(began)
	if err != nil {
		return refusedTemplate(err, r, t)
	}
	// With its styles a page may be a hundred times as long.
	r.rendering.octets += len(finished.HTML) + len(finished.Text)
	c.content.HTML, c.content.Text = finished.HTML, finished.Text
	return c.takeHead(letter)
}

// Finish makes of what a template rendered what is sent: its CSS goes into attributes,
// and HTML alone gets a text part. Errors wrap [inline.ErrTooMuch].
func Finish(html, text string) (*email.Content, error) {
	page, err := inline.CSS(html)
	if err != nil {
		return nil, err
	}
	c := &email.Content{HTML: page, Text: text}
	if text == "" && page != "" {
		// Of the page with its styles in place: what they hide is then known.
		c.Text = compose.Text(page)
	}
	return c, nil
}

// render makes the mail, within what its batch may take.
func (d *Desk) render(ctx context.Context, r *Request, t *TemplateDraft) (letter *library.Letter, err error) {
	if r.rendering.reading == nil {
		if r.rendering.reading, err = d.library.Read(ctx, r.World); err != nil {
			return nil, err
		}
	}
	if r.rendering.spent > maxBatchRendering || r.rendering.octets > maxBatchRendered {
		return nil, errBatchRendering
	}
	order := library.Order{Name: t.ID, Data: t.Variables, Drafts: !r.World.Livemode()}
	if order.Data == nil {
		order.Data = map[string]any{}
	}
	if t.Version != nil {
		order.Version = int(*t.Version)
	}
	began := time.Now()
	letter, err = r.rendering.reading.Render(ctx, order)
	r.rendering.spent += time.Since(began)
	return letter, err
}

var errBatchRendering = fmt.Errorf("is beyond the %v and %d MiB that rendering the messages of a batch may take: send fewer at once",
	maxBatchRendering, maxBatchRendered>>20)

// takeHead takes what the caller did not say from the template.
func (c *checker) takeHead(l *library.Letter) error {
	var faults []Fault
	fail := func(part, detail string) {
		faults = append(faults, Fault{Pointer: "#/template", Code: TemplateRenderFailed, Detail: "makes " + part + " that " + detail})
	}
	if c.draft.Subject == nil {
		switch limit := c.desk.options.Limits.Subject; {
		case l.Subject == "":
			fail("a subject", "is empty")
		case utf8.RuneCountInString(l.Subject) > limit:
			fail("a subject", fmt.Sprintf("has more than %d characters", limit))
		default:
			if why := faultOfText(l.Subject, true); why != "" {
				fail("a subject", why)
			}
			c.msg.Subject = l.Subject
		}
	}
	if c.draft.From == nil {
		from, err := writtenAddress(l.From)
		switch {
		case l.From == "":
			return &Invalid{Faults: []Fault{{Pointer: "#/from", Code: Required, Detail: "is required: the template has none"}}}
		case err != nil:
			fail("a from", err.Error())
		}
		c.msg.From = from
	}
	if len(c.draft.ReplyTo) == 0 && l.ReplyTo != "" {
		to, err := writtenAddress(l.ReplyTo)
		if err != nil {
			fail("a reply_to", err.Error())
		}
		c.msg.ReplyTo = []email.Address{to}
	}
	if strings.TrimSpace(l.HTML) == "" && strings.TrimSpace(l.Text) == "" {
		fail("a mail", "has no text")
	}
	if strings.IndexByte(l.HTML, 0) >= 0 || strings.IndexByte(l.Text, 0) >= 0 {
		fail("a mail", faultNUL)
	}
	if len(faults) > 0 {
		return &TemplateRefused{Code: TemplateRenderFailed, Detail: "The template makes no mail of these variables.", Faults: faults}
	}
	return nil
}

// writtenAddress reads the mailbox that a template wrote. A variable in its name may hold
// what only a quoted name may: whatever it holds, the address is the last one in angle
// brackets, which the template has written.
func writtenAddress(s string) (email.Address, error) {
	a, err := email.ParseAddress(s)
	i := strings.LastIndexByte(s, '<')
	if err == nil || i <= 0 || !strings.HasSuffix(s, ">") {
		return a, err
	}
	name, nameErr := email.ParseDisplayName(strings.TrimSpace(s[:i]))
	if nameErr != nil {
		return a, err
	}
	return email.NewAddress(s[i+1:len(s)-1], name)
}

// refusedTemplate tells what is the caller's of what kept a template from making a mail.
func refusedTemplate(err error, r *Request, t *TemplateDraft) error {
	var (
		version *library.NoVersionError
		missing *templates.MissingError
		data    *templates.DataError
		render  *templates.RenderError
		parse   *templates.ParseError
	)
	refuse := func(code, pointer, detail, fault string) error {
		return &TemplateRefused{Code: code, Detail: detail, Faults: []Fault{{Pointer: pointer, Code: code, Detail: fault}}}
	}
	switch {
	case errors.Is(err, library.ErrNotFound):
		return refuse(TemplateNotFound, "#/template/id", "There is no template with this id or alias.", "is not the id or alias of a template")
	case errors.Is(err, library.ErrNoMessage):
		return refuse(TemplateNotFound, "#/template/id", "This template is a layout or partial, no message.", "is that of a layout or partial, which make no mail alone")
	case errors.As(err, &version):
		return refuse(TemplateNotFound, "#/template/version", "The template has no such version.", "is not a version of the template, or no longer")
	case errors.Is(err, library.ErrNotPublished):
		pointer := "#/template/id"
		if t.Version != nil {
			pointer = "#/template/version"
		}
		return refuse(TemplateNotPublished, pointer, "Live mail is made from what is published, and this is a draft.", "is a draft: publish it first")
	case errors.As(err, &missing):
		return missingVariables(missing)
	case errors.As(err, &data):
		return wrongVariables(data)
	case errors.As(err, &render):
		return failedTemplate(render.Faults)
	case errors.As(err, &parse):
		return failedTemplate(parse.Faults)
	case errors.Is(err, inline.ErrTooMuch):
		return refuse(TemplateRenderFailed, "#/template", "The template makes HTML that is too much to send.", "makes "+err.Error())
	case errors.Is(err, errBatchRendering):
		// Of the message, not of its template, which may stand in the defaults of all.
		return refuse(TemplateRenderFailed, "#", "The messages of this batch take too much to render.", err.Error())
	}
	return fmt.Errorf("render template: %w", err)
}

// missingVariables names every variable that was not given, where it belongs.
func missingVariables(e *templates.MissingError) error {
	out := &TemplateRefused{Code: TemplateVariablesMissing, Missing: e.Paths()}
	out.Detail = fmt.Sprintf("%d variables of the template are missing.", len(e.Missing))
	if len(e.Missing) == 1 {
		out.Detail = "1 variable of the template is missing."
	}
	for _, m := range e.Missing {
		out.Faults = append(out.Faults, Fault{Pointer: variablePointer(m.Path), Code: TemplateVariablesMissing, Detail: "is missing"})
	}
	return out
}

// wrongVariables names those of another type than declared.
func wrongVariables(e *templates.DataError) error {
	out := &Invalid{}
	for _, f := range e.Faults {
		out.Faults = append(out.Faults, Fault{
			Pointer: variablePointer(f.Path), Code: InvalidType, Detail: fmt.Sprintf("is %s, and the template declares it as %s", f.Got, f.Want),
		})
	}
	return out
}

// failedTemplate says where in the template something went wrong, and what.
func failedTemplate(found []templates.Fault) error {
	out := &TemplateRefused{Code: TemplateRenderFailed, Detail: "The template makes no mail of these variables."}
	for _, f := range found {
		detail := f.Detail
		if f.Hint != "" {
			detail += ": " + f.Hint
		}
		where := " in " + string(f.Part)
		switch {
		case f.Line == 0:
			where = "" // a limit of the whole
		case f.In != "":
			where = " in " + string(f.Part) + " of " + f.In
		}
		out.Faults = append(out.Faults, Fault{
			Pointer: "#/template", Code: TemplateRenderFailed, Detail: "fails" + where + ": " + detail, Line: f.Line, Column: f.Column,
		})
	}
	return out
}

// variablePointer is where a variable belongs, by its dotted path.
func variablePointer(path string) string {
	return Pointer(append([]string{"template", "variables"}, strings.Split(path, ".")...)...)
}
