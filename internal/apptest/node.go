package apptest

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"testing"
)

// maxAnswer is the longest line that a script may answer.
const maxAnswer = 8 << 20

// Node is a script that answers each line of JSON by one.
type Node struct {
	in  io.WriteCloser
	out *bufio.Scanner
}

// StartNode runs a script of tools/, named from there, until the test ends. What it needs,
// tools/test-tools.sh has brought.
func StartNode(t *testing.T, script string) *Node {
	t.Helper()
	c := exec.Command("node", "../../tools/"+script) // it ends with its input
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
	n := &Node{in: in, out: bufio.NewScanner(out)}
	n.out.Buffer(nil, maxAnswer)
	return n
}

// Ask asks one question and reads its answer.
func (n *Node) Ask(t *testing.T, question, answer any) {
	t.Helper()
	raw, err := json.Marshal(question)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.in.Write(append(raw, '\n')); err != nil {
		t.Fatalf("%s: node takes no more: %v", raw, err)
	}
	if !n.out.Scan() {
		t.Fatalf("%s: node answers no more: %v", raw, n.out.Err())
	}
	if err := json.Unmarshal(n.out.Bytes(), answer); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
}
