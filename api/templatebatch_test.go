package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// What rendering all of a batch may cost: its 5 s and 64 MiB, and as much again for the last
// message that is made, the answer, and machines that are busy with other tests. The memory is
// that of the texts, of the mails composed of them, and of the request.
const (
	batchTime   = 15 * time.Second
	batchMemory = 512 << 20
)

// A batch of 500 messages has one budget: what is beyond it is refused, the messages that it
// is about are named, and neither time nor memory grow with what was asked for.
func TestBatchesOfTemplatesHaveABudget(t *testing.T) {
	list := func(n int) string { return `{"a":[` + strings.Repeat("1,", n-1) + `1]}` }
	for _, c := range []struct {
		name, html, data string
		first            int // the first message that is beyond it, if time does not end it before
	}{
		{"long texts", "{{#each a}}<p>" + strings.Repeat("x", 2000) + "</p>{{/each}}", list(150), 112},
		{"long styles", "<style>p{font-family:" + strings.Repeat("x", 20_000) + "}</style>" + strings.Repeat("<p>x</p>", 40), list(1), 84},
		{"much work", "{{#each a}}{{#each @root.a}}" + strings.Repeat("{{#if @root.b}}{{/if}}", 100) + "{{/each}}{{/each}}x", list(90), 500},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := openHouse(t)
			body, err := encode(map[string]any{"alias": "big", "name": "N", "from": "a@acme.com", "subject": "s", "html": c.html})
			if err != nil {
				t.Fatal(err)
			}
			h.published(string(body))
			messages := make([]string, 500)
			for i := range messages {
				messages[i] = fmt.Sprintf(`{"to":"b%d@example.org"}`, i)
			}
			batch := batchOf(`"defaults":{"template":{"id":"big","variables":`+c.data+`}},`, messages...)
			a, took, peak := cost(func() *answer { return h.post("/v1/messages/batch", batch) })
			h.want(a, http.StatusUnprocessableEntity, string(validationFailed))
			faults, _ := a.body["errors"].([]any)
			t.Logf("%v, %d MiB, %d errors: %v", took.Round(time.Millisecond), peak>>20, len(faults), faults[0])
			at := -1
			for _, f := range faults { // before it one may take longer than it may itself, if the machine is busy
				fault := f.(map[string]any)
				if fault["code"] != string(templateRenderFailed) {
					t.Errorf("the error %v", fault)
				}
				if strings.Contains(fault["detail"].(string), "send fewer at once") {
					_, err = fmt.Sscanf(fault["pointer"].(string), "#/messages/%d", &at)
					break
				}
			}
			if at < 0 || err != nil {
				t.Fatalf("no message is named: %.500s", a.raw)
			}
			if at > c.first || at != c.first && took < 5*time.Second {
				t.Errorf("the first message that is refused is %d, want %d, or an earlier one after 5 s", at, c.first)
			}
			if took > batchTime || peak > batchMemory {
				t.Errorf("took %v and %d MiB", took, peak>>20)
			}
			h.wantNothing()
			if c.first == len(messages) {
				return
			}
			// What fits is accepted, of the same template.
			h.want(h.post("/v1/messages/batch", batchOf(`"defaults":{"template":{"id":"big","variables":`+c.data+`}},`, messages[:20]...)), http.StatusAccepted, "")
		})
	}
}
