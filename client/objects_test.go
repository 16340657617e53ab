package client

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// asked is what a server was asked, as "METHOD path?query body".
func asked(t *testing.T, status int, answer string, do func(*Client) error) string {
	t.Helper()
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = strings.TrimSpace(r.Method + " " + r.URL.RequestURI() + " " + string(body))
		if (r.Header.Get("Idempotency-Key") != "") != (r.Method == http.MethodPost) {
			t.Errorf("%s has the Idempotency-Key %q", r.Method, r.Header.Get("Idempotency-Key"))
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	defer server.Close()
	c, err := New(Options{URL: server.URL, APIKey: "pr_test_x"})
	if err != nil {
		t.Fatal(err)
	}
	if err := do(c); err != nil {
		t.Errorf("%s: %v", got, err)
	}
	return got
}

// Each method asks for what it is named after.
func TestMethodsAsk(t *testing.T) {
	ctx := t.Context()
	at := time.Date(2026, 11, 27, 8, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		want string
		do   func(*Client) error
	}{
		{"GET /v1/me", func(c *Client) error { _, err := c.Me(ctx); return err }},
		{"GET /v1/api-keys/key_1", func(c *Client) error { _, err := c.APIKey(ctx, "key_1"); return err }},
		{`POST /v1/api-keys {"name":"a","scopes":["messages:send"],"expires_at":"2026-11-27T08:00:00Z"}`, func(c *Client) error {
			_, err := c.CreateAPIKey(ctx, NewAPIKey{Name: "a", Scopes: []string{"messages:send"}, ExpiresAt: at})
			return err
		}},
		{`PATCH /v1/api-keys/key_1 {"allowed_ips":null,"name":"b"}`, func(c *Client) error {
			_, err := c.UpdateAPIKey(ctx, "key_1", APIKeyChange{Name: "b", Lift: []string{"allowed_ips"}})
			return err
		}},
		{`POST /v1/api-keys/key_1/rotate {"overlap_seconds":60}`, func(c *Client) error { _, err := c.RotateAPIKey(ctx, "key_1", time.Minute); return err }},
		{"DELETE /v1/api-keys/key_1", func(c *Client) error { return c.RevokeAPIKey(ctx, "key_1") }},
		{"GET /v1/webhooks/wh_1", func(c *Client) error { _, err := c.Webhook(ctx, "wh_1"); return err }},
		{`PATCH /v1/webhooks/wh_1 {"enabled":false,"tags_filter":[]}`, func(c *Client) error {
			_, err := c.UpdateWebhook(ctx, "wh_1", WebhookChange{Enabled: new(bool), TagsFilter: []string{}})
			return err
		}},
		{"DELETE /v1/webhooks/a%2Fb", func(c *Client) error { return c.DeleteWebhook(ctx, "a/b") }},
		{`POST /v1/webhooks/wh_1/test {"type":"message.bounced"}`, func(c *Client) error { _, err := c.TestWebhook(ctx, "wh_1", "message.bounced"); return err }},
		{"GET /v1/webhooks/wh_1/secret", func(c *Client) error { _, err := c.WebhookSecret(ctx, "wh_1"); return err }},
		{`POST /v1/webhooks/wh_1/rotate-secret {"overlap_seconds":0}`, func(c *Client) error { _, err := c.RotateWebhookSecret(ctx, "wh_1", 0); return err }},
		{"GET /v1/webhooks/wh_1/deliveries/dlv_1", func(c *Client) error { _, err := c.Delivery(ctx, "wh_1", "dlv_1"); return err }},
		{"POST /v1/webhooks/wh_1/deliveries/dlv_1/replay {}", func(c *Client) error { _, err := c.ReplayDelivery(ctx, "wh_1", "dlv_1"); return err }},
		{`POST /v1/webhooks/wh_1/replay {"since":"2026-11-27T08:00:00Z"}`, func(c *Client) error { _, err := c.ReplayWebhook(ctx, "wh_1", Replay{Since: at}); return err }},
		{"GET /v1/suppressions/sup_1", func(c *Client) error { _, err := c.Suppression(ctx, "sup_1"); return err }},
		{"DELETE /v1/suppressions/sup_1", func(c *Client) error { return c.DeleteSuppression(ctx, "sup_1") }},
		{`POST /v1/suppressions {"email":"a@b.org"}`, func(c *Client) error { _, err := c.Suppress(ctx, NewSuppression{Email: "a@b.org"}); return err }},
		{`POST /v1/suppressions/batch {"remove":["a@b.org"]}`, func(c *Client) error {
			_, err := c.ChangeSuppressions(ctx, SuppressionChange{Remove: []string{"a@b.org"}})
			return err
		}},
		{"POST /v1/suppressions/import email\na@b.org", func(c *Client) error {
			_, err := c.ImportSuppressions(ctx, strings.NewReader("email\na@b.org\n"))
			return err
		}},
		{"GET /v1/suppressions/export", func(c *Client) error { return c.ExportSuppressions(ctx, io.Discard) }},
		{"GET /v1/stats?from=2026-11-27T08%3A00%3A00Z&group=tag&interval=day", func(c *Client) error {
			_, err := c.Stats(ctx, StatsQuery{From: at, Group: "tag", Interval: "day"})
			return err
		}},
	} {
		if got := asked(t, http.StatusOK, "{}", c.do); got != c.want {
			t.Errorf("asked %s, want %s", got, c.want)
		}
	}
}

// An id that is none asks nothing, and cannot lead elsewhere.
func TestMethodsNeedIDs(t *testing.T) {
	c, err := New(Options{URL: "http://127.0.0.1:1", APIKey: "pr_test_x"})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"", ".", ".."} {
		for name, do := range map[string]func() error{
			"webhook": func() error { _, err := c.Webhook(t.Context(), id); return err },
			"revoke":  func() error { return c.RevokeAPIKey(t.Context(), id) },
			"deliveries": func() error {
				for _, err := range c.Deliveries(t.Context(), id, DeliveryFilter{}) {
					return err
				}
				return nil
			},
		} {
			if err := do(); err == nil || !strings.Contains(err.Error(), "an id is needed") {
				t.Errorf("%s %q: %v", name, id, err)
			}
		}
	}
}

// What a newer server adds to an object is not lost on the way.
func TestObjectsKeepWhatTheyAre(t *testing.T) {
	raw := []byte(`{"id":"x_1","newer":{"a":1}}`)
	for _, object := range []any{&APIKey{}, &Webhook{}, &Delivery{}, &Suppression{}, &TestDelivery{}} {
		if err := json.Unmarshal(raw, object); err != nil {
			t.Fatal(err)
		}
		if back, err := json.Marshal(object); err != nil || !bytes.Equal(back, raw) {
			t.Errorf("%T became %s, %v", object, back, err)
		}
	}
}
