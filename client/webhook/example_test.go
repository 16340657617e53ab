package webhook_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"postrider/client"
	"postrider/client/webhook"
)

func ExampleVerify() {
	hook := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
		if err != nil {
			http.Error(w, "cannot read", http.StatusBadRequest)
			return
		}
		event, err := webhook.Verify(body, r.Header, secret) // and the old one, while it is being replaced
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		if event.Type == client.MessageBounced {
			fmt.Println(event.Data.Recipient.Email, "bounced:", event.Data.Bounce.Category)
		}
		w.WriteHeader(http.StatusNoContent)
	}

	// What Postrider posts.
	signer, _ := standard.NewWebhook(secret)
	now := time.Now()
	signature, _ := signer.Sign("evt_1", now, []byte(body))
	request := httptest.NewRequest(http.MethodPost, "/hooks/mail", strings.NewReader(body))
	request.Header.Set("webhook-id", "evt_1")
	request.Header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	request.Header.Set("webhook-signature", signature)
	answer := httptest.NewRecorder()
	hook(answer, request)
	fmt.Println(answer.Code)
	// Output:
	// gone@example.org bounced: invalid_recipient
	// 204
}
