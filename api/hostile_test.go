package api

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// Whatever a body is, it costs memory in proportion to what is read of it, and an
// answer comes.
func TestHostileBodiesAreBounded(t *testing.T) {
	h := openHouse(t)
	repeat := func(start, part, end string, n int) func() io.Reader {
		return func() io.Reader { return strings.NewReader(start + strings.Repeat(part, n) + end) }
	}
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	if _, err := io.Copy(z, zeros(64<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	const million = 1_000_000
	for _, c := range []struct {
		name   string
		body   func() io.Reader
		code   code
		change asker
	}{
		{"deep arrays", repeat("", "[", "", million), malformedJSON, nil},
		{"deep objects", repeat("", `{"a":`, "", million), malformedJSON, nil},
		{"many members", repeat("{", `"a":1,`, `"b":2}`, million), duplicateMember, nil},
		{"many values", repeat(`{"to":[`, "1,", "1]}", million), validationFailed, nil},
		{"a long text", repeat(`{"text":"`, "0123456789", `"}`, million), validationFailed, nil},
		{"a long text of escapes", repeat(`{"text":"`, `\u0000`, `"}`, million), validationFailed, nil},
		{"a long number", repeat(`{"ttl_seconds":`, "9", "}", million), validationFailed, nil},
		{"a long name", repeat(`{"`, "a", `":1}`, million), validationFailed, nil},
		{"white space", repeat("", " ", "{}", 20*million), validationFailed, nil},
		{"nothing but white space", repeat("", "\n", "", 20*million), malformedJSON, nil},
		{"not UTF-8", repeat(`{"text":"`, "\xff", `"}`, million), malformedJSON, nil},
		{"endless", func() io.Reader { return io.MultiReader(strings.NewReader(`{"text":"`), zeros(maxBody+1<<20)) }, requestTooLarge, nil},
		{"compressed", func() io.Reader { return bytes.NewReader(bomb.Bytes()) }, unsupportedMediaType, header("Content-Encoding", "gzip")},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		change := []asker{}
		if c.change != nil {
			change = append(change, c.change)
		}
		a := h.do("POST", "/v1/messages", c.body(), change...)
		runtime.ReadMemStats(&after)
		if a.code() != string(c.code) {
			t.Errorf("%s: %d %.300s", c.name, a.status, a.raw)
		}
		// The test's own copy of the body is in it, too.
		if used := int64(after.TotalAlloc - before.TotalAlloc); used > 12*maxBody {
			t.Errorf("%s: %d MiB were allocated", c.name, used>>20)
		}
		if len(a.raw) > 16<<10 {
			t.Errorf("%s: the answer has %d octets", c.name, len(a.raw))
		}
	}
}

// What is wrong with a message of a batch is shown where it stands, which must not cost
// the more for each the more there is.
func TestHostileBatchesAreBounded(t *testing.T) {
	h := openHouse(t)
	members := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"m%d":1,`, i)
		}
		return `{` + b.String() + `"z":1}`
	}
	for name, body := range map[string]string{
		"one message":  batchOf("", members(90_000)),
		"many":         batchOf("", slices.Repeat([]string{members(190)}, 200)...),
		"the defaults": batchOf(`"defaults":`+members(190)+`,`, slices.Repeat([]string{`{}`}, 500)...),
	} {
		began := time.Now()
		atomic := h.post("/v1/messages/batch", body)
		h.want(atomic, 422, string(validationFailed))
		if len(atomic.faults()) != maxErrors || atomic.body["truncated"] != true {
			t.Errorf("%s: %d faults, truncated %v", name, len(atomic.faults()), atomic.body["truncated"])
		}
		partial := h.post("/v1/messages/batch", strings.Replace(body, "{", `{"mode":"partial",`, 1))
		h.want(partial, 422, string(batchRejected))
		first, _ := partial.results()[0]["error"].(map[string]any)
		if list, _ := first["errors"].([]any); len(list) != maxErrors || first["truncated"] != true {
			t.Errorf("%s: an error of %d faults, truncated %v", name, len(list), first["truncated"])
		}
		if took := time.Since(began); took > 2*time.Minute { // place by place it would be hours
			t.Errorf("%s took %v", name, took)
		}
	}
}
