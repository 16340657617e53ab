package domains

import (
	"bytes"
	"testing"
	"time"

	verifier "github.com/emersion/go-msgauth/dkim"

	"postrider/internal/dkim"
)

// What the keys sign passes a verifier that knows nothing but the records as they
// are published.
func TestSignaturesFitTheRecords(t *testing.T) {
	h := newHouse(t)
	_, records := h.add(t, "acme.com")
	for _, r := range records[:2] {
		h.publish(r)
	}
	if _, _, err := h.Check(t.Context(), "acme.com"); err != nil {
		t.Fatal(err)
	}
	keys, err := h.Keys(t.Context(), "acme.com", nil)
	if err != nil || len(keys) != 2 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	mail := "From: ada@acme.com\r\nTo: bob@example.org\r\nSubject: hello\r\nDate: Mon, 02 Jan 2006 15:04:05 +0000\r\n" +
		"Message-ID: <1@acme.com>\r\n\r\nHello.\r\n"
	signed, err := dkim.Sign([]byte(mail), keys, time.Now(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	results, err := verifier.VerifyWithOptions(bytes.NewReader(signed), &verifier.VerifyOptions{
		LookupTXT: func(name string) ([]string, error) { return h.zone.TXT(t.Context(), name) },
	})
	if err != nil || len(results) != 2 {
		t.Fatalf("%d results, %v", len(results), err)
	}
	for _, r := range results {
		if r.Err != nil || r.Domain != "acme.com" {
			t.Errorf("signature of %s: %v", r.Domain, r.Err)
		}
	}
}
