package api

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postrider/internal/email"
)

// wireTime is how times are written in answers.
const wireTime = "2006-01-02T15:04:05.000Z"

// scheduledIn is the minimal message for a time from now.
func scheduledIn(d time.Duration) string {
	return with(fmt.Sprintf(`"scheduled_at":%q`, time.Now().Add(d).UTC().Format(time.RFC3339)))
}

// holdKey is another request that holds an Idempotency-Key.
func (h *house) holdKey(key string, print [32]byte) {
	h.t.Helper()
	if held, _, err := h.store.Answers.Hold(h.t.Context(), email.Test, key, print); err != nil || held == nil {
		h.t.Fatalf("hold %s: %v, %v", key, held, err)
	}
}

func (h *house) reschedule(path, body string) *answer {
	h.t.Helper()
	return h.do(http.MethodPatch, path, strings.NewReader(body))
}

func TestReschedule(t *testing.T) {
	h := openHouse(t)
	body, key := scheduledIn(time.Hour), header("Idempotency-Key", "later")
	first := h.post("/v1/messages", body, key)
	path := "/v1/messages/" + first.id()
	if h.jobs.count() != 0 {
		t.Error("a message for later has a job")
	}
	when := time.Now().Add(48 * time.Hour).UTC().Truncate(time.Second)
	a := h.reschedule(path, fmt.Sprintf(`{"scheduled_at":%q}`, when.Format(time.RFC3339)))
	if a.status != 200 || a.body["status"] != "scheduled" || a.body["scheduled_at"] != when.Format(wireTime) ||
		a.body["expires_at"] != when.Add(72*time.Hour).Format(wireTime) {
		t.Errorf("later: %d %s", a.status, a.raw)
	}
	if a = h.reschedule("/messages/"+first.id(), `{"scheduled_at":null}`); a.status != 200 || a.body["status"] != "queued" || h.jobs.count() != 1 {
		t.Errorf("now: %d %s, %d jobs", a.status, a.raw, h.jobs.count())
	}
	a = h.reschedule(path, `{"scheduled_at":null}`)
	h.want(a, 409, string(messageNotScheduled))
	if a.body["message_status"] != "queued" {
		t.Errorf("refusal %s", a.raw)
	}
	if a = h.post("/v1/messages", body, key); !bytes.Equal(a.raw, first.raw) {
		t.Errorf("a replay drifts:\n%s\nfirst was\n%s", a.raw, first.raw)
	}
}

func TestRescheduleRefuses(t *testing.T) {
	h := openHouse(t)
	id := h.send(scheduledIn(time.Hour))
	for body, want := range map[string][]string{
		`[]`: {"# invalid_type"}, `{}`: {"#/scheduled_at required"}, `{"scheduled_at":5}`: {"#/scheduled_at invalid_type"},
		`{"scheduled_at":"tomorrow"}`:                   {"#/scheduled_at invalid_format"},
		`{"scheduled_at":"2020-01-01T00:00:00Z"}`:       {"#/scheduled_at scheduled_in_past"},
		`{"scheduled_at":"2999-01-01T00:00:00Z"}`:       {"#/scheduled_at out_of_range"},
		`{"scheduled_at":null,"subject":null,"text":1}`: {"#/subject unknown_member", "#/text unknown_member"},
	} {
		a := h.reschedule("/v1/messages/"+id, body)
		h.want(a, 422, string(validationFailed))
		if diff := cmp.Diff(want, a.faults()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
	h.want(h.do(http.MethodPatch, "/v1/messages/"+id, strings.NewReader(`{"scheduled_at":null}`), as(h.keys["live"])), 404, string(notFound))
	if a := h.get("/v1/messages/" + id); a.body["status"] != "scheduled" {
		t.Errorf("after refusals: %s", a.raw)
	}
}

// api.md 3.1: a newer message with the same key takes an older one's place.
func TestSupersede(t *testing.T) {
	h := openHouse(t)
	code := with(`"supersede":"code","store_content":false,"stream":"critical"`)
	old, fresh := h.send(code), h.send(code)
	a := h.get("/v1/messages/" + old)
	recipient := a.body["recipients"].([]any)[0].(map[string]any)
	if a.body["status"] != "canceled" || recipient["reason"] != "superseded" || a.body["stream"] != "critical" {
		t.Errorf("the old one: %s", a.raw)
	}
	h.want(h.get("/v1/messages/"+old+"?include=content"), 410, string(contentExpired))
	if a := h.get("/v1/messages/" + fresh + "?include=content"); a.status != 200 || a.body["status"] != "queued" {
		t.Errorf("the new one: %s", a.raw)
	}
}

// api.md 6: cancel is a POST as any other, and its key is registered.
func TestCancelIsReplayed(t *testing.T) {
	h := openHouse(t)
	id, key := h.send(minimal), header("Idempotency-Key", "stop/1")
	first := h.post("/v1/messages/"+id+"/cancel", "", key)
	again := h.post("/messages/"+id+"/cancel", "{}", key)
	if first.status != 200 || again.status != 200 || again.header.Get("Idempotent-Replayed") != "true" || !bytes.Equal(first.raw, again.raw) {
		t.Errorf("%d %s\n%d %s", first.status, first.raw, again.status, again.raw)
	}
	h.want(h.post("/v1/messages/"+h.send(minimal)+"/cancel", "", key), 422, string(idempotencyKeyReused))
	h.want(h.post("/v1/messages", minimal, key), 422, string(idempotencyKeyReused))
}

func rescheduleScenes() []scene {
	op, nobody := "rescheduleMessage", "/v1/messages/"+email.NewMessageID(0)
	patch := func(body string, change ...asker) func(*house) *answer {
		return func(h *house) *answer { return h.do(http.MethodPatch, nobody, strings.NewReader(body), change...) }
	}
	now := `{"scheduled_at":null}`
	return []scene{
		{op, "", func(h *house) *answer {
			return h.do(http.MethodPatch, "/v1/messages/"+h.send(scheduledIn(time.Hour)), strings.NewReader(now))
		}},
		{op, notFound, patch(now)},
		{op, messageNotScheduled, func(h *house) *answer {
			return h.do(http.MethodPatch, "/v1/messages/"+h.send(minimal), strings.NewReader(now))
		}},
		{op, malformedJSON, patch("{")},
		{op, requestTimeout, func(h *house) *answer { return h.stall(http.MethodPatch, nobody) }},
		{op, duplicateMember, patch(`{"a":1,"a":1}`)},
		{op, invalidParameter, func(h *house) *answer { return h.do(http.MethodPatch, nobody+"?a=1", strings.NewReader(now)) }},
		{op, requestTooLarge, func(h *house) *answer { return h.do(http.MethodPatch, nobody, zeros(maxBody+1)) }},
		{op, unsupportedMediaType, patch(now, header("Content-Type", "text/plain"))},
		{op, validationFailed, patch(`{}`)},
		{op, internalError, patch(now)},
		{op, serviceUnavailable, patch(now)},
	}
}

func cancelScenes() []scene {
	op, nobody := "cancelMessage", "/v1/messages/"+email.NewMessageID(0)+"/cancel"
	post := func(body string, change ...asker) func(*house) *answer {
		return func(h *house) *answer { return h.post(nobody, body, change...) }
	}
	return []scene{
		{op, "", func(h *house) *answer { return h.post("/v1/messages/"+h.send(minimal)+"/cancel", "") }},
		{op, notFound, post("")},
		{op, messageNotCancelable, func(h *house) *answer {
			id := h.send(minimal)
			h.conclude(id, 0, delivered())
			return h.post("/v1/messages/"+id+"/cancel", "{}")
		}},
		{op, idempotencyInProgress, func(h *house) *answer {
			id := email.NewMessageID(0)
			h.holdKey("canceling", fingerprint(http.MethodPost, sendRoute+"/"+id+"/cancel", &node{kind: objectKind}))
			return h.post("/v1/messages/"+id+"/cancel", "", header("Idempotency-Key", "canceling"))
		}},
		{op, idempotencyKeyReused, func(h *house) *answer {
			h.send(minimal, header("Idempotency-Key", "sent"))
			return post("", header("Idempotency-Key", "sent"))(h)
		}},
		{op, malformedJSON, post("{")},
		{op, requestTimeout, func(h *house) *answer { return h.stall(http.MethodPost, nobody) }},
		{op, duplicateMember, post(`{"a":1,"a":1}`)},
		{op, invalidIdempotencyKey, post("", header("Idempotency-Key", ""))},
		{op, invalidParameter, func(h *house) *answer { return h.post(nobody+"?a=1", "") }},
		{op, requestTooLarge, func(h *house) *answer { return h.do("POST", nobody, zeros(maxBody+1)) }},
		{op, unsupportedMediaType, post("{}", header("Content-Type", "application/x-www-form-urlencoded"))},
		{op, validationFailed, post(`{"recipients":[]}`)},
		{op, internalError, post("")},
		{op, serviceUnavailable, post("")},
	}
}
