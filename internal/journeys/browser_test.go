package journeys

import (
	"encoding/json"
	"maps"
	"testing"

	"postrider/internal/apptest"
)

// browser is a Chromium that takes steps: tools/browser/run.mjs.
type browser struct {
	node *apptest.Node
	// with is what every step is told, beside its own arguments.
	with map[string]any
}

// startBrowser starts one for pages of base. It ends with the test.
func startBrowser(t *testing.T, base string) *browser {
	t.Helper()
	return &browser{node: apptest.StartNode(t, "browser/run.mjs"), with: map[string]any{"base": base}}
}

// args are what a step is told.
type args map[string]any

// do takes a step, and gives its result to those who want one.
func (b *browser) do(t *testing.T, step string, own args, result any) {
	t.Helper()
	all := maps.Clone(b.with)
	maps.Copy(all, own)
	var answer struct {
		Result json.RawMessage
		Error  string
	}
	b.node.Ask(t, map[string]any{"step": step, "args": all}, &answer)
	if answer.Error != "" {
		t.Fatalf("%s: %s", step, answer.Error)
	}
	if result != nil {
		if err := json.Unmarshal(answer.Result, result); err != nil {
			t.Fatalf("%s: %v", step, err)
		}
	}
}

// screen is what a reader sits before.
type screen struct {
	name  string
	width int
}

func screens() []screen { return []screen{{"desk", 1280}, {"phone", 375}} }
