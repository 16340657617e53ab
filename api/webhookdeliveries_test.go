package api

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A rotation shows the new secret, and deliveries carry both signatures for a while.
func TestRotateSecret(t *testing.T) {
	h := openHouse(t)
	end := newEndpoint(t)
	made := h.hook(hookAt(end.URL))
	path := "/v1/webhooks/" + made.id()
	if a := h.get(path + "/secret"); a.body["secret"] != made.body["secret"] || a.body["previous_expires_at"] != nil {
		t.Errorf("secret: %s", a.raw)
	}
	h.want(h.get(path+"/secret", as(h.keys["hooks"])), 403, string(insufficientScope))
	signatures := func() int {
		request, _ := h.post(path+"/test", "").body["request"].(map[string]any)
		headers, _ := request["headers"].(map[string]any)
		signature, _ := headers["webhook-signature"].(string)
		return len(strings.Fields(signature))
	}
	rotated := h.post(path+"/rotate-secret", `{"overlap_seconds":60}`, header("Idempotency-Key", "rotate"))
	again := h.post(path+"/rotate-secret", `{"overlap_seconds":60.0}`, header("Idempotency-Key", "rotate"))
	if rotated.status != 200 || rotated.body["secret"] == made.body["secret"] || rotated.body["previous_expires_at"] == nil || !bytes.Equal(rotated.raw, again.raw) {
		t.Errorf("rotated: %d %s", rotated.status, rotated.raw)
	}
	if n := signatures(); n != 2 {
		t.Errorf("%d signatures during the overlap, want 2", n)
	}
	h.post(path+"/rotate-secret", `{"overlap_seconds":0}`)
	if n := signatures(); n != 1 {
		t.Errorf("%d signatures without an overlap, want 1", n)
	}
	for body, want := range map[string]string{
		`{"overlap_seconds":-1}`: "#/overlap_seconds out_of_range", `{"overlap_seconds":604801}`: "#/overlap_seconds out_of_range",
		`{"overlap_seconds":"1"}`: "#/overlap_seconds invalid_type", `{"secret":"x"}`: "#/secret unknown_member", `[]`: "# invalid_type",
	} {
		if diff := cmp.Diff([]string{want}, h.post(path+"/rotate-secret", body).faults()); diff != "" {
			t.Errorf("%s:\n%s", body, diff)
		}
	}
}

// A delivery is listed, shown with its attempts, and replayed, whatever became of it.
func TestDeliveries(t *testing.T) {
	h := openHouse(t)
	path := h.delivery()
	parts := strings.Split(path, "/")
	hook := "/v1/webhooks/" + parts[3]
	one := h.get(path)
	attempts, _ := one.body["attempts"].([]any)
	payload, _ := one.body["payload"].(map[string]any)
	if one.body["status"] != "failed" || len(attempts) != 1 || payload["id"] != one.body["event_id"] {
		t.Fatalf("delivery: %s", one.raw)
	}
	if a := attempts[0].(map[string]any); a["status_code"] != 500.0 || a["response_body"] != "<oops>" || a["error"] != "answered 500" {
		t.Errorf("attempt: %v", a)
	}
	message := one.body["message_id"].(string)
	for query, want := range map[string]int{
		"": 1, "status=failed": 1, "status=pending": 0, "event_type=message.queued": 1, "event_type=message.bounced": 0, "message_id=" + message: 1,
		"message_id=msg_01k3b8v4z0e9x8d6w5s4r3q2p1": 0,
	} {
		if got := h.get(hook + "/deliveries?" + query).data(); len(got) != want {
			t.Errorf("?%s: %d, want %d", query, len(got), want)
		}
	}
	for _, query := range []string{"status=x", "event_type=x", "message_id=x"} {
		h.want(h.get(hook+"/deliveries?"+query), 400, string(invalidParameter))
	}
	other := h.hook(minimalHook).id()
	h.want(h.get("/v1/webhooks/"+other+"/deliveries/"+parts[5]), 404, string(notFound))
	again := h.post(path+"/replay", "")
	if again.status != 202 || again.body["status"] != "pending" || again.body["attempt_count"] != 1.0 || again.body["event_id"] != one.body["event_id"] {
		t.Errorf("replayed: %d %s", again.status, again.raw)
	}
	h.patch(parts[3], `{"enabled":false}`)
	for _, a := range []*answer{h.post(path+"/replay", ""), h.post(hook+"/replay", `{"since":"2026-01-01T00:00:00Z"}`)} {
		if !slices.Equal(a.faults(), []string{"# webhook_disabled"}) {
			t.Errorf("to a disabled webhook: %d %s", a.status, a.raw)
		}
	}
	for body, want := range map[string]string{
		`{}`:                    "#/since required",
		`{"since":"yesterday"}`: "#/since invalid_format",
		`{"since":1}`:           "#/since invalid_type",
		`{"since":"2026-01-02T00:00:00Z","until":"2026-01-01T00:00:00Z"}`: "#/until out_of_range",
		`{"since":"2026-01-01T00:00:00Z","types":["x"]}`:                  "#/types/0 invalid_format",
		`{"since":"2026-01-01T00:00:00Z","only_failed":1}`:                "#/only_failed invalid_type",
		`{"since":"2026-01-01T00:00:00Z","all":true}`:                     "#/all unknown_member",
	} {
		if diff := cmp.Diff([]string{want}, h.post(hook+"/replay", body).faults()); diff != "" {
			t.Errorf("%s:\n%s", body, diff)
		}
	}
}
