package compose

import (
	"bytes"
	"strings"
	"testing"

	"github.com/emersion/go-message"

	"postrider/internal/email"
)

// The longest values that intake lets through fold, and read back as they were.
func TestLongFieldsFoldAndReadBack(t *testing.T) {
	var ids []string
	for range 200 {
		ids = append(ids, "<20260823.4711."+strings.Repeat("x", 12)+"@example.org>")
	}
	headers := map[string]string{
		"References":   strings.Join(ids, " "),
		"X-Words":      strings.TrimSpace(strings.Repeat("seven77 ", 1024)),
		"X-One-Word":   strings.Repeat("x", 8192),
		"X-Long-Words": strings.TrimSpace(strings.Repeat(strings.Repeat("y", 900)+" ", 9)),
		"X-Tabs":       strings.TrimSpace(strings.Repeat("a\tb c", 1500)),
		"X-UTF-8":      strings.Repeat("ü🚚 ", 1100) + "end",
	}
	c := &email.Content{Text: "Hi"}
	for name, value := range headers {
		c.Headers = append(c.Headers, email.Header{Name: name, Value: value})
	}
	raw := compose(t, plainMessage(), c)
	if faults := wireFaults(raw); faults != nil {
		t.Error(faults)
	}
	entity, err := message.Read(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range headers {
		got, err := entity.Header.Text(name)
		if err != nil || got != want {
			t.Errorf("%s: %d octets, want %d; %v", name, len(got), len(want), err)
		}
	}
}
