package api

import (
	"context"
	"encoding/hex"
	"net/http"
	"strings"

	"postrider/internal/apikey"
	"postrider/internal/email"
	"postrider/internal/store"
)

// minimalKey is the smallest key.
const minimalKey = `{"name":"shop","scopes":["messages:send"]}`

// newKey makes a key that must be made.
func (h *house) newKey(body string, change ...asker) *answer {
	h.t.Helper()
	a := h.post("/v1/api-keys", body, change...)
	if a.status != http.StatusCreated {
		h.t.Fatalf("make a key: %d %s", a.status, a.raw)
	}
	return a
}

// brokenKey is the path of a key that cannot be read, nor can their list any more.
func (h *house) brokenKey() string {
	h.t.Helper()
	ctx, key := context.Background(), store.Key{ID: email.NewID(email.KeyPrefix), World: email.Test, Name: "broken"}
	_, hash := apikey.New(email.Test)
	if err := h.store.Keys.Add(ctx, key, hash); err != nil {
		h.t.Fatal(err)
	}
	h.rdb.Set(ctx, "test:{keys}:h:"+hex.EncodeToString(hash[:]), "{", 0)
	return "/v1/api-keys/" + key.ID
}

// keyScenes are the ways in which the operations of keys end.
func keyScenes() []scene {
	one := func(h *house) string { return "/v1/api-keys/" + h.newKey(minimalKey).id() }
	nobody := "/v1/api-keys/" + email.NewID(email.KeyPrefix)
	scenes := []scene{
		{"getMe", "", ask(http.MethodGet, "/v1/me", "")},
		{"getMe", internalError, func(h *house) *answer { return h.get("/v1/me", as(h.keys["spent"])) }},
		{"createAPIKey", "", ask(http.MethodPost, "/v1/api-keys", minimalKey)},
		{"createAPIKey", livemodeMismatch, ask(http.MethodPost, "/v1/api-keys", `{"name":"a","scopes":["messages:send"],"livemode":true}`)},
		{"createAPIKey", idempotencyInProgress, func(h *house) *answer {
			return h.whileHeldAs("/v1/api-keys "+h.get("/v1/me").id(), "/v1/api-keys", minimalKey)
		}},
		{"listAPIKeys", "", ask(http.MethodGet, "/v1/api-keys?limit=1", "")},
		{"getAPIKey", "", func(h *house) *answer { return h.get(one(h)) }},
		{"updateAPIKey", "", func(h *house) *answer {
			return h.do(http.MethodPatch, one(h), strings.NewReader(`{"name":"news"}`))
		}},
		{"revokeAPIKey", "", func(h *house) *answer { return h.do(http.MethodDelete, one(h), nil) }},
		{"rotateAPIKey", "", func(h *house) *answer { return h.post(one(h)+"/rotate", "") }},
		{"rotateAPIKey", idempotencyInProgress, func(h *house) *answer {
			return h.whileHeldAs(nobody+"/rotate "+h.get("/v1/me").id(), nobody+"/rotate", "{}")
		}},
		{"listAPIKeys", invalidParameter, ask(http.MethodGet, "/v1/api-keys?nothing=1", "")},
		{"getMe", invalidParameter, ask(http.MethodGet, "/v1/me?nothing=1", "")},
		{"getMe", serviceUnavailable, ask(http.MethodGet, "/v1/me", "")},
		{"listAPIKeys", serviceUnavailable, ask(http.MethodGet, "/v1/api-keys", "")},
		{"listAPIKeys", internalError, func(h *house) *answer { h.brokenKey(); return h.get("/v1/api-keys") }},
	}
	for _, o := range []struct{ name, method, path, body string }{
		{"createAPIKey", http.MethodPost, "/v1/api-keys", minimalKey},
		{"updateAPIKey", http.MethodPatch, nobody, "{}"},
		{"rotateAPIKey", http.MethodPost, nobody + "/rotate", "{}"},
	} {
		scenes = append(
			scenes,
			scene{o.name, malformedJSON, ask(o.method, o.path, "{")},
			scene{o.name, duplicateMember, ask(o.method, o.path, `{"name":"a","name":"b"}`)},
			scene{o.name, requestTimeout, func(h *house) *answer { return h.stall(o.method, o.path) }},
			scene{o.name, requestTooLarge, func(h *house) *answer { return h.do(o.method, o.path, zeros(maxBody+1)) }},
			scene{o.name, unsupportedMediaType, ask(o.method, o.path, "{}", header("Content-Type", "text/plain"))},
			scene{o.name, validationFailed, ask(o.method, o.path, `{"scope":[]}`)},
		)
		if o.method == http.MethodPost {
			scenes = append(scenes,
				scene{o.name, invalidIdempotencyKey, ask(o.method, o.path, o.body, header("Idempotency-Key", ""))},
				scene{o.name, idempotencyKeyReused, func(h *house) *answer {
					h.send(minimal, header("Idempotency-Key", o.name))
					return h.post(o.path, o.body, header("Idempotency-Key", o.name))
				}},
			)
		}
	}
	for _, o := range []struct{ name, method, below, body string }{
		{"createAPIKey", http.MethodPost, "", minimalKey},
		{"getAPIKey", http.MethodGet, "", ""},
		{"updateAPIKey", http.MethodPatch, "", "{}"},
		{"revokeAPIKey", http.MethodDelete, "", ""},
		{"rotateAPIKey", http.MethodPost, "/rotate", ""},
	} {
		at, broken := nobody+o.below, func(h *house) string { return h.brokenKey() + o.below }
		if o.name == "createAPIKey" {
			at, broken = "/v1/api-keys", func(*house) string { return "/v1/api-keys" }
		} else {
			scenes = append(scenes, scene{o.name, notFound, ask(o.method, at, o.body)})
		}
		scenes = append(
			scenes,
			scene{o.name, invalidParameter, ask(o.method, at+"?nothing=1", o.body)},
			scene{o.name, internalError, func(h *house) *answer { return h.do(o.method, broken(h), strings.NewReader(o.body)) }},
			scene{o.name, serviceUnavailable, ask(o.method, at, o.body)},
		)
	}
	return scenes
}

// boundScenes are those of what a key is not allowed.
func boundScenes() []scene {
	send := func(key, method, path, body string, change ...asker) func(*house) *answer {
		return func(h *house) *answer {
			return h.do(method, path, strings.NewReader(body), append(change, as(h.keys[key]))...)
		}
	}
	mail := header("Content-Type", "message/rfc822")
	twice := func(ask func(*house) *answer) func(*house) *answer {
		return func(h *house) *answer {
			ask(h)
			return ask(h)
		}
	}
	one := func(h *house) string { return "/v1/api-keys/" + h.newKey(minimalKey).id() }
	batch := batchOf("", minimal)
	scenes := []scene{
		{"sendMessage", fromDomainNotAllowed, send("bound", http.MethodPost, "/v1/messages", minimal)},
		{"sendMessage", sendingPaused, send("paused", http.MethodPost, "/v1/messages", minimal)},
		{"sendMessage", quotaExceeded, twice(send("spent", http.MethodPost, "/v1/messages", minimal))},
		{"sendRaw", fromDomainNotAllowed, send("bound", http.MethodPost, "/v1/messages/raw", rawMinimal, mail)},
		{"sendRaw", sendingPaused, send("paused", http.MethodPost, "/v1/messages/raw", rawMinimal, mail)},
		{"sendRaw", quotaExceeded, twice(send("spent", http.MethodPost, "/v1/messages/raw", rawMinimal, mail))},
		{"sendBatch", sendingPaused, send("paused", http.MethodPost, "/v1/messages/batch", batch)},
		{"sendBatch", quotaExceeded, twice(send("spent", http.MethodPost, "/v1/messages/batch", batch))},
		{"createAPIKey", fromDomainNotAllowed, send("bound", http.MethodPost, "/v1/api-keys", `{"name":"a","scopes":["messages:send"],"allowed_from_domains":["acme.com"]}`)},
		{"createAPIKey", sendingPaused, send("paused", http.MethodPost, "/v1/api-keys", minimalKey)},
		{"updateAPIKey", fromDomainNotAllowed, func(h *house) *answer {
			own := h.newKey(`{"name":"a","scopes":["messages:send"]}`, as(h.keys["bound"])).id()
			return h.do(http.MethodPatch, "/v1/api-keys/"+own, strings.NewReader(`{"allowed_from_domains":["acme.com"]}`), as(h.keys["bound"]))
		}},
		{"updateAPIKey", sendingPaused, func(h *house) *answer {
			return h.do(http.MethodPatch, one(h), strings.NewReader(`{}`), as(h.keys["paused"]))
		}},
		{"revokeAPIKey", sendingPaused, func(h *house) *answer { return h.do(http.MethodDelete, one(h), nil, as(h.keys["paused"])) }},
		{"rotateAPIKey", sendingPaused, func(h *house) *answer { return h.post(one(h)+"/rotate", "", as(h.keys["paused"])) }},
	}
	return scenes
}
