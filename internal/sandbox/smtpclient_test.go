package sandbox

import (
	"context"
	"strings"
	"testing"

	"postrider/internal/email"
	"postrider/smtpclient"
)

// The client that the worker uses follows a plan to here, and what it sends is
// kept octet for octet.
func TestWithSMTPClient(t *testing.T) {
	box := started(t)
	transport := smtpclient.NewTransport(smtpclient.Options{Hostname: "client.test"})
	defer transport.Close()
	id := email.NewMessageID(0)
	data := strings.Replace(mail(id, "octets"), "body", ".dot\r\n..\r\n"+strings.Repeat("x", 990)+"\r\nend\r\n", 1)
	send := func(from string, to ...string) []smtpclient.RecipientResult {
		t.Helper()
		plan, err := box.Plan(context.Background(), to[0])
		if err != nil {
			t.Fatal(err)
		}
		return transport.Send(context.Background(), plan, &smtpclient.Mail{From: from, To: to, Data: []byte(data)}).Recipients
	}
	tests := []struct {
		to    string
		codes []int // one attempt each; 250 stands for accepted
	}{
		{"delivered@sandbox.test", []int{250, 250}},
		{"bounced@sandbox.test", []int{550}},
		{"soft-bounced@sandbox.test", []int{452, 452, 552}},
		{"blocked@sandbox.test", []int{550}},
		{"deferred@sandbox.test", []int{451, 250}},
		{"stuck@sandbox.test", []int{451, 451, 451}},
		{"slow-2@sandbox.test", []int{250}},
		{"smtp-421@sandbox.test", []int{421, 421}},
		{"smtp-550-5.7.26@sandbox.test", []int{550}},
		{"anyone@example.com", []int{250}},
	}
	for _, test := range tests {
		t.Run(test.to, func(t *testing.T) {
			for attempt, want := range test.codes {
				got := send("b-"+test.to, test.to)[0]
				switch {
				case want == 250 && got.Err != nil:
					t.Fatalf("attempt %d: %v", attempt+1, got.Err)
				case want != 250 && (got.Err == nil || got.Err.Reply == nil || got.Err.Reply.Code != want):
					t.Fatalf("attempt %d: %+v, want %d", attempt+1, got, want)
				}
			}
		})
	}
	t.Run("several recipients", func(t *testing.T) {
		got := send("b-several@r.test", "x@sandbox.test.example", "bounced@sandbox.test", "deferred@sandbox.test")
		if got[0].Err != nil || got[1].Err == nil || got[2].Err == nil || got[2].Err.Reply.Code != 451 {
			t.Errorf("results %+v", got)
		}
	})
	kept := box.Inbox.ForMessage(id)
	if len(kept) != 6 {
		t.Errorf("%d mails were kept, want 6", len(kept))
	}
	for _, m := range kept {
		if string(m.Data) != data {
			t.Errorf("kept %q, sent %q", m.Data, data)
		}
	}
}
