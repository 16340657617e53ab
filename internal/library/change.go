package library

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"postrider/internal/email"
	"postrider/internal/store"
)

// keptVersions is how many published versions of a template are kept.
const keptVersions = 50

// changeTries bounds how often a change is decided anew because others came between.
const changeTries = 20

// Edit is what a request says about a template; nil is not given, empty takes away.
type Edit struct {
	Alias, Name, Kind, Layout, From, ReplyTo, Subject, HTML, Text *string
	Variables                                                     *[]store.TemplateVariable
}

// Stored is a template with what one of its versions says.
type Stored struct {
	*store.Template
	Version *store.TemplateVersion
	Content *store.TemplateContent
}

// TakenError is an alias that another template has.
type TakenError struct{ ID string }

func (e *TakenError) Error() string { return "the alias is that of " + e.ID }

// InUseError is a template that others need: their names.
type InUseError struct{ By []string }

func (e *InUseError) Error() string { return "it is used by " + strings.Join(e.By, ", ") }

// ChangedError is a template that is not what the caller thinks: ETag is what it is.
type ChangedError struct{ ETag string }

func (*ChangedError) Error() string { return "the template was changed" }

// Create keeps a new template as a draft. Errors: *Invalid, *TakenError,
// store.ErrTooManyTemplates, else internal.
func (l *Library) Create(ctx context.Context, a Author, e *Edit) (*Stored, error) {
	id, etag := email.NewID(email.TemplatePrefix), newETag()
	return l.change(ctx, a, etag, func(r *Reading) (*decision, error) {
		if t := r.shelf.Templates[id]; t != nil { // an earlier try, whose answer was lost
			return r.decide(ctx, t, nil)
		}
		t := &store.Template{ID: id, Kind: Message, CreatedAt: a.At, UpdatedAt: a.At, UpdatedBy: a.Name}
		d, err := r.edit(ctx, t, &store.TemplateContent{}, e)
		if err != nil {
			return nil, err
		}
		return d.as("created", t, ""), nil
	})
}

// Update edits the draft, and what is said beside the texts at once. Errors: ErrNotFound,
// *ChangedError, *InUseError if others call it by the alias that it would lose, else
// those of Create.
func (l *Library) Update(ctx context.Context, a Author, name string, e *Edit) (*Stored, error) {
	return l.change(ctx, a, newETag(), func(r *Reading) (*decision, error) {
		t, err := r.changeable(name, a.May)
		if err != nil {
			return nil, err
		}
		before, err := r.Content(ctx, t, &t.Draft)
		if err != nil {
			return nil, err
		}
		changed, content := *t, *before
		changed.UpdatedAt, changed.UpdatedBy = a.At, a.Name
		d, err := r.edit(ctx, &changed, &content, e)
		if err != nil {
			return nil, err
		}
		return d.as("updated", &changed, renamed(t, &changed)), nil
	})
}

// Restore makes a published version the draft. Errors: as Update, *NoVersionError.
func (l *Library) Restore(ctx context.Context, a Author, name string, n int) (*Stored, error) {
	return l.change(ctx, a, newETag(), func(r *Reading) (*decision, error) {
		t, err := r.changeable(name, a.May)
		if err != nil {
			return nil, err
		}
		v := t.Version(n)
		if v == nil {
			return nil, &NoVersionError{n}
		}
		content, err := r.Content(ctx, t, v)
		if err != nil {
			return nil, err
		}
		changed := *t
		changed.UpdatedAt, changed.UpdatedBy = a.At, a.Name
		d, err := r.edit(ctx, &changed, content, &Edit{})
		if err != nil {
			return nil, err
		}
		return d.as("restored", t, fmt.Sprintf("from version %d", n)), nil
	})
}

// Publish makes the draft what is sent. A draft that says what is published already
// changes nothing. Errors: as Update; *Invalid too if a message that uses it would break.
func (l *Library) Publish(ctx context.Context, a Author, name string) (*Stored, error) {
	return l.change(ctx, a, newETag(), func(r *Reading) (*decision, error) {
		t, err := r.changeable(name, a.May)
		if err != nil || t.Draft.Number == t.Published {
			return r.unchanged(ctx, t, err)
		}
		content, err := r.Content(ctx, t, &t.Draft)
		if err != nil {
			return nil, err
		}
		faults, err := r.checkLanguage(ctx, t, content, published)
		if err == nil && len(faults) == 0 && t.Kind != Message {
			faults, err = r.broken(ctx, t, content)
		}
		if err != nil {
			return nil, err
		}
		if len(faults) > 0 {
			return nil, &Invalid{Faults: faults}
		}
		changed := *t
		changed.UpdatedAt, changed.UpdatedBy = a.At, a.Name
		changed.Draft.PublishedAt, changed.Draft.PublishedBy = a.At, a.Name
		changed.Versions = append(slices.Clone(t.Versions), changed.Draft)
		if n := len(changed.Versions); n > keptVersions {
			changed.Versions = changed.Versions[n-keptVersions:]
		}
		changed.Published, changed.Last = changed.Draft.Number, changed.Draft.Number
		d, err := r.decide(ctx, &changed, content)
		if err != nil {
			return nil, err
		}
		return d.as("published", t, fmt.Sprintf("version %d", changed.Published)), nil
	})
}

// Delete takes a template away. Errors: ErrNotFound, *ChangedError, *InUseError.
func (l *Library) Delete(ctx context.Context, a Author, name string) error {
	_, err := l.change(ctx, a, "", func(r *Reading) (*decision, error) {
		t, err := r.changeable(name, a.May)
		if err != nil {
			return nil, err
		}
		if err := r.unused(ctx, t, t.ID, t.Alias); err != nil {
			return nil, err
		}
		d := &decision{change: &store.TemplateChange{State: r.shelf.State, ID: t.ID, Forget: t.Digests()}}
		return d.as("deleted", t, ""), nil
	})
	return err
}

// decision is a change that was decided on, and what it leaves; without a change, what
// is there does already.
type decision struct {
	change *store.TemplateChange
	left   *Stored
	action string // of the record, with its detail
	detail string
}

// change decides and writes, and does both again if another change came between. What
// was written is recorded.
func (l *Library) change(ctx context.Context, a Author, etag string, decide func(*Reading) (*decision, error)) (*Stored, error) {
	for range changeTries {
		r, err := l.Read(ctx, a.World)
		if err != nil {
			return nil, err
		}
		d, err := decide(r)
		if err == nil && d.change == nil {
			return d.left, nil
		}
		if err == nil {
			if d.change.Head != nil {
				d.change.Head.ETag = etag
			}
			err = l.store.Templates.Change(ctx, a.World, d.change)
		}
		if errors.Is(err, store.ErrShelfChanged) {
			continue
		}
		if err != nil {
			return nil, err
		}
		l.record(ctx, a, d)
		return d.left, nil
	}
	return nil, errors.New("change a template: others kept changing them")
}

// newETag is one that no version ever had.
func newETag() string { return strings.ToLower(rand.Text()[:16]) }

// changeable finds a template that a request wants to change.
func (r *Reading) changeable(name string, may Condition) (*store.Template, error) {
	t, err := r.Find(name)
	if err == nil && may != nil && !may(t.ETag) {
		err = &ChangedError{ETag: t.ETag}
	}
	return t, err
}

// edit applies an edit, checks what comes of it, and decides.
func (r *Reading) edit(ctx context.Context, t *store.Template, c *store.TemplateContent, e *Edit) (*decision, error) {
	before := *t
	r.apply(t, c, e)
	faults := append(checkHead(t), r.checkContent(t.Kind, c)...)
	if before.ETag != "" && t.Kind != before.Kind {
		faults = append(faults, Fault{Pointer: "#/kind", Code: codeFormat, Detail: "cannot be changed: make another template"})
	}
	if len(faults) == 0 {
		var err error
		if faults, err = r.checkLanguage(ctx, t, c, drafts); err != nil {
			return nil, err
		}
	}
	if len(faults) > 0 {
		return nil, &Invalid{Faults: faults}
	}
	if other := r.shelf.aliases[t.Alias]; t.Alias != "" && other != nil && other.ID != t.ID {
		return nil, &TakenError{ID: other.ID}
	}
	if before.Alias != "" && t.Alias != before.Alias && t.Kind == Partial {
		if err := r.unused(ctx, &before, "", before.Alias); err != nil {
			return nil, err
		}
	}
	return r.decide(ctx, t, c)
}

// apply makes of a template and its content what an edit says.
func (r *Reading) apply(t *store.Template, c *store.TemplateContent, e *Edit) {
	for _, m := range []struct {
		to  *string
		say *string
	}{
		{&t.Alias, e.Alias},
		{&t.Name, e.Name},
		{&t.Kind, e.Kind},
		{&c.From, e.From},
		{&c.ReplyTo, e.ReplyTo},
		{&c.Subject, e.Subject},
		{&c.HTML, e.HTML},
		{&c.Text, e.Text},
		{&c.Layout, e.Layout},
	} {
		if m.say != nil {
			*m.to = *m.say
		}
	}
	if e.Layout != nil && *e.Layout != "" {
		if layout, err := r.Find(*e.Layout); err == nil {
			c.Layout = layout.ID
		}
	}
	if e.Variables != nil {
		c.Variables = *e.Variables
	}
}

// decide makes a content the draft of a template; nil: as it is.
func (r *Reading) decide(ctx context.Context, t *store.Template, c *store.TemplateContent) (*decision, error) {
	if c == nil {
		return r.unchanged(ctx, t, nil)
	}
	digest, packed, err := r.library.store.Templates.Pack(c)
	if err != nil {
		return nil, fmt.Errorf("pack template %s: %w", t.ID, err)
	}
	standing := r.shelf.Templates[t.ID]
	t.Draft = store.TemplateVersion{Number: t.Last + 1, Subject: c.Subject, Layout: c.Layout, Digest: digest, Size: len(packed)}
	if v := t.Version(t.Published); v != nil && v.Digest == digest {
		t.Draft = *v
	}
	left := &Stored{Template: t, Version: &t.Draft, Content: c}
	if standing != nil && standing.Draft.Digest == digest && standing.Published == t.Published && standing.Alias == t.Alias && standing.Name == t.Name {
		left.Template = standing
		left.Version = &standing.Draft
		return &decision{left: left}, nil
	}
	change := &store.TemplateChange{State: r.shelf.State, ID: t.ID, Head: t}
	digests := t.Digests()
	if standing == nil || !slices.Contains(standing.Digests(), digest) {
		change.Put = map[string][]byte{digest: packed}
		if r.shelf.size()+len(packed) > store.MaxTemplateBytes {
			return nil, &Invalid{Faults: []Fault{{
				Pointer: "#", Code: codeTooLong,
				Detail: fmt.Sprintf("would make all templates larger than %d octets together: delete some", store.MaxTemplateBytes),
			}}}
		}
	}
	if standing != nil {
		change.Forget = slices.DeleteFunc(standing.Digests(), func(d string) bool { return slices.Contains(digests, d) })
	}
	return &decision{change: change, left: left}, nil
}

// size is how many octets all texts take.
func (s *shelf) size() int {
	n := 0
	for _, t := range s.Templates {
		n += t.Draft.Size
		for i := range t.Versions {
			n += t.Versions[i].Size
		}
	}
	return n
}

// unchanged answers with a template as it stands.
func (r *Reading) unchanged(ctx context.Context, t *store.Template, err error) (*decision, error) {
	if err != nil {
		return nil, err
	}
	content, err := r.Content(ctx, t, &t.Draft)
	if err != nil {
		return nil, err
	}
	return &decision{left: &Stored{Template: t, Version: &t.Draft, Content: content}}, nil
}
