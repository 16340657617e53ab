package webhook_test

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"postrider/client/webhook"
	sender "postrider/internal/webhook"
)

const (
	secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	older  = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	body   = `{"id":"evt_1","type":"message.bounced","timestamp":"2026-08-23T14:05:09.004Z","livemode":true,` +
		`"data":{"message":{"id":"msg_1","template":null},"recipient":{"email":"gone@example.org","status":"bounced","seq":2},` +
		`"smtp":{"code":550,"enhanced_code":null},"bounce":{"type":"hard","category":"invalid_recipient"}}}`
)

// delivery is the header of the body, signed by the official library.
func delivery(t *testing.T, at time.Time, secrets ...string) http.Header {
	t.Helper()
	header := make(http.Header)
	header.Set("webhook-id", "evt_1")
	header.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
	var signatures []string
	for _, s := range secrets {
		signer, err := standard.NewWebhook(s)
		if err != nil {
			t.Fatal(err)
		}
		signature, err := signer.Sign("evt_1", at, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		signatures = append(signatures, signature)
	}
	header.Set("webhook-signature", strings.Join(signatures, " "))
	return header
}

// TestVerify sees that what the official library signs is accepted, and refused
// whenever the official library would refuse it.
func TestVerify(t *testing.T) {
	with := func(name, value string) func(http.Header) { return func(h http.Header) { h.Set(name, value) } }
	for _, c := range []struct {
		name    string
		age     time.Duration
		signed  []string
		known   []string
		change  func(http.Header)
		body    string // empty: as signed
		refused error
	}{
		{name: "genuine", signed: []string{secret}, known: []string{secret}},
		{name: "signed with the old secret too", signed: []string{older, secret}, known: []string{secret}},
		{name: "the app knows the old secret too", signed: []string{secret}, known: []string{older, secret}},
		{name: "secret without its prefix", signed: []string{secret}, known: []string{strings.TrimPrefix(secret, "whsec_")}},
		{name: "beside an unknown version", signed: []string{secret}, known: []string{secret}, change: func(h http.Header) {
			h.Set("webhook-signature", "v1a,AAAA junk "+h.Get("webhook-signature"))
		}},
		{name: "5 minutes old", age: 5 * time.Minute, signed: []string{secret}, known: []string{secret}},
		{name: "6 minutes old", age: 6 * time.Minute, signed: []string{secret}, known: []string{secret}, refused: webhook.ErrTimestamp},
		{name: "6 minutes ahead", age: -6 * time.Minute, signed: []string{secret}, known: []string{secret}, refused: webhook.ErrTimestamp},
		{name: "another secret", signed: []string{older}, known: []string{secret}, refused: webhook.ErrSignature},
		{name: "one byte", signed: []string{secret}, known: []string{secret}, body: strings.Replace(body, "evt_1", "evt_2", 1), refused: webhook.ErrSignature},
		{name: "another id", signed: []string{secret}, known: []string{secret}, change: with("webhook-id", "evt_2"), refused: webhook.ErrSignature},
		{name: "another time", signed: []string{secret}, known: []string{secret}, change: with("webhook-timestamp", "946684801"), refused: webhook.ErrSignature},
		{name: "no version", signed: []string{secret}, known: []string{secret}, change: func(h http.Header) {
			h.Set("webhook-signature", strings.TrimPrefix(h.Get("webhook-signature"), "v1,"))
		}, refused: webhook.ErrSignature},
		{name: "no id", signed: []string{secret}, known: []string{secret}, change: with("webhook-id", ""), refused: webhook.ErrHeaders},
		{name: "no time", signed: []string{secret}, known: []string{secret}, change: with("webhook-timestamp", "now"), refused: webhook.ErrHeaders},
		{name: "no signature", signed: nil, known: []string{secret}, refused: webhook.ErrHeaders},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				header := delivery(t, time.Now().Add(-c.age), c.signed...)
				if c.change != nil {
					c.change(header)
				}
				got := c.body
				if got == "" {
					got = body
				}
				event, err := webhook.Verify([]byte(got), header, c.known...)
				if !errors.Is(err, c.refused) || (err == nil) != (c.refused == nil) {
					t.Fatalf("%v, want %v", err, c.refused)
				}
				if err == nil && (event.ID != "evt_1" || event.Data.Bounce.Category != "invalid_recipient" || event.Data.Recipient.Seq != 2) {
					t.Errorf("event %+v", event)
				}
				if official := officialVerdict(t, c.known, got, header); (official == nil) != (err == nil) {
					t.Errorf("%v, but the official library says %v", err, official)
				}
			})
		})
	}
}

// officialVerdict is nil if the official library accepts with one of the secrets.
func officialVerdict(t *testing.T, secrets []string, body string, header http.Header) error {
	t.Helper()
	var verdict error
	for _, s := range secrets {
		verifier, err := standard.NewWebhook(s)
		if err != nil {
			t.Fatal(err)
		}
		if verdict = verifier.Verify([]byte(body), header); verdict == nil {
			return nil
		}
	}
	return verdict
}

// TestOurs accepts what the service signs, while a secret is being replaced.
func TestOurs(t *testing.T) {
	now := time.Now()
	made := []string{sender.NewSecret(), sender.NewSecret()}
	signature, err := sender.Sign(made, "evt_1", now, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	header := delivery(t, now, secret)
	header.Set("webhook-signature", signature)
	for _, s := range made {
		if _, err := webhook.Verify([]byte(body), header, s); err != nil {
			t.Error(err)
		}
	}
}

func TestBadSecrets(t *testing.T) {
	header := delivery(t, time.Now(), secret)
	for _, secrets := range [][]string{nil, {""}, {"whsec_"}, {secret, ""}, {"whsec_?"}} {
		if _, err := webhook.Verify([]byte(body), header, secrets...); err == nil || strings.Contains(err.Error(), "MfKQ") {
			t.Errorf("%q: %v", secrets, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("evt_1", "1787493909", "v1,AAAA", []byte(body))
	f.Fuzz(func(t *testing.T, id, stamp, signature string, body []byte) {
		header := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {stamp}, "Webhook-Signature": {signature}}
		if event, err := webhook.Verify(body, header, secret); err == nil {
			t.Errorf("accepted %+v", event)
		}
	})
}
