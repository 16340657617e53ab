package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"postrider/client"
)

// standIn is a server that the examples talk to in the place of Postrider.
func standIn(status int, body string) *client.Client {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	// A program leaves both out: they come from POSTRIDER_URL and POSTRIDER_API_KEY.
	c, err := client.New(client.Options{URL: server.URL, APIKey: "pr_test_..."})
	if err != nil {
		panic(err)
	}
	return c
}

func ExampleClient_Send() {
	postrider := standIn(http.StatusAccepted, `{"id":"msg_01k3b8v4z0e9x8d6w5s4r3q2p1","status":"queued"}`)
	sent, err := postrider.Send(context.Background(), client.Mail{
		From:    "Acme <hi@acme.com>",
		To:      []string{client.Named("Lovelace, Ada", "ada@example.org")},
		Subject: "Your receipt 42",
		Text:    "Thank you!",

		// The same receipt is never sent twice, however often this runs.
		IdempotencyKey: "receipt/42",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(sent.ID, sent.Status)
	// Output: msg_01k3b8v4z0e9x8d6w5s4r3q2p1 queued
}

func ExampleError() {
	postrider := standIn(http.StatusUnprocessableEntity, `{
		"code": "validation_failed", "detail": "2 members are invalid.", "retryable": false,
		"errors": [{"pointer": "#/to/0", "code": "invalid_email", "detail": "is not a mailbox"},
		           {"pointer": "#/subject", "code": "required", "detail": "is missing"}]}`)
	_, err := postrider.Send(context.Background(), client.Mail{To: []string{"ada"}})
	var refused *client.Error
	if errors.As(err, &refused) {
		fmt.Println(refused.Code)
		for _, fault := range refused.Errors {
			fmt.Println("-", fault)
		}
	}
	// Output:
	// validation_failed
	// - to/0 is not a mailbox
	// - subject is missing
}

func ExampleClient_List() {
	postrider := standIn(http.StatusOK, `{"data": [
		{"id": "msg_2", "status": "bounced", "subject": "Receipt 43"},
		{"id": "msg_1", "status": "bounced", "subject": "Receipt 42"}], "has_more": false}`)
	for message, err := range postrider.List(context.Background(), client.Filter{Status: client.Bounced, Tags: []string{"receipt"}}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(message.ID, message.Subject)
	}
	// Output:
	// msg_2 Receipt 43
	// msg_1 Receipt 42
}

func ExampleClient_Events() {
	postrider := standIn(http.StatusOK, `{"data": [
		{"type": "message.queued", "data": {"recipient": {"email": "gone@example.org", "seq": 1}}},
		{"type": "message.bounced", "data": {"recipient": {"email": "gone@example.org", "seq": 2},
		 "smtp": {"code": 550, "text": "user unknown"}, "bounce": {"type": "hard"}}}], "has_more": false}`)
	for event, err := range postrider.Events(context.Background(), "msg_1") {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(event.Data.Recipient.Seq, event.Type)
		if event.Data.Bounce != nil {
			fmt.Println("its server said:", event.Data.SMTP.Text)
		}
	}
	// Output:
	// 1 message.queued
	// 2 message.bounced
	// its server said: user unknown
}

func ExampleClient_CreateWebhook() {
	postrider := standIn(http.StatusCreated, `{"id": "wh_01k3b8v4z0e9x8d6w5s4r3q2p1", "status": "enabled", "secret": "whsec_..."}`)
	hook, err := postrider.CreateWebhook(context.Background(), client.NewWebhook{
		URL:    "https://app.acme.com/hooks/mail",
		Events: []string{"message.bounced", "message.failed"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(hook.ID, hook.Status)
	fmt.Println("verify with", hook.Secret) // keep it: package webhook needs it
	// Output:
	// wh_01k3b8v4z0e9x8d6w5s4r3q2p1 enabled
	// verify with whsec_...
}

func ExampleClient_Deliveries() {
	postrider := standIn(http.StatusOK, `{"data": [
		{"id": "dlv_2", "event_type": "message.bounced", "status": "failed", "attempt_count": 10, "last_error": "timeout"},
		{"id": "dlv_1", "event_type": "message.delivered", "status": "failed", "attempt_count": 10, "last_status_code": 500}], "has_more": false}`)
	for delivery, err := range postrider.Deliveries(context.Background(), "wh_1", client.DeliveryFilter{Status: "failed"}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(delivery.ID, delivery.EventType, delivery.LastStatusCode, delivery.LastError)
	}
	// Output:
	// dlv_2 message.bounced 0 timeout
	// dlv_1 message.delivered 500
}

func ExampleClient_ReplayWebhook() {
	postrider := standIn(http.StatusAccepted, `{"webhook_id": "wh_1", "count": 42, "resume_at": null}`)
	// What the endpoint missed since Friday.
	replay := client.Replay{Since: time.Date(2026, 11, 27, 18, 0, 0, 0, time.UTC)}
	for {
		did, err := postrider.ReplayWebhook(context.Background(), "wh_1", replay)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(did.Count, "events")
		if did.ResumeAt.IsZero() {
			break
		}
		replay.Since = did.ResumeAt
	}
	// Output: 42 events
}

func ExampleClient_Suppressions() {
	postrider := standIn(http.StatusOK, `{"data": [
		{"id": "sup_2", "email": "gone@example.org", "reason": "hard_bounce", "source_message_id": "msg_1"},
		{"id": "sup_1", "email": "left@example.org", "reason": "hard_bounce"}], "has_more": false}`)
	for entry, err := range postrider.Suppressions(context.Background(), client.SuppressionFilter{Reason: "hard_bounce"}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(entry.Email, entry.SourceMessageID)
	}
	// Output:
	// gone@example.org msg_1
	// left@example.org
}

func ExampleClient_Suppress() {
	postrider := standIn(http.StatusCreated, `{"id": "sup_1", "email": "gone@example.org", "reason": "manual"}`)
	entry, err := postrider.Suppress(context.Background(), client.NewSuppression{Email: "gone@example.org", Note: "asked by telephone"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(entry.Email, "gets no mail:", entry.Reason)
	// Output: gone@example.org gets no mail: manual
}

func ExampleClient_CreateAPIKey() {
	postrider := standIn(http.StatusCreated, `{"id": "key_1", "name": "shop", "scopes": ["messages:send"], "secret": "pr_live_..."}`)
	key, err := postrider.CreateAPIKey(context.Background(), client.NewAPIKey{
		Name:               "shop",
		Scopes:             []string{"messages:send"},
		AllowedFromDomains: []string{"acme.com"},
		RecipientsPerDay:   10_000,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(key.ID, key.Secret) // only this answer has the secret
	// Output: key_1 pr_live_...
}

func ExampleClient_UpdateAPIKey() {
	postrider := standIn(http.StatusOK, `{"id": "key_1", "name": "shop", "sending_paused": true}`)
	// An app went wild: stop it, and let it read on.
	key, err := postrider.UpdateAPIKey(context.Background(), "key_1", client.APIKeyChange{SendingPaused: new(true)})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(key.Name, "is paused:", key.SendingPaused)
	// Output: shop is paused: true
}

func ExampleClient_Me() {
	postrider := standIn(http.StatusOK, `{"id": "key_1", "name": "shop", "livemode": false, "limits": {"recipients": 50}, "version": "1.2.3"}`)
	me, err := postrider.Me(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(me.Name, me.Livemode, me.Limits.Recipients, me.Version)
	// Output: shop false 50 1.2.3
}

func ExampleClient_Stats() {
	postrider := standIn(http.StatusOK, `{"interval": "day", "data": [
		{"at": "2026-11-26T00:00:00Z", "counts": {"accepted": 100, "delivered": 97, "bounced": 3}, "latency_seconds": {"p50": 0.8, "p95": 2.1, "p99": 9}}]}`)
	stats, err := postrider.Stats(context.Background(), client.StatsQuery{Interval: "day"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, day := range stats.Data {
		fmt.Println(day.At.Format(time.DateOnly), day.Counts.Delivered, "of", day.Counts.Accepted, "delivered, half within", day.Latency.P50, "s")
	}
	// Output: 2026-11-26 97 of 100 delivered, half within 0.8 s
}
