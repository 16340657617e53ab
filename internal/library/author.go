package library

import (
	"context"
	"fmt"
	"time"

	"postrider/internal/email"
	"postrider/internal/store"
)

// Author is who changes a template, where and when. What changed is recorded under Name.
type Author struct {
	World   email.World
	Name    string // as in the record of changes: a key's id, or a user of the dashboard
	Request string // the id of the request, for the record; empty: none
	At      time.Time
	// May says whether the template is still what its author knows (If-Match); nil: any.
	May Condition
}

// Condition says whether a template with this ETag may be changed.
type Condition func(etag string) bool

// record notes who did what.
func (l *Library) record(ctx context.Context, a Author, d *decision) {
	l.store.Audit.Note(ctx, l.log, store.Change{World: a.World, At: a.At, Actor: a.Name, Action: d.action, Object: d.change.ID, Detail: d.detail, Request: a.Request})
}

// as says what a decision does, for the record of changes; about is beside the name.
func (d *decision) as(action string, t *store.Template, about string) *decision {
	if d.action, d.detail = "template."+action, t.Name; about != "" {
		d.detail += ", " + about
	}
	return d
}

// renamed says what an edit changed of what a template is called.
func renamed(before, after *store.Template) (about string) {
	if before.Name != after.Name {
		about = fmt.Sprintf("was %q", before.Name)
	}
	if before.Alias != after.Alias {
		if about != "" {
			about += ", "
		}
		about += fmt.Sprintf("alias %q, was %q", after.Alias, before.Alias)
	}
	return about
}
