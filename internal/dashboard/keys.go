package dashboard

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"postrider/internal/apikey"
	"postrider/internal/intake"
	"postrider/internal/signin"
	"postrider/internal/store"
)

// preset is a choice of scopes that has a name.
type preset struct {
	Name, About string
	Scopes      []string
}

// presets are what most keys are for.
func presets() []preset {
	var reads []string
	for _, s := range apikey.Scopes() {
		if strings.HasSuffix(s, ":read") {
			reads = append(reads, s)
		}
	}
	return []preset{
		{"sending", "send mail and nothing else: for apps", []string{apikey.Send}},
		{"reading", "see states and lists, not the content of mails", reads},
		{"full", "everything, content too", apikey.Scopes()},
	}
}

type keysPage struct {
	frame
	part
	Keys    []*store.Key
	Presets []preset
	Scopes  []string
	Made    *store.Key
	Secret  string // of Made: shown this once
	Fault   string
	Name    string
}

func (d *dashboard) keysPage(v *visit) (keysPage, error) {
	p := keysPage{frame: d.frame(v, "API keys"), Presets: presets(), Scopes: apikey.Scopes()}
	var err error
	if p.Keys, err = d.Store.Keys.List(v.Context(), v.world); err != nil {
		return p, err
	}
	slices.Reverse(p.Keys)
	p.Keys, p.part, err = partOf(v, "/ui/keys", p.Keys, func(k *store.Key) string { return k.ID })
	return p, err
}

// keys is all API keys of a world.
func (d *dashboard) keys(v *visit) error {
	p, err := d.keysPage(v)
	if err != nil {
		return err
	}
	return d.render(v, "keys.html", p)
}

func (d *dashboard) keyDesk() *apikey.Desk {
	return &apikey.Desk{Store: d.Store, Log: d.Log, Now: d.Now}
}

// createKey makes a key and shows its secret.
func (d *dashboard) createKey(v *visit) (string, error) {
	name := strings.TrimSpace(v.PostFormValue("name"))
	draft := apikey.Draft{Name: &name, Scopes: v.PostForm["scope"]}
	for _, p := range presets() {
		if p.Name == v.PostFormValue("preset") {
			draft.Scopes = p.Scopes
		}
	}
	if domains := list(v.PostFormValue("domains")); len(domains) > 0 {
		draft.FromDomains = domains
	}
	if days := v.PostFormValue("expires"); days != "" {
		after, ok := map[string]time.Duration{"30": 30 * 24 * time.Hour, "90": 90 * 24 * time.Hour, "365": 365 * 24 * time.Hour}[days]
		if !ok {
			return "", refused("A key ends after 30, 90 or 365 days, or never.")
		}
		at := d.Now().Add(after)
		draft.ExpiresAt = &at
	}
	made, secret, err := d.keyDesk().Create(v.Context(), d.actor(v), v.world, draft)
	var invalid *intake.Invalid
	fault := ""
	switch {
	case err == nil:
		v.did(made.ID, "")
	case errors.As(err, &invalid):
		for _, f := range invalid.Faults {
			fault += strings.TrimPrefix(f.Pointer, "#/") + " " + f.Detail + ". "
		}
	default:
		return "", err
	}
	p, err := d.keysPage(v)
	if err != nil {
		return "", err
	}
	if fault != "" {
		p.Fault, p.Name = "No key was made: "+strings.TrimSpace(fault), name
		return "", d.write(v, http.StatusUnprocessableEntity, "keys.html", p)
	}
	p.Made, p.Secret = made, secret
	return "", d.render(v, "keys.html", p)
}

// rotateKey gives a key another secret, and shows it. The one before counts on for an hour.
func (d *dashboard) rotateKey(v *visit) (string, error) {
	made, secret, err := d.keyDesk().Rotate(v.Context(), d.actor(v), v.world, v.PathValue("id"), apikey.DefaultOverlap)
	if err != nil {
		return "", err
	}
	v.did(made.ID, "")
	p, err := d.keysPage(v)
	if err != nil {
		return "", err
	}
	p.Made, p.Secret = made, secret
	return "", d.render(v, "keys.html", p)
}

// revokeKey ends a key for good.
func (d *dashboard) revokeKey(v *visit) (string, error) {
	if err := d.keyDesk().Revoke(v.Context(), d.actor(v), v.world, v.PathValue("id")); err != nil {
		return "", err
	}
	v.did(v.PathValue("id"), "")
	return done("/ui/keys", "revoked"), nil
}

// list splits what people write with commas or spaces between.
func list(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ';' || r == ' ' || r == '\n' || r == '\r' })
}

// actor is who asks, as the record of changes names them.
func (d *dashboard) actor(v *visit) apikey.Actor {
	if d.SignIn == nil {
		return apikey.Actor{User: v.by.Name}
	}
	return apikey.Actor{User: signin.Actor(v.by.Name)}
}
