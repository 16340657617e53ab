package dashboard

import (
	"errors"
	"net/http"
	"slices"

	"postrider/internal/email"
	"postrider/internal/intake"
	"postrider/internal/library"
	"postrider/internal/store"
)

type templatePage struct {
	frame
	Template *store.Template
	Number   int  // of the version that is shown
	Earlier  bool // it is not the draft: it can be looked at only
	Edits    bool // the reader may edit it
	Unsaved  bool // the fields hold what was entered, not what is stored
	Form     *templateForm
	Layouts  []*store.Template
	Types    []string
	Faults   map[string][]faultView // by field
	Mail     madeMail
	Versions []versionRow
	Conflict *conflict
	Frame    string // the address of the preview

	shown *library.Preview
}

// madeMail is what a template makes of the sample.
type madeMail struct {
	Made                         bool
	Subject, From, ReplyTo, Text string
	HTML                         bool
	Size                         int64
	Missing, Unused, Undeclared  []string
	Warnings                     []string
}

// Rows are the declared variables, and one to fill in.
func (p *templatePage) Rows() []variableRow {
	if !p.Edits {
		return p.Form.Rows
	}
	return append(slices.Clone(p.Form.Rows), variableRow{})
}

// Part is the one that is in front: the first with a fault, or where its reader was.
func (p *templatePage) Part() string {
	parts := []string{"html", "text", "variables", "sample"}
	for _, part := range parts {
		if len(p.Faults[part]) > 0 {
			return part
		}
	}
	if slices.Contains(parts, p.Form.Part) {
		return p.Form.Part
	}
	if p.Form.HTML == "" && p.Form.Text != "" {
		return "text"
	}
	return "html"
}

// versionRow is one version of the list.
type versionRow struct {
	store.TemplateVersion
	State string // draft, published, superseded
}

// conflict is a draft that somebody else changed while it was edited.
type conflict struct {
	By   string
	ETag string // of what stands there now
	Diff []diffPart
}

// theTemplate is the one with an id. One of another world turns the visit to that.
func (d *dashboard) theTemplate(v *visit, id string) (*store.Template, *library.Reading, error) {
	if _, err := email.ParseID(email.TemplatePrefix, id); err != nil {
		return nil, nil, store.ErrNotFound
	}
	var (
		t       *store.Template
		reading *library.Reading
	)
	err := d.turn(v, func(w email.World) (err error) {
		if reading, err = d.library.Read(v.Context(), w); err != nil {
			return err
		}
		if t, err = reading.Find(id); errors.Is(err, library.ErrNotFound) {
			return store.ErrNotFound
		}
		return err
	})
	return t, reading, err
}

// template is one template: its draft to edit, or an earlier version to look at.
func (d *dashboard) template(v *visit) error {
	t, reading, err := d.theTemplate(v, v.PathValue("id"))
	if err != nil {
		return err
	}
	n, err := versionOf(v.URL.Query().Get("version"))
	if err != nil {
		return err
	}
	found, err := reading.Get(v.Context(), t.ID, n, false)
	if err != nil {
		return ofLibrary(err)
	}
	shown, err := reading.Preview(v.Context(), t.ID, n, nil)
	if err != nil {
		return ofLibrary(err)
	}
	p := d.templatePage(v, reading, found, formOf(found, modelOf(found, shown)))
	if p.Earlier = n != 0 && n != t.Draft.Number; p.Earlier {
		p.Edits = false
		p.Frame += "?version=" + v.URL.Query().Get("version")
	}
	p.look(shown, nil)
	return d.render(v, "template.html", p)
}

func (d *dashboard) templatePage(v *visit, r *library.Reading, t *library.Stored, f *templateForm) *templatePage {
	p := &templatePage{
		frame: d.frame(v, t.Name), Template: t.Template, Number: t.Version.Number, Edits: v.by.May(Operate), Form: f,
		Types: library.VariableTypes(), Frame: "/ui/templates/" + t.ID + "/preview", Versions: versionsOf(t.Template),
	}
	for _, other := range r.List() {
		if other.Kind == library.Layout {
			p.Layouts = append(p.Layouts, other)
		}
	}
	return p
}

// versionsOf are the versions that are kept, newest first.
func versionsOf(t *store.Template) (rows []versionRow) {
	if t.Draft.Number != t.Published {
		rows = append(rows, versionRow{t.Draft, "draft"})
	}
	for _, x := range slices.Backward(t.Versions) {
		state := "superseded"
		if x.Number == t.Published {
			state = "published"
		}
		rows = append(rows, versionRow{x, state})
	}
	return rows
}

// look fills in what a template makes of the sample, and all that is wrong.
func (p *templatePage) look(shown *library.Preview, more []library.Fault) {
	p.shown, p.Faults = shown, faultsOf(p.Template, shown, more)
	if p.Form.sampleFault != nil {
		p.Faults["sample"] = append(p.Faults["sample"], viewFault(*p.Form.sampleFault, p.Form.Sample))
	}
	for field, source := range map[string]string{"html": p.Form.HTML, "text": p.Form.Text, "subject": p.Form.Subject, "from": p.Form.From, "reply_to": p.Form.ReplyTo} {
		for i, f := range p.Faults[field] {
			p.Faults[field][i] = f.in(source)
		}
	}
	if shown == nil {
		return
	}
	m := &p.Mail
	m.Missing, m.Unused = shown.Missing, shown.Unused
	if p.Template.Kind == library.Message {
		m.Undeclared = undeclared(shown.Inferred, p.Form.Rows)
	}
	if shown.Output == nil {
		return
	}
	mail, err := intake.Finish(shown.HTML, shown.Text)
	if err != nil {
		p.Faults["html"] = append(p.Faults["html"], faultView{Detail: err.Error()})
		return
	}
	m.Made, m.Subject, m.From, m.ReplyTo, m.Text = true, shown.Subject, shown.From, shown.ReplyTo, mail.Text
	m.HTML, m.Size, m.Warnings = mail.HTML != "", int64(len(mail.HTML)+len(mail.Text)), warnings(mail)
}

// entered is the page with what is in its fields, and what that makes.
func (d *dashboard) entered(v *visit) (*templatePage, error) {
	t, reading, err := d.theTemplate(v, v.PathValue("id"))
	if err != nil {
		return nil, err
	}
	found, err := reading.Get(v.Context(), t.ID, 0, false)
	if err != nil {
		return nil, ofLibrary(err)
	}
	stored, err := reading.Preview(v.Context(), t.ID, 0, nil)
	if err != nil {
		return nil, ofLibrary(err)
	}
	p := d.templatePage(v, reading, found, readTemplateForm(v.PostForm, found, modelOf(found, stored)))
	p.Unsaved = true
	edit, faults := p.Form.edit()
	shown, err := reading.PreviewEdit(v.Context(), t.ID, edit, p.Form.data)
	var invalid *library.Invalid
	if errors.As(err, &invalid) {
		faults, err = append(faults, invalid.Faults...), nil
	}
	if err != nil {
		return nil, ofLibrary(err)
	}
	if shown != nil && len(shown.Missing) > 0 {
		if err := p.standIn(v, reading, edit, shown); err != nil {
			return nil, err
		}
	}
	if shown != nil && v.PostFormValue("do") == "declare" {
		p.Form.declare(shown.Inferred)
	}
	p.look(shown, faults)
	return p, nil
}

// standIn shows the mail all the same where the sample lacks what was just written: with
// a value of its type.
func (p *templatePage) standIn(v *visit, r *library.Reading, e *library.Edit, shown *library.Preview) error {
	model, err := r.PreviewEdit(v.Context(), p.Template.ID, e, nil)
	if err != nil {
		return ofLibrary(err)
	}
	filled, _ := filledIn(p.Form.data, model.Data).(map[string]any)
	again, err := r.PreviewEdit(v.Context(), p.Template.ID, e, filled)
	if err != nil {
		return ofLibrary(err)
	}
	shown.Output = again.Output
	if v.PostFormValue("do") == "fill" && again.Output != nil {
		p.Form.Sample, shown.Missing = indented(compactJSON(filled)), nil
	}
	return nil
}

// checkTemplate shows the page again with what was entered and what is wrong with it.
func (d *dashboard) checkTemplate(v *visit) (string, error) {
	p, err := d.entered(v)
	if err != nil {
		return "", err
	}
	return "", d.render(v, "template.html", p)
}

// saveTemplate makes what was entered the draft, if that is still the one that was read.
func (d *dashboard) saveTemplate(v *visit) (string, error) {
	p, err := d.entered(v)
	if err != nil {
		return "", err
	}
	edit, faults := p.Form.edit()
	if p.Form.sampleFault != nil || len(faults) > 0 {
		return "", d.write(v, http.StatusUnprocessableEntity, "template.html", p)
	}
	etag := p.Form.ETag
	if over := v.PostFormValue("over"); over != "" {
		etag = over
	}
	_, err = d.library.Update(v.Context(), d.author(v, sameETag(etag)), p.Template.ID, edit)
	var (
		invalid *library.Invalid
		changed *library.ChangedError
	)
	switch {
	case err == nil:
		v.did(p.Template.ID, "")
		return done("/ui/templates/"+p.Template.ID, "saved"), nil
	case errors.As(err, &changed):
		p.Conflict = &conflict{By: who(p.Template.UpdatedBy), ETag: changed.ETag, Diff: p.against()}
		return "", d.write(v, http.StatusConflict, "template.html", p)
	case errors.As(err, &invalid):
		p.look(p.shown, append(faults, invalid.Faults...))
		return "", d.write(v, http.StatusUnprocessableEntity, "template.html", p)
	}
	return "", ofLibrary(err)
}

// sameETag lets a change through if nothing changed since it was read.
func sameETag(etag string) library.Condition {
	return func(now string) bool { return etag != "" && etag == now }
}
