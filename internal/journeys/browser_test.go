package journeys

import (
	"bufio"
	"encoding/json"
	"io"
	"maps"
	"os"
	"os/exec"
	"testing"
)

// browser is a Chromium that takes steps: tools/browser/run.mjs.
type browser struct {
	in  io.WriteCloser
	out *bufio.Scanner
	// with is what every step is told, beside its own arguments.
	with map[string]any
}

// startBrowser starts one for pages of base. It ends with the test.
func startBrowser(t *testing.T, base string) *browser {
	t.Helper()
	c := exec.Command("node", "../../tools/browser/run.mjs") // it ends with its input
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatalf("%v: run tools/test-tools.sh first", err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := c.Wait(); err != nil {
			t.Errorf("node: %v: if something is missing, tools/test-tools.sh installs it", err)
		}
	})
	s := bufio.NewScanner(out)
	s.Buffer(nil, 8<<20)
	return &browser{in: in, out: s, with: map[string]any{"base": base}}
}

// args are what a step is told.
type args map[string]any

// do takes a step, and gives its result to those who want one.
func (b *browser) do(t *testing.T, step string, own args, result any) {
	t.Helper()
	all := maps.Clone(b.with)
	maps.Copy(all, own)
	raw, err := json.Marshal(map[string]any{"step": step, "args": all})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.in.Write(append(raw, '\n')); err != nil {
		t.Fatalf("%s: the browser takes no more steps: %v", step, err)
	}
	if !b.out.Scan() {
		t.Fatalf("%s: the browser answers no more: %v", step, b.out.Err())
	}
	var answer struct {
		Result json.RawMessage
		Error  string
	}
	if err := json.Unmarshal(b.out.Bytes(), &answer); err != nil {
		t.Fatalf("%s: %v", step, err)
	}
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
