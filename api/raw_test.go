package api

import (
	"context"
	"strings"
	"testing"
	"time"

	"postrider/internal/email"
	"postrider/internal/sign"
	"postrider/internal/store"
)

// What is shown is what goes over the wire, before the first attempt and after it.
func TestRaw(t *testing.T) {
	h := openHouse(t)
	id := h.send(rich)
	before := h.get("/v1/messages/" + id + "/raw")
	if before.status != 200 || before.header.Get("Content-Type") != "message/rfc822" ||
		!strings.HasPrefix(string(before.raw), "DKIM-Signature:") || strings.Contains(string(before.raw), "Bcc:") {
		t.Errorf("%d %s\n%.300s", before.status, before.header.Get("Content-Type"), before.raw)
	}
	ctx, now := context.Background(), time.Now()
	start, err := h.store.Messages.Begin(ctx, email.Test, id, 0, 0, "worker-1", now)
	if err != nil {
		t.Fatal(err)
	}
	// The attempt is made without a signature: so it stays.
	claim := store.Claim{World: email.Test, Message: id, Envelope: 0, Fence: start.Fence}
	if err := h.store.Messages.Mark(ctx, claim, start.Message.Envelopes[0].Recipients, nil, now); err != nil {
		t.Fatal(err)
	}
	msg, err := h.store.Messages.Get(ctx, email.Test, id)
	if err != nil {
		t.Fatal(err)
	}
	wire, err := sign.Envelope(ctx, signer{}, sign.Order{Message: msg, Content: start.Content, Composed: start.Composed})
	if err != nil {
		t.Fatal(err)
	}
	after := h.get("/messages/" + id + "/raw")
	if string(after.raw) != string(wire.Data) || strings.HasPrefix(string(after.raw), "DKIM-Signature:") {
		t.Errorf("shown is not what was sent:\n%.300s", after.raw)
	}
	if head := h.do("HEAD", "/v1/messages/"+id+"/raw", nil); head.status != 200 || len(head.raw) != 0 {
		t.Errorf("HEAD: %d, %d octets", head.status, len(head.raw))
	}
}

// Each recipient says what it waits for.
func TestWaitingFor(t *testing.T) {
	h := openHouse(t)
	soon := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	scheduled := h.send(strings.Replace(minimal, `"text"`, `"scheduled_at":"`+soon+`","text"`, 1))
	retried, done, held := h.send(minimal), h.send(minimal), h.send(minimal)
	h.conclude(retried, 0, deferred())
	h.conclude(done, 0, delivered())
	ctx, now := context.Background(), time.Now()
	start, err := h.store.Messages.Begin(ctx, email.Test, held, 0, 0, "worker-1", now)
	if err != nil {
		t.Fatal(err)
	}
	claim := store.Claim{World: email.Test, Message: held, Envelope: 0, Fence: start.Fence}
	wait := store.Wait{Until: now.Add(time.Minute), Hold: email.HoldProvider, Detail: "mx.example is busy"}
	if _, err := h.store.Messages.Release(ctx, claim, wait, now); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]any{
		h.send(minimal): "queue", scheduled: "schedule", retried: "retry", held: "provider_limit", done: nil,
	} {
		recipient := h.get("/v1/messages/" + id).body["recipients"].([]any)[0].(map[string]any)
		waiting, _ := recipient["waiting_for"].(map[string]any)
		if waiting["reason"] != want {
			t.Errorf("%s recipient waits for %v, want %v", recipient["status"], recipient["waiting_for"], want)
		}
		if want == "provider_limit" && waiting["detail"] != "mx.example is busy" || want == "schedule" && waiting["until"] == nil {
			t.Errorf("it waits for %v", waiting)
		}
	}
}
