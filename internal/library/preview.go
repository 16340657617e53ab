package library

import (
	"context"
	"errors"

	"postrider/internal/store"
	"postrider/templates"
)

// Preview is what a template makes of data, and what is wrong with either.
type Preview struct {
	*templates.Output                      // nil if something is wrong
	Version           int                  // 0: of none that is stored
	Data              map[string]any       // that it was made of; nil if the template is faulty
	Missing           []string             // variables that the data lack
	Unused            []string             // what the data hold and nothing shows
	Inferred          []templates.Inferred // what the template uses
	Faults            []templates.Fault
	Wrong             []templates.DataFault // variables of another type than declared
}

// Placed are the faults in a template, with their places in its members.
func (p *Preview) Placed(t *store.Template) (faults []Fault) {
	for _, f := range p.Faults {
		faults = append(faults, placed(t, f))
	}
	return faults
}

// Preview shows a version of a template: 0 is the draft. data nil: its examples.
// Errors: ErrNotFound, *NoVersionError, else internal.
func (r *Reading) Preview(ctx context.Context, name string, version int, data map[string]any) (p *Preview, err error) {
	err = r.again(ctx, func() error {
		found, err := r.get(ctx, name, version, false)
		if err != nil {
			return err
		}
		if p, err = r.preview(ctx, found.Template, found.Content, data); err == nil {
			p.Version = found.Version.Number
		}
		return err
	})
	return p, err
}

// PreviewEdit shows a draft as an edit would leave it, and keeps nothing; name "": of a
// new message. Errors: ErrNotFound, *Invalid, else internal.
func (r *Reading) PreviewEdit(ctx context.Context, name string, e *Edit, data map[string]any) (p *Preview, err error) {
	err = r.again(ctx, func() error {
		t, content := store.Template{Kind: Message}, store.TemplateContent{}
		if name != "" {
			found, err := r.get(ctx, name, 0, false)
			if err != nil {
				return err
			}
			t, content = *found.Template, *found.Content
		}
		r.apply(&t, &content, e)
		if faults := r.checkLayout(&content); len(faults) > 0 {
			return &Invalid{Faults: faults}
		}
		p, err = r.preview(ctx, &t, &content, data)
		return err
	})
	return p, err
}

// preview shows a message, a layout around a sample text, or a partial alone.
func (r *Reading) preview(ctx context.Context, t *store.Template, c *store.TemplateContent, data map[string]any) (*Preview, error) {
	if t.Kind != Message {
		r.draft = &overlay{id: t.ID, alias: t.Alias, kind: t.Kind, content: c}
		defer func() { r.draft = nil }()
	}
	parsed, err := r.parseKind(ctx, t.Kind, c, publishedOrLast)
	return preview(parsed, err, data)
}

func preview(parsed *templates.Template, err error, data map[string]any) (*Preview, error) {
	p := &Preview{}
	if err != nil {
		if p.Faults = faultsOf(err); p.Faults == nil {
			return nil, err
		}
		return p, nil
	}
	p.Inferred = parsed.Variables()
	if p.Data = data; data == nil {
		p.Data = parsed.Model()
	}
	p.Unused = parsed.Unused(p.Data)
	out, err := parsed.Render(p.Data)
	var (
		missing *templates.MissingError
		wrong   *templates.DataError
		render  *templates.RenderError
	)
	switch {
	case errors.As(err, &missing):
		p.Missing = missing.Paths()
	case errors.As(err, &wrong):
		p.Wrong = wrong.Faults
	case errors.As(err, &render):
		p.Faults = render.Faults
	case err != nil:
		return nil, err
	default:
		p.Output = out
	}
	return p, nil
}
