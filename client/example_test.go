package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

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
