package dashboard

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"postrider/internal/email"
	"postrider/internal/events"
	"postrider/internal/queue"
	"postrider/internal/store"
	"postrider/internal/webhook"
)

const (
	// deliveriesShown is how many deliveries a page has.
	deliveriesShown = 50
	// replaySweep is when the sweeper looks whether a replay that was queued runs.
	replaySweep = 25 * time.Second
)

type webhooksPage struct {
	frame
	Hooks []*store.Webhook
	Form  hookForm
}

// webhooks is all endpoints.
func (d *dashboard) webhooks(v *visit) error {
	return d.listWebhooks(v, http.StatusOK, hookForm{Events: offered(events.Default())})
}

// listWebhooks answers with all endpoints, and a form for one more.
func (d *dashboard) listWebhooks(v *visit, status int, form hookForm) error {
	hooks, err := d.Store.Webhooks.List(v.Context(), v.world)
	if err != nil {
		return err
	}
	p := webhooksPage{d.frame(v, "Webhooks"), hooks, form}
	if status == http.StatusOK {
		p.frame = p.every(refreshList)
	}
	return d.write(v, status, "webhooks.html", p)
}

type webhookPage struct {
	frame
	Form    hookForm
	Secret  string // shown this once
	Hook    *store.Webhook
	Headers []email.Header // without their values
	Types   []email.EventType
	States  []choice
	List    []*store.Delivery
	Older   string
	Tested  *tested
}

// tested is what came of a test.
type tested struct {
	webhook.Attempt
	Type    email.EventType
	Request []email.Header
	Payload string
}

// webhook is one endpoint with what was sent to it.
func (d *dashboard) webhook(v *visit) error {
	p, err := d.hookPage(v)
	if err != nil {
		return err
	}
	p.frame = p.every(refreshList)
	return d.render(v, "webhook.html", p)
}

func (d *dashboard) hookPage(v *visit) (*webhookPage, error) {
	var hook *store.Webhook
	err := d.turn(v, func(w email.World) (err error) {
		hook, err = d.Store.Webhooks.Get(v.Context(), w, v.PathValue("id"))
		return err
	})
	if err != nil {
		return nil, err
	}
	p := &webhookPage{frame: d.frame(v, "Webhook"), Hook: hook, Headers: webhook.ShowHeaders(hook.Headers), Types: append(events.Types(), events.WebhookTest)}
	p.Form = hookFormOf(hook)
	q := v.URL.Query()
	f, before := store.DeliveryFilter{Status: store.DeliveryStatus(q.Get("status"))}, q.Get("from")
	states := []store.DeliveryStatus{"", store.DeliveryPending, store.DeliverySucceeded, store.DeliveryFailed}
	if _, err := email.ParseID(email.DeliveryPrefix, before); before != "" && err != nil || !slices.Contains(states, f.Status) {
		return nil, store.ErrNotFound
	}
	path := "/ui/webhooks/" + hook.ID
	for _, s := range states {
		c := choice{Label: string(s), Path: path + "?status=" + string(s), Chosen: s == f.Status}
		if s == "" {
			c.Label, c.Path = "All", path
		}
		p.States = append(p.States, c)
	}
	list, next, err := d.Store.Deliveries.List(v.Context(), hook, f, before, deliveriesShown)
	if err != nil {
		return nil, err
	}
	if p.List = list; next != "" {
		p.Older = path + "?status=" + string(f.Status) + "&from=" + next
	}
	return p, nil
}

// testWebhook posts a sample to an endpoint, and shows what came of it.
func (d *dashboard) testWebhook(v *visit) (string, error) {
	p, err := d.hookPage(v)
	if err != nil {
		return "", err
	}
	if d.Poster == nil {
		return "", refused("This process posts to no webhooks.")
	}
	t := email.EventType(v.PostFormValue("type"))
	if !slices.Contains(p.Types, t) {
		return "", refused("There is no event of this name.")
	}
	id, payload, err := events.Sample(v.world, t, p.Hook.ID, d.Now())
	if err != nil {
		return "", err
	}
	to := webhook.Endpoint{URL: p.Hook.URL, Secrets: p.Hook.Secrets(d.Now()), Headers: p.Hook.Headers}
	m := webhook.Message{ID: id, Body: payload}
	v.did(p.Hook.ID, string(t))
	p.Tested = &tested{Attempt: d.Poster.Post(v.Context(), to, m), Type: t, Payload: indented(payload)}
	if p.Tested.Request, err = webhook.Show(to, m, p.Tested.At); err != nil {
		return "", err
	}
	return "", d.render(v, "webhook.html", p)
}

type deliveryPage struct {
	frame
	Delivery *store.Delivery
	Hook     *store.Webhook
	Posts    []store.Post
	Request  []email.Header
	Payload  string // empty: no longer kept, or not for this reader
}

// theDelivery is the one that a path names, of the endpoint that it names.
func (d *dashboard) theDelivery(v *visit) (*store.Webhook, *store.Delivery, error) {
	var hook *store.Webhook
	err := d.turn(v, func(w email.World) (err error) {
		hook, err = d.Store.Webhooks.Peek(v.Context(), w, v.PathValue("id"))
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	found, err := d.Store.Deliveries.Get(v.Context(), v.world, v.PathValue("delivery"))
	if err == nil && found.Webhook != hook.ID {
		err = store.ErrNotFound
	}
	return hook, found, err
}

// delivery is one event on its way to an endpoint: request and answers.
func (d *dashboard) delivery(v *visit) error {
	hook, found, err := d.theDelivery(v)
	if err != nil {
		return err
	}
	p := deliveryPage{frame: d.frame(v, "Delivery to a webhook"), Delivery: found, Hook: hook}
	if found.Status == store.DeliveryPending {
		p.frame = p.every(refreshOpen)
	}
	if p.Posts, err = d.Store.Deliveries.Posts(v.Context(), v.world, found.ID); err != nil {
		return err
	}
	slices.Reverse(p.Posts)
	payload, err := d.payload(v, found)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if payload != nil && v.by.May(Read) {
		p.Payload = indented(payload)
		at := d.Now()
		if len(p.Posts) > 0 {
			at = p.Posts[0].At
		}
		to := webhook.Endpoint{URL: hook.URL, Secrets: hook.Secrets(at), Headers: hook.Headers}
		if p.Request, err = webhook.Show(to, webhook.Message{ID: found.Event, Body: payload}, at); err != nil {
			return err
		}
	}
	return d.render(v, "delivery.html", p)
}

// payload is what is posted. ErrNotFound if its event is no longer kept.
func (d *dashboard) payload(v *visit, x *store.Delivery) ([]byte, error) {
	if x.Entry != "" {
		shard, err := store.DeliveryShard(x.ID)
		if err != nil {
			return nil, err
		}
		e, err := d.Store.Deliveries.SuppressionEvent(v.Context(), x.World, shard, x.Entry)
		if err != nil {
			return nil, err
		}
		return events.SuppressionBody(e)
	}
	happened, _, err := d.Store.Deliveries.Happened(v.Context(), x.World, []store.StreamEntry{{Message: x.Message, Index: x.Position}})
	if err != nil {
		return nil, err
	}
	e, ok := happened[x.Message].Event(x.Position)
	if !ok {
		return nil, store.ErrNotFound
	}
	return events.Body(happened[x.Message].Message, e)
}

// replay posts an event again, whatever became of it.
func (d *dashboard) replay(v *visit) (string, error) {
	hook, found, err := d.theDelivery(v)
	if err != nil {
		return "", err
	}
	if !hook.Enabled {
		return "", refused("The webhook is disabled: enable it first.")
	}
	now := d.Now()
	again, err := d.Store.Deliveries.Replay(v.Context(), found, now, now.Add(replaySweep))
	if errors.Is(err, store.ErrLostFence) {
		return "", refused("An attempt ended just now. Look at its answer, and replay it if you still want to.")
	}
	if err != nil {
		return "", err
	}
	v.did(found.ID, "")
	if d.Queue != nil {
		job := queue.Notification{World: again.World, Delivery: again.ID, Generation: again.Generation}
		if err := d.Queue.AddNotification(v.Context(), job, again.NextAt); err != nil {
			d.Log.Warn("not enqueued, left to the sweeper", "delivery", again.ID, "error", err)
		}
	}
	return done("/ui/webhooks/"+hook.ID+"/deliveries/"+found.ID, "replayed"), nil
}

// indented writes JSON for people. Escapes stay: the page shows them as they are sent.
func indented(raw []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, bytes.TrimSpace(raw), "", "  ") != nil {
		return strings.ToValidUTF8(string(raw), "\ufffd")
	}
	return b.String()
}
