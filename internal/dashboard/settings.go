package dashboard

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"postrider/internal/signin"
	"postrider/internal/store"
)

// changesShown is how many changes a page of the settings has.
const changesShown = 100

// Setting is one option as it is in force, with secrets hidden.
type Setting struct{ Name, Value, About string }

type settingsPage struct {
	frame
	Settings []Setting
	Checks   []Check
	Changes  []store.Change
	Older    string
	Newest   string
}

// settings is the configuration in force, and who changed what in any world.
func (d *dashboard) settings(v *visit) error {
	p := settingsPage{frame: d.frame(v, "Settings"), Settings: d.Settings}
	if d.Health != nil {
		p.Checks = d.Health(v.Context())
	}
	before := v.URL.Query().Get("from")
	list, next, err := d.Store.Audit.Latest(v.Context(), d.Worlds, before, changesShown)
	if errors.Is(err, store.ErrCursor) {
		return store.ErrNotFound
	}
	if err != nil {
		return err
	}
	if p.Changes = list; next != "" {
		p.Older = "/ui/settings?from=" + url.QueryEscape(next) + "#changes"
	}
	if before != "" {
		p.Newest = "/ui/settings#changes"
	}
	for i, c := range p.Changes {
		if strings.HasPrefix(c.Action, "user.") || strings.HasPrefix(c.Action, "domain.") {
			p.Changes[i].World = "" // they are of both
		}
	}
	return d.render(v, "settings.html", p)
}

// record writes a change down, where the settings show it.
func (d *dashboard) record(ctx context.Context, c Change) {
	actor := c.By
	switch {
	case actor == "":
		actor = store.Operator
	case d.SignIn != nil:
		actor = signin.Actor(actor)
	}
	d.Store.Audit.Note(ctx, d.Log, store.Change{World: c.World, At: c.At, Actor: actor, Action: c.What, Object: c.To, Detail: c.More})
}
