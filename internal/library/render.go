package library

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"postrider/internal/email"
	"postrider/internal/store"
	"postrider/templates"
)

// Order asks for a mail.
type Order struct {
	Name    string // id or alias
	Version int    // 0: the published one
	Data    map[string]any
	// Drafts lets a draft be taken where nothing is published, or where its number is
	// named: for test keys.
	Drafts bool
}

// Letter is a mail made from a template.
type Letter struct {
	Template email.Template
	*templates.Output
}

// NoVersionError is a version that a template does not have, or no longer.
type NoVersionError struct{ Version int }

func (e *NoVersionError) Error() string {
	return fmt.Sprintf("the template has no version %d, or no longer", e.Version)
}

// readTries bounds how often templates are read anew because they changed meanwhile.
const readTries = 5

// again does what reads texts, on a newer shelf if those of this one went meanwhile.
func (r *Reading) again(ctx context.Context, do func() error) error {
	for try := 1; ; try++ {
		err := do()
		if !errors.Is(err, store.ErrShelfChanged) || try == readTries {
			return err
		}
		if r.shelf, err = r.library.load(ctx, r.world); err != nil {
			return err
		}
	}
}

// Render makes a mail. Errors: ErrNotFound, ErrNoMessage, ErrNotPublished,
// *NoVersionError, those of templates.Template.Render, *templates.ParseError if a
// version no longer fits to what it uses, else internal.
func (r *Reading) Render(ctx context.Context, o Order) (letter *Letter, err error) {
	err = r.again(ctx, func() error {
		letter, err = r.render(ctx, o)
		return err
	})
	return letter, err
}

func (r *Reading) render(ctx context.Context, o Order) (*Letter, error) {
	t, err := r.Find(o.Name)
	if err != nil {
		return nil, err
	}
	if t.Kind != Message {
		return nil, ErrNoMessage
	}
	v, err := o.version(t)
	if err != nil {
		return nil, err
	}
	uses := published
	if o.Drafts {
		uses = publishedOrLast
	}
	parsed, err := r.parse(ctx, t, v, uses)
	if err != nil {
		return nil, err
	}
	out, err := parsed.Render(o.Data)
	if err != nil {
		return nil, err
	}
	return &Letter{Template: email.Template{ID: t.ID, Alias: t.Alias, Version: v.Number}, Output: out}, nil
}

// version picks the version that is asked for.
func (o *Order) version(t *store.Template) (*store.TemplateVersion, error) {
	n := o.Version
	if n == 0 {
		n = t.Published
	}
	switch v := t.Version(n); {
	case v != nil:
		return v, nil
	case o.Version != 0 && o.Version != t.Draft.Number:
		return nil, &NoVersionError{o.Version}
	case !o.Drafts:
		return nil, ErrNotPublished
	}
	return &t.Draft, nil
}

// Get gives a template with what a version says: its draft, the published one, or that of
// a number. Errors: ErrNotFound, *NoVersionError, else internal.
func (r *Reading) Get(ctx context.Context, name string, n int, public bool) (found *Stored, err error) {
	err = r.again(ctx, func() error {
		found, err = r.get(ctx, name, n, public)
		return err
	})
	return found, err
}

func (r *Reading) get(ctx context.Context, name string, n int, public bool) (*Stored, error) {
	t, err := r.Find(name)
	if err != nil {
		return nil, err
	}
	v := &t.Draft
	switch {
	case public:
		n = t.Published
		fallthrough
	case n != 0 && n != t.Draft.Number:
		if v = t.Version(n); v == nil {
			return nil, &NoVersionError{n}
		}
	}
	content, err := r.Content(ctx, t, v)
	return &Stored{Template: t, Version: v, Content: content}, err
}

// List gives all templates, newest first.
func (r *Reading) List() []*store.Template {
	list := slices.Collect(maps.Values(r.shelf.Templates))
	slices.SortFunc(list, func(a, b *store.Template) int { return strings.Compare(b.ID, a.ID) })
	return list
}
