package library

import (
	"context"
	"maps"
	"slices"

	"postrider/internal/store"
)

// maxNamed is how many users of a template an error names.
const maxNamed = 10

// unused refuses what would take these names of a layout or partial from others. Errors:
// *InUseError.
func (r *Reading) unused(ctx context.Context, t *store.Template, id, alias string) error {
	if t.Kind == Message {
		return nil
	}
	var by []string
	for _, other := range r.others(t) {
		uses, err := r.uses(ctx, other, &overlay{id: id, alias: alias, kind: t.Kind, gone: true})
		if err != nil {
			return err
		}
		if uses && len(by) < maxNamed {
			by = append(by, Name(other))
		}
	}
	if len(by) > 0 {
		return &InUseError{By: by}
	}
	return nil
}

// others are all templates but one, by age.
func (r *Reading) others(t *store.Template) []*store.Template {
	var list []*store.Template
	for _, id := range slices.Sorted(maps.Keys(r.shelf.Templates)) {
		if id != t.ID {
			list = append(list, r.shelf.Templates[id])
		}
	}
	return list
}

// uses reports whether the draft or the published version of a template calls the
// overlay, itself or by what it uses.
func (r *Reading) uses(ctx context.Context, t *store.Template, o *overlay) (bool, error) {
	versions := []struct {
		v    *store.TemplateVersion
		uses edition
	}{{&t.Draft, drafts}, {t.Version(t.Published), published}}
	for _, version := range versions {
		if version.v == nil {
			continue
		}
		content, err := r.Content(ctx, t, version.v)
		if err != nil {
			return false, err
		}
		o.used = false
		if t.Kind == Layout { // its own source is all that matters
			content = &store.TemplateContent{HTML: content.HTML, Text: content.Text}
		}
		if _, err := r.parseUnder(ctx, o, content, version.uses); err != nil && faultsOf(err) == nil {
			return false, err
		}
		if o.used {
			return true, nil
		}
	}
	return false, nil
}

// parseUnder reads a message, or the source of another kind, as if the overlay stood.
func (r *Reading) parseUnder(ctx context.Context, o *overlay, c *store.TemplateContent, uses edition) (bool, error) {
	r.draft = o
	defer func() { r.draft = nil }()
	_, err := r.parseContent(ctx, c, uses)
	return o.used, err
}

// broken finds what would be wrong with published messages if this were published.
func (r *Reading) broken(ctx context.Context, t *store.Template, c *store.TemplateContent) (faults []Fault, err error) {
	for _, other := range r.others(t) {
		v := other.Version(other.Published)
		if v == nil || other.Kind != Message || len(faults) >= maxNamed {
			continue
		}
		content, err := r.Content(ctx, other, v)
		if err != nil {
			return nil, err
		}
		used, err := r.parseUnder(ctx, &overlay{id: t.ID, alias: t.Alias, kind: t.Kind, content: c}, content, published)
		found := faultsOf(err)
		if err != nil && found == nil {
			return nil, err
		}
		if used && len(found) > 0 {
			first := placed(other, found[0])
			faults = append(faults, Fault{Pointer: "#", Code: codeTemplate, Detail: "would break " + Name(other) + ": " + first.Detail})
		}
	}
	return faults, nil
}
