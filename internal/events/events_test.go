package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"postrider/internal/email"
)

// hostile are texts that encoders differ on.
func hostile() []string {
	return []string{
		`<a@b> & "c" 'd' \ /`, "\u2028\u2029", "\u2028\\u2028", "emoji \U0001f600, \u00e9", "\x00\x01\x1f\x7f\b\f\n\r\t", "not \xff UTF-8 \xed\xa0\x80",
		"\ufffd", `\ufffd`, `\\u2029`, "\u202e\u0085\u00a0\ufeff", "",
	}
}

func at() time.Time { return time.Date(2026, 8, 23, 14, 5, 12, 4e6, time.UTC) }

// telling is a message and an event of a status with one text wherever text can be.
func telling(status email.Status, text string) (*email.Message, email.Event) {
	m := sampleMessage(email.Live, at())
	m.From.Name, m.Subject, m.Tags = text, text, []string{text, "b"}
	m.Metadata = map[string]string{
		"10": text, "9": "nine", "b": "2", "a": "1", "": "empty", "-1": "x", "01": "y", "4294967295": "z", "4294967294": "w", text: text, "__proto__": "p",
	}
	m.Recipients[0].State.SuppressionID = "sup_1"
	e := email.Event{ID: email.NewID(email.EventPrefix), Type: email.TypeFor(status), At: at(), Status: status, Previous: email.Queued, Seq: 3, Attempts: 1}
	sampleDetails(&e, at())
	e.Detail, e.Reason, e.Category = text, text, text
	if e.Reply != nil {
		e.Reply.Text, e.Reply.MXHost = text, text
	}
	return m, e
}

// The octets survive a JavaScript program that parses them and writes them again:
// JSON.stringify(JSON.parse(body)) === body.
func TestBodyIsStable(t *testing.T) {
	for _, status := range email.RecipientStatuses() {
		for _, text := range hostile() {
			m, e := telling(status, text)
			body, err := Body(m, e)
			if err != nil {
				t.Fatal(err)
			}
			if again := stringify(t, body); !bytes.Equal(again, body) {
				t.Errorf("%s with %q:\n%s\nbecomes\n%s", status, text, body, again)
			}
			data, err := Data(m, e)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasSuffix(body, append(append([]byte(`"data":`), data...), '}')) {
				t.Errorf("the body does not hold the data's octets:\n%s\n%s", body, data)
			}
		}
	}
}

// stringify is JSON.stringify(JSON.parse(raw)) by ECMA-262.
func stringify(t *testing.T, raw []byte) []byte {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var b bytes.Buffer
	value(t, dec, &b)
	if _, err := dec.Token(); err != io.EOF {
		t.Errorf("something follows the value: %v", err)
	}
	return b.Bytes()
}

func value(t *testing.T, dec *json.Decoder, b *bytes.Buffer) {
	t.Helper()
	token, err := dec.Token()
	if err != nil {
		t.Fatal(err)
	}
	switch v := token.(type) {
	case json.Delim:
		if v == '[' {
			elements(t, dec, b)
		} else {
			members(t, dec, b)
		}
	case string:
		quote(b, v)
	case json.Number:
		if n, err := strconv.ParseInt(v.String(), 10, 64); err != nil || n >= 1<<53 {
			t.Errorf("%s is no number that JavaScript keeps", v)
		}
		b.WriteString(v.String())
	case bool:
		fmt.Fprint(b, v)
	case nil:
		b.WriteString("null")
	}
}

func elements(t *testing.T, dec *json.Decoder, b *bytes.Buffer) {
	t.Helper()
	b.WriteByte('[')
	for i := 0; dec.More(); i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		value(t, dec, b)
	}
	_, _ = dec.Token()
	b.WriteByte(']')
}

// members keeps the order of ECMA-262 10.1.11.1: array indexes by number, then the
// rest as they came.
func members(t *testing.T, dec *json.Decoder, b *bytes.Buffer) {
	t.Helper()
	var indexes []uint64
	var names []string
	values := map[string][]byte{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			t.Fatal(err)
		}
		name := token.(string)
		var v bytes.Buffer
		value(t, dec, &v)
		if values[name] != nil {
			t.Errorf("member %q twice", name)
		}
		values[name] = v.Bytes()
		if n, err := strconv.ParseUint(name, 10, 64); err == nil && n < 1<<32-1 && fmt.Sprint(n) == name {
			indexes = append(indexes, n)
		} else {
			names = append(names, name)
		}
	}
	_, _ = dec.Token()
	slices.Sort(indexes)
	for i := len(indexes) - 1; i >= 0; i-- {
		names = append([]string{fmt.Sprint(indexes[i])}, names...)
	}
	b.WriteByte('{')
	for i, name := range names {
		if i > 0 {
			b.WriteByte(',')
		}
		quote(b, name)
		b.WriteByte(':')
		b.Write(values[name])
	}
	b.WriteByte('}')
}

// quote is ECMA-262 25.5.2.3, QuoteJSONString.
func quote(b *bytes.Buffer, s string) {
	short := map[rune]string{'\b': `\b`, '\t': `\t`, '\n': `\n`, '\f': `\f`, '\r': `\r`, '"': `\"`, '\\': `\\`}
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case short[r] != "":
			b.WriteString(short[r])
		case r < ' ':
			fmt.Fprintf(b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}

func TestBody(t *testing.T) {
	m := sampleMessage(email.Live, at())
	m.ID, m.MessageID = "msg_1", "<msg_1@acme.example>"
	e := email.Event{ID: "evt_1", Type: "message.bounced", At: at(), Status: email.Bounced, Previous: email.Queued, Seq: 3, Attempts: 1}
	sampleDetails(&e, at())
	body, err := Body(m, e)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		`{"id":"evt_1","type":"message.bounced","timestamp":"2026-08-23T14:05:12.004Z","livemode":true,"data":{`,
		`"message":{"id":"msg_1","message_id":"<msg_1@acme.example>","created_at":"2026-08-23T14:05:10.004Z",`,
		`"from":{"email":"hi@acme.example","name":"Acme"},"subject":"A sample from your webhook test","tags":["sample"],`,
		`"metadata":{"sample":"true"},"template":null,"stream":"transactional","batch_id":null},`,
		`"recipient":{"email":"ada@example.org","type":"to","status":"bounced","previous_status":"queued","seq":3,"attempts":1},`,
		`"smtp":{"code":550,"enhanced_code":"5.1.1","text":"user unknown","mx_host":"mx1.example.org","tls_version":"TLS1.3"},`,
		`"bounce":{"type":"hard","category":"invalid_recipient","source":"smtp","suppression_id":null}}}`,
	}, "")
	if string(body) != want {
		t.Errorf("got\n%s\nwant\n%s", body, want)
	}
	e.Recipient = 1
	if _, err := Body(m, e); err == nil {
		t.Error("an event of a recipient that is not there has a body")
	}
}

// Whatever the limits of the API let in, a payload stays below 20 KB.
func TestBodySize(t *testing.T) {
	m, e := telling(email.Bounced, "x")
	m.Subject, m.From.Name = strings.Repeat("s", 998), strings.Repeat("n", 998)
	m.Metadata = map[string]string{"m": strings.Repeat("m", 4096)}
	for range 10 {
		m.Tags = append(m.Tags, strings.Repeat("t", 256))
	}
	e.Reply.Text = strings.Repeat("r", 1024)
	body, err := Body(m, e)
	if err != nil || len(body) >= 20_000 {
		t.Errorf("%d octets, %v", len(body), err)
	}
}

func TestSample(t *testing.T) {
	for _, kind := range append(Types(), WebhookTest) {
		id, body, err := Sample(email.Test, kind, "wh_1", at())
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			ID       string         `json:"id"`
			Type     string         `json:"type"`
			Livemode *bool          `json:"livemode"`
			Data     map[string]any `json:"data"`
		}
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		if got.ID != id || got.Type != string(kind) || got.Livemode == nil || *got.Livemode || len(got.Data) == 0 {
			t.Errorf("%s: %s", kind, body)
		}
		if again := stringify(t, body); !bytes.Equal(again, body) {
			t.Errorf("%s becomes %s", body, again)
		}
	}
	if _, _, err := Sample(email.Test, "message.sent", "wh_1", at()); err == nil {
		t.Error("there is a sample of what does not happen")
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		patterns string
		event    email.EventType
		want     bool
	}{
		{"", "message.delivered", true},
		{"", "message.queued", false},
		{"", "message.scheduled", false},
		{"*", "message.queued", true},
		{"message.*", "message.queued", true},
		{"message.delivered", "message.delivered", true},
		{"message.delivered", "message.bounced", false},
		{"message.failed message.bounced", "message.bounced", true},
		{"message", "message.bounced", false},
		{"domain.*", "message.bounced", false},
		{".*", "message.bounced", false},
	} {
		if got := Match(strings.Fields(c.patterns), c.event); got != c.want {
			t.Errorf("Match(%q, %s) = %v", c.patterns, c.event, got)
		}
	}
	for pattern, want := range map[string]bool{
		"*": true, "message.*": true, "message.bounced": true, "": false, "message": false, "message.sent": false, "me*": false,
		".*": false, "message.*.*": false, "MESSAGE.BOUNCED": false, "*.bounced": false,
	} {
		if got := CheckPattern(pattern) == nil; got != want {
			t.Errorf("CheckPattern(%q) passes: %v, want %v", pattern, got, want)
		}
	}
	for _, name := range Default() {
		if CheckPattern(name) != nil {
			t.Errorf("%s is on by default and no event", name)
		}
	}
}
