package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"mime"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"postrider/internal/compose"
	"postrider/internal/email"
	"postrider/internal/redistest"
)

// The acceptance checks of the contract, each named after its number.

// 1: the same request and key, many times at once, is one message.
func TestAcceptance01EqualRequestsAreOneMessage(t *testing.T) {
	const requests = 100
	for route, body := range map[string]string{"/v1/messages": minimal, "/v1/messages/batch": batchOf("", minimal)} {
		h := openHouseAt(t, redistest.Server(t))
		answers := make([]*answer, requests)
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() { answers[i] = h.post(route, body, header("Idempotency-Key", "same")) })
		}
		wg.Wait()
		fresh := 0
		for _, a := range answers {
			if a.status != 202 || !bytes.Equal(a.raw, answers[0].raw) {
				t.Fatalf("%s: answer %d %s, another was %s", route, a.status, a.raw, answers[0].raw)
			}
			if a.header.Get("Idempotent-Replayed") == "" {
				fresh++
			}
		}
		if n := len(h.get("/v1/messages").data()); fresh != 1 || n != 1 || h.jobs.count() != 1 {
			t.Errorf("%s: %d fresh answers, %d messages, %d jobs; want one of each", route, fresh, n, h.jobs.count())
		}
	}
}

// 2, between the steps: the reply of the store is lost at any of them, and the caller
// tries again. (With processes that are killed: package cmd/postrider.)
func TestAcceptance02LostRepliesAreOneMessage(t *testing.T) {
	for route, body := range map[string]string{"/v1/messages": minimal, "/v1/messages/batch": batchOf("", minimal, minimal)} {
		want := strings.Count(body, "subject")
		for lost := range 6 {
			behind := redistest.InProcess(t)
			proxy := redistest.NewProxy(t, behind)
			h := openHouseAt(t, proxy.URL)
			h.post(route, body) // the scripts are known from now on
			before := len(h.get("/v1/messages").data())
			seen := 0
			proxy.Lose(func([]byte) bool { seen++; return seen == lost+1 })
			a := h.post(route, body, header("Idempotency-Key", "lost"))
			if a.status != 202 && a.status != 503 {
				t.Fatalf("%s, reply %d lost: %d %s", route, lost, a.status, a.raw)
			}
			proxy.Lose(func([]byte) bool { return false })
			again := h.post(route, body, header("Idempotency-Key", "lost"))
			if again.status != 202 || a.status == 202 && !bytes.Equal(a.raw, again.raw) {
				t.Errorf("%s, reply %d lost: again %d %s, first %s", route, lost, again.status, again.raw, a.raw)
			}
			if n := len(h.get("/v1/messages").data()) - before; n != want {
				t.Errorf("%s, reply %d lost: %d messages, want %d", route, lost, n, want)
			}
		}
	}
}

// 3: what counts as the same request, and that a refusal leaves the key free.
func TestAcceptance03SameRequest(t *testing.T) {
	h := openHouse(t)
	key := header("Idempotency-Key", "welcome/42")
	h.want(h.post("/v1/messages", `{"from":"Acme <hi@acme.com>","to":"ada","subject":"Hello","text":"Hi"}`, key), 422, string(validationFailed))
	first := h.post("/v1/messages", minimal, key)
	if first.status != 202 || first.header.Get("Idempotent-Replayed") != "" {
		t.Fatalf("the fixed body: %d %s", first.status, first.raw)
	}
	again := h.post("/messages", "\n{\"text\":\"H\\u0069\", \"subject\":\"Hello\",\t\"to\":\"ada@example.org\",\"from\":\"Acme <hi@acme.com>\",\"html\":null}", key)
	if again.status != 202 || again.header.Get("Idempotent-Replayed") != "true" || !bytes.Equal(again.raw, first.raw) {
		t.Errorf("other order and white space: %d %s", again.status, again.raw)
	}
	h.want(h.post("/v1/messages", strings.Replace(minimal, `"Hi"`, `"Ho"`, 1), key), 422, string(idempotencyKeyReused))
	h.want(h.post("/v1/messages", minimal[:20], key), 400, string(malformedJSON))
}

// 8: whatever is in a name, a subject, a header or a file name, it makes no second
// header field and no other recipient.
func TestAcceptance08NoInjection(t *testing.T) {
	h := openHouse(t)
	nasty := []string{
		"\r\nBcc: eve@evil.example", "\nX: 1", "\x00", "a\u2028b", "é\r\n\r\nbody", `"quoted" <eve@evil.example>`, "eve@evil.example,", ";", "=?utf-8?q?=0ABcc:_eve@evil.example?=",
		"\u202etxt.exe", strings.Repeat("long ", 150), "名前", "\t", "a:b", "<>", "\\", "%0d%0aBcc: eve@evil.example",
	}
	r := rand.New(rand.NewPCG(8, 1))
	text := func() string {
		var b strings.Builder
		for range 1 + r.IntN(3) {
			b.WriteString(nasty[r.IntN(len(nasty))] + "x")
		}
		return b.String()
	}
	taken := 0
	for range 400 {
		// One of them at a time: most of these are refused, and what is taken is the point.
		texts := []string{"A", "B", "s", "v", "a"}
		texts[r.IntN(len(texts))] = text()
		body, err := json.Marshal(map[string]any{
			"from": map[string]string{"email": "a@acme.com", "name": texts[0]}, "to": []any{map[string]string{"email": "ada@example.org", "name": texts[1]}},
			"subject": texts[2], "text": "t", "headers": map[string]string{"X-Note": texts[3]},
			"attachments": []any{map[string]string{"filename": texts[4] + ".txt", "content": "QQ=="}},
		})
		if err != nil {
			t.Fatal(err)
		}
		a := h.post("/v1/messages", string(body))
		if a.status == 422 {
			continue
		}
		taken++
		h.checkComposed(a.id())
	}
	if taken < 10 {
		t.Errorf("only %d of 400 were taken: the check says little", taken)
	}
}

// checkComposed reads a mail back: these fields, this recipient, and nothing else.
func (h *house) checkComposed(id string) {
	h.t.Helper()
	m, err := h.store.Messages.Get(h.t.Context(), email.Test, id)
	if err != nil {
		h.t.Fatal(err)
	}
	content, err := h.store.Messages.Content(h.t.Context(), email.Test, id)
	if err != nil {
		h.t.Fatal(err)
	}
	raw, err := compose.Message(m, content)
	if err != nil {
		h.t.Fatal(err)
	}
	read, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		h.t.Fatalf("%v\n%s", err, raw)
	}
	var names []string
	for name, values := range read.Header {
		names = append(names, fmt.Sprint(name, len(values)))
	}
	slices.Sort(names)
	want := []string{"Content-Type1", "Date1", "From1", "Message-Id1", "Mime-Version1", "Subject1", "To1", "X-Note1"}
	to, err := read.Header.AddressList("To")
	if !slices.Equal(names, want) || err != nil || len(to) != 1 || to[0].Address != "ada@example.org" || len(m.Recipients) != 1 {
		h.t.Errorf("fields %q, to %v, %v\n%s", names, to, err, raw)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(read.Header.Get("Subject"))
	if err != nil || !utf8.ValidString(subject) {
		h.t.Errorf("subject: %v", err)
	}
	if bytes.Contains(raw, []byte("\nBcc:")) || bytes.Contains(raw, []byte(base64.StdEncoding.EncodeToString([]byte("\r\n")))) {
		h.t.Errorf("injected:\n%s", raw)
	}
}
