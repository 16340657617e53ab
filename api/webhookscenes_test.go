package api

import (
	"net/http"
	"strings"

	"postrider/internal/email"
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
	return append(scenes, eachWebhookScene(nobody)...)
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
	doc, err := parseJSON([]byte(body))
	if err != nil {
		h.t.Fatal(err)
	}
	key := "held " + path
	if _, _, err := h.store.Answers.Hold(h.t.Context(), email.Test, key, fingerprint(http.MethodPost, path, doc.root)); err != nil {
		h.t.Fatal(err)
	}
	return h.post(path, body, header("Idempotency-Key", key))
}
