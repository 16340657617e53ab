package dashboard

import (
	"errors"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"

	"postrider/internal/email"
	"postrider/internal/store"
)

// A reader chooses live or test mail for the pages to come, in all tabs. A page that is
// open keeps to the world that it shows: its forms name it, and where it is not the
// chosen one, its links do, too.

// worldCookie remembers whose mail somebody looks at.
const worldCookie = "postrider_world"

func (d *dashboard) chosenWorld(r *http.Request) email.World {
	if c, err := r.Cookie(worldCookie); err == nil && slices.Contains(d.Worlds, email.World(c.Value)) {
		return email.World(c.Value)
	}
	return d.Worlds[0]
}

// askedWorld is the world that an address names, or the chosen one.
func (d *dashboard) askedWorld(v *visit) email.World {
	if w := email.World(v.URL.Query().Get("world")); slices.Contains(d.Worlds, w) {
		return w
	}
	return v.chosen
}

// takeWorld turns an action to the world that its form names: what its page showed.
func (d *dashboard) takeWorld(v *visit) error {
	w := email.World(v.PostFormValue("world"))
	if !slices.Contains(d.Worlds, w) {
		return &refusal{http.StatusForbidden, "Which mail?", "The form does not say whether its page showed live or test mail. Nothing was done. Load the page again and repeat."}
	}
	v.world = w
	return nil
}

// chooseWorld turns to live or test mail.
func (d *dashboard) chooseWorld(v *visit) (string, error) {
	w := email.World(v.PostFormValue("world"))
	if !slices.Contains(d.Worlds, w) {
		return "", refused("There is no world of this name.")
	}
	http.SetCookie(v.w, &http.Cookie{
		Name: worldCookie, Value: string(w), Path: "/", MaxAge: 365 * 24 * 3600,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: d.secure(v.Request),
	})
	v.chosen = w
	return ownPath(v.PostFormValue("back")), nil
}

// turn finds what an id names, and turns the visit to its world. An action finds only
// what is of the world that its form names.
func (d *dashboard) turn(v *visit, find func(email.World) error) error {
	worlds := []email.World{v.world}
	if v.Method != http.MethodPost {
		worlds = append(worlds, d.Worlds...)
	}
	for _, w := range worlds {
		err := find(w)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err == nil {
			v.world = w
		}
		return err
	}
	return store.ErrNotFound
}

// keep is an address that shows the world of the visit.
func (v *visit) keep(to string) string {
	u, err := url.Parse(to)
	if err != nil || v.world == v.chosen {
		return to
	}
	q := u.Query()
	q.Set("world", string(v.world))
	u.RawQuery = q.Encode()
	return u.String()
}

// own is the address of the page, without its world.
func (v *visit) own() string {
	q := v.URL.Query()
	if !q.Has("world") {
		return v.URL.RequestURI()
	}
	q.Del("world")
	return withQuery(v.URL.Path, q)
}

// What leads on from a page of ours. Nothing foreign in one has a quotation mark or a <.
var (
	onward = regexp.MustCompile(`(<a (?:[^>]* )?href=")(/[^"]*)`)
	asking = regexp.MustCompile(`<form [^>]*method="get"[^>]*>`)
)

// keepWorld has the links and searches of a page keep to its world, if that is not the
// chosen one.
func (v *visit) keepWorld(page []byte) []byte {
	if v.world == v.chosen {
		return page
	}
	kept := onward.ReplaceAllStringFunc(string(page), func(link string) string {
		parts := onward.FindStringSubmatch(link)
		return parts[1] + html.EscapeString(v.keep(html.UnescapeString(parts[2])))
	})
	return []byte(asking.ReplaceAllString(kept, `$0<input type="hidden" name="world" value="`+string(v.world)+`">`))
}
