// Package library is the templates that a world has: it checks what is saved, knows who
// uses whom, publishes, and makes mails of what is published.
//
// It is not the language (package templates), it keeps nothing itself (package store),
// and it knows no HTTP. A template is a message, or a layout or partial that messages
// use; partials and layouts are called by their alias or id. What is edited is the
// draft; publishing gives it the next number, and from then on it never changes. A
// message takes the published version of a template, and of what that uses.
//
//	reading, err := lib.Read(ctx, email.Live)
//	letter, err := reading.Render(ctx, library.Order{Name: "receipt", Data: data})
//	var missing *templates.MissingError
//	if errors.As(err, &missing) {
//		return missing.Paths()
//	}
package library

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"postrider/internal/email"
	"postrider/internal/store"
	"postrider/templates"
)

// The kinds of templates.
const (
	Message = "message"
	Layout  = "layout"
	Partial = "partial"
)

// The errors of names.
var (
	ErrNotFound     = errors.New("there is no such template")
	ErrNotPublished = errors.New("the template is not published")
	ErrNoMessage    = errors.New("the template is no message but a part of some")
)

// How much is remembered: parsed templates of a world, and octets of texts of all.
const (
	keptParsed = 1000
	keptTexts  = 64 << 20
)

// Library is the templates of both worlds. It is safe for concurrent use.
type Library struct {
	store *store.Store
	log   *slog.Logger

	mu      sync.Mutex
	shelves map[email.World]*shelf
	texts   map[string]*store.TemplateContent // by template and digest, of which they say all
	size    int
}

// New opens the library that a store keeps.
func New(st *store.Store, log *slog.Logger) *Library {
	return &Library{store: st, log: log, shelves: map[email.World]*shelf{}, texts: map[string]*store.TemplateContent{}}
}

// shelf is the templates of a world at one moment, and what was made of them.
type shelf struct {
	*store.Shelf
	aliases map[string]*store.Template

	mu     sync.Mutex
	parsed map[parsedKey]*templates.Template
}

type parsedKey struct {
	id, digest string
	uses       edition
}

// Read looks at the templates of a world as they are now. It costs one round trip if
// they have not changed since the last time.
func (l *Library) Read(ctx context.Context, w email.World) (*Reading, error) {
	state, err := l.store.Templates.State(ctx, w)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	s := l.shelves[w]
	l.mu.Unlock()
	if s == nil || s.State != state {
		if s, err = l.load(ctx, w); err != nil {
			return nil, err
		}
	}
	return &Reading{library: l, world: w, shelf: s}, nil
}

func (l *Library) load(ctx context.Context, w email.World) (*shelf, error) {
	stored, err := l.store.Templates.Shelf(ctx, w)
	if err != nil {
		return nil, err
	}
	s := &shelf{Shelf: stored, aliases: map[string]*store.Template{}, parsed: map[parsedKey]*templates.Template{}}
	for _, t := range stored.Templates {
		if t.Alias != "" {
			s.aliases[t.Alias] = t
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shelves[w] = s
	return s, nil
}

// Reading is the templates of a world at one moment: what a request sees does not change
// under it. It is for one goroutine.
type Reading struct {
	library *Library
	world   email.World
	shelf   *shelf
	draft   *overlay // of a template that is being changed; nil: none
	// unpublished are names that were looked up for something published, and are not.
	unpublished []string
}

// overlay is a template as it would be.
type overlay struct {
	id      string
	alias   string
	kind    string
	content *store.TemplateContent
	gone    bool
	used    bool // it was asked for
}

// Find gives a template by its id or alias. ErrNotFound.
func (r *Reading) Find(name string) (*store.Template, error) {
	if t := r.shelf.aliases[name]; t != nil {
		return t, nil
	}
	if t := r.shelf.Templates[name]; t != nil {
		return t, nil
	}
	return nil, ErrNotFound
}

// Name is what a template is called by: its alias, or its id if it has none.
func Name(t *store.Template) string {
	if t.Alias != "" {
		return t.Alias
	}
	return t.ID
}

// Content gives what a version of a template says.
func (r *Reading) Content(ctx context.Context, t *store.Template, v *store.TemplateVersion) (*store.TemplateContent, error) {
	l := r.library
	key := t.ID + v.Digest
	l.mu.Lock()
	c := l.texts[key]
	l.mu.Unlock()
	if c != nil {
		return c, nil
	}
	read, err := l.store.Templates.Contents(ctx, r.world, []string{t.ID}, []string{v.Digest})
	if errors.Is(err, store.ErrNotFound) {
		err = fmt.Errorf("%w: %w", store.ErrShelfChanged, err) // it went since the shelf was read
	}
	if err != nil {
		return nil, err
	}
	l.keep(key, read[0])
	return read[0], nil
}

// keep remembers texts. They never change, so all that bounds it is room.
func (l *Library) keep(key string, c *store.TemplateContent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := len(c.HTML) + len(c.Text) + 1024
	if l.size+size > keptTexts {
		clear(l.texts)
		l.size = 0
	}
	if l.texts[key] == nil {
		l.size += size
	}
	l.texts[key] = c
}
