package dashboard

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"postrider/internal/endpoint"
	"postrider/internal/events"
	"postrider/internal/intake"
	"postrider/internal/store"
	"postrider/internal/webhook"
)

// hookForm is what a form says of an endpoint, as it was entered.
type hookForm struct {
	URL, Description string
	Events           []offer
	Patterns         string // other events than those offered, such as message.*
	Fault            string
}

// offer is an event that can be chosen.
type offer struct {
	Name   string
	Chosen bool
}

// offered are all events, of which some are chosen.
func offered(chosen []string) (list []offer) {
	for _, t := range events.Types() {
		list = append(list, offer{string(t), slices.Contains(chosen, string(t))})
	}
	return list
}

// hookFormOf is the form of an endpoint as it stands.
func hookFormOf(h *store.Webhook) hookForm {
	chosen := h.Events
	if len(chosen) == 0 {
		chosen = events.Default()
	}
	f := hookForm{URL: webhook.Redact(h.URL), Description: h.Description, Events: offered(chosen)}
	f.Patterns = strings.Join(slices.DeleteFunc(slices.Clone(chosen), f.offers), ", ")
	return f
}

func (f hookForm) offers(name string) bool {
	return slices.ContainsFunc(f.Events, func(o offer) bool { return o.Name == name })
}

// readHook reads a form: what it says, and the events that it wants, each once.
func readHook(v *visit) (f hookForm, wanted []string) {
	f = hookForm{
		URL: strings.TrimSpace(v.PostFormValue("url")), Description: strings.TrimSpace(v.PostFormValue("description")),
		Events: offered(v.PostForm["event"]), Patterns: v.PostFormValue("patterns"),
	}
	for _, name := range append(slices.Clone(v.PostForm["event"]), list(f.Patterns)...) {
		if !slices.Contains(wanted, name) {
			wanted = append(wanted, name)
		}
	}
	return f, wanted
}

// checked are the faults of what was entered, as the API finds them. before is the
// endpoint's URL until now, which is shown without its password and may stay so.
func (d *dashboard) checked(f hookForm, wanted []string, before string) error {
	var faults []intake.Fault
	found := func(member string, fault *intake.Fault) {
		if fault != nil {
			fault.Pointer = "#/" + member
			faults = append(faults, *fault)
		}
	}
	if f.URL == "" {
		found("url", &intake.Fault{Code: intake.Required, Detail: "is required"})
	} else if before == "" || f.URL != webhook.Redact(before) {
		found("url", endpoint.CheckURL(f.URL, d.Poster))
	}
	found("events", endpoint.CheckEvents(len(wanted)))
	for _, name := range wanted[:min(len(wanted), endpoint.MaxEvents)] {
		if fault := endpoint.CheckEvent(name); fault != nil {
			fault.Detail = "“" + name + "” " + fault.Detail
			found("events", fault)
		}
	}
	found("description", endpoint.CheckDescription(f.Description))
	if len(faults) > 0 {
		return &intake.Invalid{Faults: faults}
	}
	return nil
}

// apply writes what was entered into an endpoint.
func (f hookForm) apply(h *store.Webhook, wanted []string) error {
	if f.URL != webhook.Redact(h.URL) {
		h.URL = f.URL
	}
	if h.Description = f.Description; len(h.Events) > 0 || !slices.Equal(wanted, events.Default()) {
		h.Events = wanted
	}
	return endpoint.CheckWhole(h)
}

func (d *dashboard) hookDesk() *endpoint.Desk {
	return &endpoint.Desk{Store: d.Store, Log: d.Log, Now: d.Now}
}

func (d *dashboard) changer(v *visit) endpoint.Actor { return endpoint.Actor{Name: d.actor(v).Name()} }

// hookFaults says what is wrong with what was entered; empty: that is not it.
func hookFaults(err error) string {
	var invalid *intake.Invalid
	if !errors.As(err, &invalid) {
		return ""
	}
	var said []string
	for _, f := range invalid.Faults {
		said = append(said, strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(f.Pointer, "#"), "/")+" "+f.Detail))
	}
	return strings.Join(said, "; ") + "."
}

// createWebhook makes an endpoint and shows its secret.
func (d *dashboard) createWebhook(v *visit) (string, error) {
	if d.Poster == nil {
		return "", refused("This process posts to no webhooks.")
	}
	form, wanted := readHook(v)
	err := d.checked(form, wanted, "")
	var made *store.Webhook
	if err == nil {
		hook := &store.Webhook{World: v.world, Enabled: true, URL: form.URL, Description: form.Description, Events: wanted}
		made, err = d.hookDesk().Create(v.Context(), d.changer(v), hook)
	}
	if said := hookFaults(err); said != "" {
		form.Fault = "No webhook was made: " + said
		return "", d.listWebhooks(v, http.StatusUnprocessableEntity, form)
	}
	if err != nil {
		return "", err
	}
	v.did(made.ID, "")
	return "", d.showSecret(v, made)
}

// showSecret is the page of an endpoint with its secret.
func (d *dashboard) showSecret(v *visit, hook *store.Webhook) error {
	v.SetPathValue("id", hook.ID)
	p, err := d.hookPage(v)
	if err != nil {
		return err
	}
	p.Secret = hook.Secret
	return d.render(v, "webhook.html", p)
}

// changeWebhook changes where an endpoint is, what it is told of and how it is called.
func (d *dashboard) changeWebhook(v *visit) (string, error) {
	p, err := d.hookPage(v)
	if err != nil {
		return "", err
	}
	if d.Poster == nil {
		return "", refused("This process posts to no webhooks.")
	}
	form, wanted := readHook(v)
	if err = d.checked(form, wanted, p.Hook.URL); err == nil {
		_, err = d.hookDesk().Update(v.Context(), d.changer(v), v.world, p.Hook.ID, func(h *store.Webhook) error { return form.apply(h, wanted) })
	}
	if said := hookFaults(err); said != "" {
		p.Form = form
		p.Form.Fault = "Nothing was changed: " + said
		return "", d.write(v, http.StatusUnprocessableEntity, "webhook.html", p)
	}
	if err != nil {
		return "", err
	}
	v.did(p.Hook.ID, "")
	return done("/ui/webhooks/"+p.Hook.ID, "webhook-changed"), nil
}

// enableWebhook has an endpoint told of what happens again, or not any more.
func (d *dashboard) enableWebhook(v *visit) (string, error) {
	enable := v.PostFormValue("enabled") == "true"
	hook, err := d.hookDesk().Update(v.Context(), d.changer(v), v.world, v.PathValue("id"), func(h *store.Webhook) error {
		h.Enabled = enable
		return nil
	})
	if err != nil {
		return "", err
	}
	v.did(hook.ID, "")
	return done("/ui/webhooks/"+hook.ID, hook.Status()), nil
}

// rotateWebhook gives an endpoint another secret, and shows it. The one before signs
// beside it for a day.
func (d *dashboard) rotateWebhook(v *visit) (string, error) {
	hook, err := d.hookDesk().Rotate(v.Context(), d.changer(v), v.world, v.PathValue("id"), endpoint.DefaultOverlap)
	if err != nil {
		return "", err
	}
	v.did(hook.ID, "")
	return "", d.showSecret(v, hook)
}

// deleteWebhook removes an endpoint with all that waits for it.
func (d *dashboard) deleteWebhook(v *visit) (string, error) {
	if err := d.hookDesk().Delete(v.Context(), d.changer(v), v.world, v.PathValue("id")); err != nil {
		return "", err
	}
	v.did(v.PathValue("id"), "")
	return done("/ui/webhooks", "webhook-deleted"), nil
}
