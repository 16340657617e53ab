package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postrider/internal/email"
	"postrider/internal/events"
)

// logScenes are the ways in which the operations of the log end.
func logScenes() []scene {
	list, one := "/v1/events", "/v1/events/"+email.NewID(email.EventPrefix)
	return []scene{
		{"listEvents", "", ask(http.MethodGet, list, "")},
		{"listEvents", invalidParameter, ask(http.MethodGet, list+"?type=message.sent", "")},
		{"listEvents", cursorExpired, func(h *house) *answer {
			next := h.get(list + "?limit=1").body["next_cursor"].(string)
			if err := h.store.AcceptEpoch(h.t.Context(), ""); err != nil {
				h.t.Fatal(err)
			}
			return h.get(list + "?cursor=" + next)
		}},
		{"listEvents", internalError, ask(http.MethodGet, list, "")},
		{"listEvents", serviceUnavailable, ask(http.MethodGet, list, "")},
		{"getStats", "", ask(http.MethodGet, "/v1/stats", "")},
		{"getStats", invalidParameter, ask(http.MethodGet, "/v1/stats?interval=week", "")},
		{"getStats", internalError, ask(http.MethodGet, "/v1/stats", "")},
		{"getStats", serviceUnavailable, ask(http.MethodGet, "/v1/stats", "")},
		{"getEvent", "", func(h *house) *answer {
			h.send(minimal)
			return h.get("/v1/events/" + h.get(list + "?limit=1").data()[0]["id"].(string))
		}},
		{"getEvent", notFound, ask(http.MethodGet, one, "")},
		{"getEvent", invalidParameter, ask(http.MethodGet, one+"?a=1", "")},
		{"getEvent", internalError, ask(http.MethodGet, one, "")},
		{"getEvent", serviceUnavailable, ask(http.MethodGet, one, "")},
	}
}

// The log shows each event as the message's own list does, and as getEvent does.
func TestLog(t *testing.T) {
	h := openHouse(t)
	id := h.send(minimal)
	h.conclude(id, 0, delivered())
	h.send(strings.Replace(minimal, "ada@", "bob@", 1))
	var own, whole, part struct{ Data []json.RawMessage }
	for path, into := range map[string]any{
		"/v1/messages/" + id + "/events": &own, "/v1/events": &whole, "/v1/events?recipient=ADA@example.org&message_id=" + id: &part,
	} {
		if err := json.Unmarshal(h.get(path).raw, into); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(own.Data, part.Data); diff != "" || len(own.Data) != 2 || len(whole.Data) != 3 {
		t.Errorf("%d and %d events (-own +log):\n%s", len(own.Data), len(whole.Data), diff)
	}
	for _, raw := range own.Data {
		var e struct{ ID string }
		if err := json.Unmarshal(raw, &e); err != nil {
			t.Fatal(err)
		}
		if one := h.get("/v1/events/" + e.ID); string(one.raw) != string(raw) {
			t.Errorf("one event is\n%s\nin a list\n%s", one.raw, raw)
		}
		h.want(h.get("/v1/events/"+e.ID, as(h.keys["live"])), 404, string(notFound))
	}
}

// The log shows what happened to the suppressions, with the data that webhooks get.
func TestLogShowsSuppressions(t *testing.T) {
	h := openHouse(t)
	made := h.post("/v1/suppressions", `{"email":"Ada@example.org","reason":"manual","note":"asked"}`).id()
	h.want(h.do(http.MethodDelete, "/v1/suppressions/"+made, nil), 204, "")
	h.send(minimal)
	if _, err := h.store.Suppressions.Follow(t.Context(), email.Test, 10); err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, e := range h.get("/v1/events").data() {
		types = append(types, e["type"].(string))
		if one := h.get("/v1/events/" + e["id"].(string)); one.status != 200 || !cmp.Equal(one.body, e) {
			t.Errorf("one event is %d\n%s\nin a list\n%v", one.status, one.raw, e)
		}
	}
	if want := []string{"message.queued", "suppression.created", "suppression.deleted"}; !cmp.Equal(types, want) {
		t.Errorf("events %q, want %q", types, want)
	}
	for query, want := range map[string]int{
		"type=suppression.deleted": 1, "type=suppression.*": 2, "type=message.*": 1, "type=*": 3, "recipient=ada@EXAMPLE.org&type=suppression.created": 1, "recipient=bob@example.org": 0,
		"message_id=" + email.NewMessageID(0): 0, "created_after=2100-01-01T00:00:00Z": 0,
	} {
		if a := h.get("/v1/events?" + query); len(a.data()) != want {
			t.Errorf("%s: %s", query, a.raw)
		}
	}
	var deleted struct {
		Data []struct{ Data json.RawMessage }
	}
	if err := json.Unmarshal(h.get("/v1/events?type=suppression.deleted").raw, &deleted); err != nil {
		t.Fatal(err)
	}
	part, err := h.store.Deliveries.Unfollowed(t.Context(), email.Test, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	body, err := events.SuppressionBody(part.Entries[2].Suppression)
	if err != nil || !strings.HasSuffix(string(body), `"data":`+string(deleted.Data[0].Data)+"}") {
		t.Errorf("the log says\n%s\na webhook\n%s", deleted.Data[0].Data, body)
	}
	if a := h.get("/v1/events?type=suppression.created", as(h.keys["live"])); len(a.data()) != 0 {
		t.Errorf("the other world: %s", a.raw)
	}
}

func TestLogCursor(t *testing.T) {
	h := openHouse(t)
	empty := h.get("/v1/events?wait=1")
	next, _ := empty.body["next_cursor"].(string)
	if len(empty.data()) != 0 || empty.body["has_more"] != false || next == "" {
		t.Fatalf("an empty log: %s", empty.raw)
	}
	waited := make(chan *answer)
	go func() { waited <- h.get("/v1/events?wait=20&cursor=" + next) }()
	id := h.send(minimal)
	a := <-waited
	if len(a.data()) != 1 || a.data()[0]["data"].(map[string]any)["message"].(map[string]any)["id"] != id {
		t.Errorf("what was waited for: %s", a.raw)
	}
	h.want(h.get("/v1/events?type=message.queued&cursor="+next), 400, string(invalidParameter))
	h.want(h.get("/v1/messages?cursor="+next), 400, string(invalidParameter))
	for query, parameter := range map[string]string{
		"wait=21": "wait", "wait=x": "wait", "wait=-1": "wait", "type=webhook.test": "type", "message_id=evt_1": "message_id",
		"recipient=x": "recipient", "created_after=yesterday": "created_after", "created_before=2026-01-01T00:00:00Z": "created_before",
	} {
		if a := h.get("/v1/events?" + query); a.status != 400 || a.body["parameter"] != parameter {
			t.Errorf("%s: %d %s", query, a.status, a.raw)
		}
	}
}

// A key gets its burst, then 429, and is told so; who guesses keys is slowed down.
func TestRateLimits(t *testing.T) {
	h := openHouse(t, func(o *Options) { o.RateLimit = 5 })
	refused := 0
	for range 40 {
		a := h.get("/v1/messages?limit=1")
		if a.header.Get("RateLimit-Policy") != `"api";q=5;w=1` || !strings.HasPrefix(a.header.Get("RateLimit"), `"api";r=`) {
			t.Errorf("%d: %q, %q", a.status, a.header.Get("RateLimit-Policy"), a.header.Get("RateLimit"))
		}
		if a.status == http.StatusTooManyRequests {
			if refused++; a.header.Get("Retry-After") != "1" || a.header.Get("RateLimit") != `"api";r=0;t=1` || a.body["retryable"] != true {
				t.Errorf("refused: %v %s", a.header, a.raw)
			}
		} else if a.status != 200 {
			t.Errorf("%d %s", a.status, a.raw)
		}
	}
	if refused == 0 {
		t.Error("40 requests of a key with a burst of 10 were let through")
	}
	if a := h.get("/v1/messages", as(h.keys["read"])); a.status != 200 {
		t.Errorf("another key: %d", a.status)
	}
	counts := map[int]int{}
	for range 300 {
		counts[h.get("/v1/messages", as("pr_test_guess")).status]++
	}
	if counts[401] < strangerBurst || counts[429] == 0 {
		t.Errorf("guesses were answered %s", fmt.Sprint(counts))
	}
	if a := h.get("/v1/messages", as(h.keys["content"])); a.status != 403 {
		t.Errorf("a key that is right, from the same address: %d", a.status)
	}
}
