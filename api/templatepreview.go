package api

import (
	"net/http"

	"postrider/internal/intake"
	"postrider/internal/library"
	"postrider/templates"
)

// templatePreviewView is a mail as it would be, or what is wrong with it. It is an answer
// of 200 either way: to look at a template is no mistake.
type templatePreviewView struct {
	Object    string           `json:"object"`
	Livemode  bool             `json:"livemode"`
	Version   *int             `json:"version"`
	Subject   text             `json:"subject"`
	From      text             `json:"from"`
	ReplyTo   text             `json:"reply_to"`
	HTML      text             `json:"html"`
	Text      text             `json:"text"`
	SizeBytes int              `json:"size_bytes"`
	Missing   []string         `json:"missing"`
	Unused    []string         `json:"unused"`
	Inferred  []inferredView   `json:"inferred_variables"`
	Errors    []templateFault  `json:"errors"`
	Warnings  []intake.Warning `json:"warnings"`
}

type inferredView struct {
	Path     string `json:"path"`
	Type     string `json:"type"`
	Required bool   `json:"required"`
}

// templateFault is what is wrong, and where: in a part, if it is not in the data.
type templateFault struct {
	Part   text   `json:"part"`
	In     text   `json:"in"` // the layout or partial
	Line   *int   `json:"line"`
	Column *int   `json:"column"`
	Detail string `json:"detail"`
}

// previewTemplate is POST /templates/{id}/preview.
func (d *door) previewTemplate(c *call) error {
	return d.showPreview(c, true, func(r *library.Reading, p *previewRequest) (*library.Preview, error) {
		return r.Preview(c.ctx(), c.Param("id"), p.version, p.data)
	})
}

// previewContent is POST /templates/preview.
func (d *door) previewContent(c *call) error {
	return d.showPreview(c, false, func(r *library.Reading, p *previewRequest) (*library.Preview, error) {
		return r.PreviewEdit(c.ctx(), "", &p.edit, p.data)
	})
}

// showPreview answers a preview. It changes nothing, so an Idempotency-Key, which must be
// one all the same, stays free for the send that follows.
func (d *door) showPreview(c *call, stored bool, preview func(*library.Reading, *previewRequest) (*library.Preview, error)) error {
	if _, err := c.idempotencyKey(); err != nil {
		return err
	}
	request, err := readPreview(c.Request, stored)
	if err != nil {
		return err
	}
	reading, err := d.library().Read(c.ctx(), c.key.World)
	if err != nil {
		return err
	}
	p, err := preview(reading, request)
	if err != nil {
		return ofTemplate(err)
	}
	c.answer(http.StatusOK, viewPreview(c, p))
	return nil
}

func viewPreview(c *call, p *library.Preview) templatePreviewView {
	v := templatePreviewView{
		Object: "template_preview", Livemode: c.key.World.Livemode(),
		Missing: append([]string{}, p.Missing...), Unused: append([]string{}, p.Unused...),
		Inferred: make([]inferredView, len(p.Inferred)), Errors: []templateFault{}, Warnings: []intake.Warning{},
	}
	if p.Version > 0 {
		v.Version = &p.Version
	}
	for i, x := range p.Inferred {
		v.Inferred[i] = inferredView{x.Path, string(x.Type), x.Required}
	}
	for _, f := range p.Faults {
		v.Errors = append(v.Errors, viewTemplateFault(f))
	}
	for _, f := range p.Wrong {
		v.Errors = append(v.Errors, templateFault{Detail: f.Path + " is declared as " + string(f.Want) + " and is " + string(f.Got)})
	}
	if p.Output != nil {
		mail, err := intake.Finish(p.HTML, p.Text)
		if err != nil {
			v.Errors = append(v.Errors, templateFault{Part: text(templates.HTML), Detail: err.Error()})
			return v
		}
		v.Subject, v.From, v.ReplyTo = text(p.Subject), text(p.From), text(p.ReplyTo)
		v.HTML, v.Text, v.SizeBytes = text(mail.HTML), text(mail.Text), len(mail.HTML)+len(mail.Text)
		v.Warnings = append(v.Warnings, intake.Warnings(mail)...)
	}
	return v
}

func viewTemplateFault(f templates.Fault) templateFault {
	out := templateFault{Part: text(f.Part), In: text(f.In), Detail: f.Detail}
	if f.Hint != "" {
		out.Detail += ": " + f.Hint
	}
	if f.Line > 0 {
		out.Line, out.Column = &f.Line, &f.Column
	}
	return out
}
