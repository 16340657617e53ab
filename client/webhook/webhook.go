// Package webhook verifies what Postrider posts to an app, and reads it.
//
// Deliveries follow Standard Webhooks 1.0. Give Verify the body exactly as it
// came, before any JSON parser, and the secret that the endpoint was made with:
//
//	event, err := webhook.Verify(body, r.Header, os.Getenv("POSTRIDER_WEBHOOK_SECRET"))
//
// While a secret is being replaced, give the old and the new one.
//
// A verified event may still be one that came before (remember event.ID), or be
// overtaken by a later one (compare event.Data.Recipient.Seq); see docs/webhooks.md.
package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"postrider/client"
)

// Tolerance is how far the time of a delivery may be from now, either way. What is
// older may be a copy that somebody posts again.
const Tolerance = 5 * time.Minute

// What Verify finds wrong. Answer with 401 and do nothing else.
var (
	ErrHeaders   = errors.New("webhook-id, webhook-timestamp or webhook-signature is missing or malformed")
	ErrTimestamp = errors.New("webhook-timestamp is more than five minutes off: a copy, or one of the clocks is wrong")
	ErrSignature = errors.New("webhook-signature fits none of the secrets: not from Postrider, altered, or another endpoint's")
)

// Verify checks that a delivery is genuine and fresh, and reads its event. It must
// be signed with one of the secrets (whsec_...).
func Verify(body []byte, header http.Header, secrets ...string) (*client.Event, error) {
	keys, err := decode(secrets)
	if err != nil {
		return nil, err
	}
	id, stamp := header.Get("webhook-id"), header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if id == "" || err != nil || header.Get("webhook-signature") == "" {
		return nil, ErrHeaders
	}
	if !signed(keys, header.Get("webhook-signature"), id+"."+stamp+".", body) {
		return nil, ErrSignature
	}
	if off := time.Since(time.Unix(seconds, 0)); off > Tolerance || off < -Tolerance {
		return nil, ErrTimestamp
	}
	var event client.Event
	if err := json.Unmarshal(body, &event); err != nil {
		return nil, fmt.Errorf("read the event: %w", err)
	}
	return &event, nil
}

func decode(secrets []string) ([][]byte, error) {
	if len(secrets) == 0 {
		return nil, errors.New("no webhook secret is given")
	}
	keys := make([][]byte, len(secrets))
	for i, secret := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil || len(key) == 0 {
			// An empty key would accept what anybody can sign.
			return nil, fmt.Errorf("webhook secret %d of %d is empty or not whsec_ and base64", i+1, len(secrets))
		}
		keys[i] = key
	}
	return keys, nil
}

// signed reports whether one of the signatures is by one of the keys. How long it
// takes tells nothing about the right ones.
func signed(keys [][]byte, signatures, head string, body []byte) bool {
	for _, key := range keys {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(head))
		mac.Write(body)
		want := []byte("v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		for signature := range strings.FieldsSeq(signatures) {
			if hmac.Equal([]byte(signature), want) {
				return true
			}
		}
	}
	return false
}
