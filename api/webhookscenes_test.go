package api

import (
	"net/http"
	"strings"
	"time"

	"postrider/internal/email"
	"postrider/internal/store"
)

// webhookScenes are the ways in which the operations of webhooks end.
func webhookScenes() []scene {
	nobody := "/v1/webhooks/" + email.NewID(email.WebhookPrefix)
	scenes := []scene{
		{"createWebhook", "", ask(http.MethodPost, "/v1/webhooks", minimalHook)},
		{"createWebhook", idempotencyKeyReused, func(h *house) *answer {
			h.send(minimal, header("Idempotency-Key", "hook scene"))
			return h.post("/v1/webhooks", minimalHook, header("Idempotency-Key", "hook scene"))
		}},
		{"createWebhook", idempotencyInProgress, func(h *house) *answer { return h.whileHeld("/v1/webhooks", minimalHook) }},
		{"listWebhooks", "", func(h *house) *answer { return h.get("/v1/webhooks?limit=1") }},
		{"getWebhook", "", func(h *house) *answer { return h.get("/v1/webhooks/" + h.hook(minimalHook).id()) }},
		{"updateWebhook", "", func(h *house) *answer { return h.patch(h.hook(minimalHook).id(), `{"enabled":false}`) }},
		{"deleteWebhook", "", func(h *house) *answer {
			return h.do(http.MethodDelete, "/v1/webhooks/"+h.hook(minimalHook).id(), nil)
		}},
		{"testWebhook", "", func(h *house) *answer {
			return h.post("/v1/webhooks/"+h.hook(hookAt("http://127.0.0.1:1/")).id()+"/test", "") // nobody listens there
		}},
		{"testWebhook", idempotencyKeyReused, func(h *house) *answer {
			h.send(minimal, header("Idempotency-Key", "test scene"))
			return h.post(nobody+"/test", "{}", header("Idempotency-Key", "test scene"))
		}},
		{"testWebhook", idempotencyInProgress, func(h *house) *answer { return h.whileHeld(nobody+"/test", "{}") }},
	}
	for _, o := range []struct{ name, method, path, body string }{
		{"createWebhook", http.MethodPost, "/v1/webhooks", minimalHook},
		{"updateWebhook", http.MethodPatch, nobody, "{}"},
		{"testWebhook", http.MethodPost, nobody + "/test", "{}"},
	} {
		scenes = append(
			scenes,
			scene{o.name, malformedJSON, ask(o.method, o.path, "{")},
			scene{o.name, duplicateMember, ask(o.method, o.path, `{"url":"a","url":"b"}`)},
			scene{o.name, requestTimeout, func(h *house) *answer { return h.stall(o.method, o.path) }},
			scene{o.name, requestTooLarge, func(h *house) *answer { return h.do(o.method, o.path, zeros(maxBody+1)) }},
			scene{o.name, unsupportedMediaType, ask(o.method, o.path, "{}", header("Content-Type", "text/plain"))},
			scene{o.name, validationFailed, ask(o.method, o.path, `{"urls":[]}`)},
		)
		if o.method == http.MethodPost {
			scenes = append(scenes, scene{o.name, invalidIdempotencyKey, ask(o.method, o.path, o.body, header("Idempotency-Key", ""))})
		}
	}
	return append(append(scenes, deliveryScenes(nobody)...), eachWebhookScene(nobody)...)
}

// deliveryScenes are those of secrets, deliveries and replays.
func deliveryScenes(nobody string) []scene {
	gone := nobody + "/deliveries/" + email.NewID(email.DeliveryPrefix)
	scenes := []scene{
		{"getWebhookSecret", "", func(h *house) *answer { return h.get("/v1/webhooks/" + h.hook(minimalHook).id() + "/secret") }},
		{"listWebhookDeliveries", "", func(h *house) *answer { return h.get("/v1/webhooks/" + h.hook(minimalHook).id() + "/deliveries") }},
		{"rotateWebhookSecret", "", func(h *house) *answer {
			return h.post("/v1/webhooks/"+h.hook(minimalHook).id()+"/rotate-secret", "")
		}},
		{"replayWebhook", "", func(h *house) *answer {
			return h.post("/v1/webhooks/"+h.hook(minimalHook).id()+"/replay", `{"since":"2026-01-01T00:00:00Z"}`)
		}},
		{"getWebhookDelivery", "", func(h *house) *answer { return h.get(h.delivery()) }},
		{"replayWebhookDelivery", "", func(h *house) *answer { return h.post(h.delivery()+"/replay", "") }},
	}
	for _, o := range []struct{ name, path, body string }{
		{"rotateWebhookSecret", nobody + "/rotate-secret", "{}"},
		{"replayWebhook", nobody + "/replay", `{"since":"2026-01-01T00:00:00Z"}`},
		{"replayWebhookDelivery", gone + "/replay", "{}"},
	} {
		scenes = append(
			scenes,
			scene{o.name, malformedJSON, ask(http.MethodPost, o.path, "{")},
			scene{o.name, duplicateMember, ask(http.MethodPost, o.path, `{"a":1,"a":2}`)},
			scene{o.name, requestTimeout, func(h *house) *answer { return h.stall(http.MethodPost, o.path) }},
			scene{o.name, requestTooLarge, func(h *house) *answer { return h.do(http.MethodPost, o.path, zeros(maxBody+1)) }},
			scene{o.name, unsupportedMediaType, ask(http.MethodPost, o.path, "{}", header("Content-Type", "text/plain"))},
			scene{o.name, validationFailed, ask(http.MethodPost, o.path, `{"x":1}`)},
			scene{o.name, invalidIdempotencyKey, ask(http.MethodPost, o.path, o.body, header("Idempotency-Key", ""))},
			scene{o.name, idempotencyKeyReused, func(h *house) *answer {
				h.send(minimal, header("Idempotency-Key", o.name))
				return h.post(o.path, o.body, header("Idempotency-Key", o.name))
			}},
			scene{o.name, idempotencyInProgress, func(h *house) *answer { return h.whileHeld(o.path, o.body) }},
		)
	}
	return scenes
}

// delivery is the path of one that failed.
func (h *house) delivery() string {
	h.t.Helper()
	hook := h.hook(minimalHook).id()
	h.send(minimal)
	ctx := h.t.Context()
	for {
		part, err := h.store.Deliveries.Unfollowed(ctx, email.Test, 0, 100)
		if err != nil {
			h.t.Fatal(err)
		}
		last := part.Entries[len(part.Entries)-1]
		happened, _, err := h.store.Deliveries.Happened(ctx, email.Test, []store.StreamEntry{last})
		if err != nil {
			h.t.Fatal(err)
		}
		var list []*store.Delivery
		if part.To == part.End {
			e := happened[last.Message].Events[last.Index]
			list = append(list, &store.Delivery{Webhook: hook, Event: e.ID, Type: e.Type, Message: last.Message, Position: last.Index})
		}
		if _, err := h.store.Deliveries.Follow(ctx, part, part.To, list, time.Now()); err != nil {
			h.t.Fatal(err)
		}
		if len(list) == 0 {
			continue
		}
		if _, err := h.store.Deliveries.Fail(ctx, list[0], &store.Post{At: time.Now(), Status: 500, Error: "answered 500", Body: "<oops>"}, "", time.Now()); err != nil {
			h.t.Fatal(err)
		}
		return "/v1/webhooks/" + hook + "/deliveries/" + list[0].ID
	}
}

// eachWebhookScene are those that every operation of webhooks has.
func eachWebhookScene(nobody string) []scene {
	var scenes []scene
	for _, o := range []struct{ name, method, path, body string }{
		{"createWebhook", http.MethodPost, "/v1/webhooks", minimalHook},
		{"listWebhooks", http.MethodGet, "/v1/webhooks", ""},
		{"getWebhook", http.MethodGet, nobody, ""},
		{"updateWebhook", http.MethodPatch, nobody, "{}"},
		{"deleteWebhook", http.MethodDelete, nobody, ""},
		{"testWebhook", http.MethodPost, nobody + "/test", ""},
		{"getWebhookSecret", http.MethodGet, nobody + "/secret", ""},
		{"rotateWebhookSecret", http.MethodPost, nobody + "/rotate-secret", ""},
		{"listWebhookDeliveries", http.MethodGet, nobody + "/deliveries", ""},
		{"getWebhookDelivery", http.MethodGet, nobody + "/deliveries/" + email.NewID(email.DeliveryPrefix), ""},
		{"replayWebhookDelivery", http.MethodPost, nobody + "/deliveries/" + email.NewID(email.DeliveryPrefix) + "/replay", ""},
		{"replayWebhook", http.MethodPost, nobody + "/replay", `{"since":"2026-01-01T00:00:00Z"}`},
	} {
		scenes = append(
			scenes,
			scene{o.name, invalidParameter, ask(o.method, o.path+"?nothing=1", o.body)},
			scene{o.name, internalError, ask(o.method, o.path, o.body)},
			scene{o.name, serviceUnavailable, ask(o.method, o.path, o.body)},
		)
		if o.path != "/v1/webhooks" {
			scenes = append(scenes, scene{o.name, notFound, ask(o.method, o.path, o.body)})
		}
	}
	return scenes
}

// ask makes a request with a body.
func ask(method, path, body string, change ...asker) func(*house) *answer {
	return func(h *house) *answer { return h.do(method, path, strings.NewReader(body), change...) }
}

// whileHeld posts with an Idempotency-Key that the same request holds, unfinished.
func (h *house) whileHeld(path, body string) *answer {
	h.t.Helper()
	return h.whileHeldAs(path, path, body)
}

// whileHeldAs is whileHeld for a route that has another name in fingerprints.
func (h *house) whileHeldAs(route, path, body string) *answer {
	h.t.Helper()
	doc, err := parseJSON([]byte(body))
	if err != nil {
		h.t.Fatal(err)
	}
	key := "held " + path
	if _, _, err := h.store.Answers.Hold(h.t.Context(), email.Test, key, fingerprint(http.MethodPost, route, doc.root)); err != nil {
		h.t.Fatal(err)
	}
	return h.post(path, body, header("Idempotency-Key", key))
}
