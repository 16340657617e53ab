package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// folder writes files into a new folder.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		put(t, filepath.Join(dir, name), content)
	}
	return dir
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// contents reads a folder.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	found, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range found {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name, _ := filepath.Rel(dir, path)
		out[name] = string(raw)
	}
	return out
}

// shopFolder is a message with a layout and partials that call each other.
func shopFolder() map[string]string {
	return map[string]string{
		"order/template.yaml": "# reviewed\nname: Order\nlayout: frame\nfrom: Acme <hi@acme.com>\nsubject: Order {{order.id}}\nvariables:\n" +
			"  - key: order\n    type: object\n    example: {id: A-1, total: 19.90, count: 3}\n  - {key: greeting, type: string, default: Hello}\n",
		"order/body.html":      "<p>{{greeting}}</p>\n{{> a-row}}\n",
		"order/body.txt":       "{{greeting}}: {{order.id}}\n",
		"order/sample.json":    `{"order":{"id":"A-1","total":"5"},"url":"https://acme.com/"}`,
		"frame/template.yaml":  "name: Frame\nkind: layout\n",
		"frame/body.html":      "<main>{{{content}}}</main>\n",
		"a-row/template.yaml":  "name: Row\nkind: partial\n",
		"a-row/body.html":      "<p>{{order.total}}</p>{{> z-link}}\n",
		"z-link/template.yaml": "name: Link\nkind: partial\n",
		"z-link/body.html":     "<a href=\"{{url}}\">See</a>\n",
		"README/notes.txt":     "no template",
	}
}

func TestTemplatesPushPullDiff(t *testing.T) {
	t.Parallel()
	d := startDev(t)
	sh := d.shell()
	dir := folder(t, shopFolder())
	do := func(status int, args ...string) string {
		t.Helper()
		got, out, errs := sh.run(t, append([]string{"templates"}, args...)...)
		if got != status {
			t.Fatalf("templates %v: %d, want %d\n%s%s", args, got, status, out, errs)
		}
		return out
	}
	dry := do(exitDiffers, "push", dir, "--dry-run", "--publish")
	if strings.Count(dry, "would create ") != 4 || strings.Count(dry, "would publish ") != 4 || len(d.call(t, "GET", "/v1/templates", "")["data"].([]any)) != 0 {
		t.Errorf("dry run:\n%s", dry)
	}
	pushed := do(0, "push", dir, "--publish")
	want := "create z-link (version 1)\ncreate a-row (version 1)\ncreate frame (version 1)\ncreate order (version 1)\n"
	if pushed != want+strings.ReplaceAll(want, "create", "publish") {
		t.Errorf("pushed:\n%s", pushed)
	}
	if again := do(0, "push", dir, "--publish") + do(0, "diff", dir) + do(0, "push", dir, "--dry-run", "--publish"); again != "" {
		t.Errorf("nothing changed, and yet:\n%s", again)
	}
	sent := d.call(t, "POST", "/messages", `{"to":"ada@example.org","template":{"id":"order","variables":{"order":{"id":"A-1","total":"5"},"url":"https://acme.com/"}}}`)
	got := d.call(t, "GET", "/messages/"+fmt.Sprint(sent["id"])+"?include=content", "")
	if got["html"] != "<main><p>Hello</p>\n<p>5</p><a href=\"https://acme.com/\">See</a>\n\n</main>\n" || got["text"] != "Hello: A-1\n" {
		t.Errorf("html %q, text %q", got["html"], got["text"])
	}

	other := filepath.Join(t.TempDir(), "new")
	do(exitDiffers, "pull", other, "--dry-run")
	do(0, "pull", other)
	wanted := shopFolder()
	for _, name := range []string{"order/sample.json", "README/notes.txt", "order/template.yaml"} {
		delete(wanted, name)
	}
	pulled := contents(t, other)
	head := pulled["order/template.yaml"]
	delete(pulled, "order/template.yaml")
	if diff := cmp.Diff(wanted, pulled); diff != "" || !strings.Contains(head, "total: 19.9\n") || !strings.Contains(head, "count: 3\n") {
		t.Errorf("pulled (-want +got):\n%s\n%s", diff, head)
	}
	before := contents(t, dir)
	if out := do(0, "pull", dir); out != "" || !maps.Equal(before, contents(t, dir)) {
		t.Errorf("a pull of what is there changed something:\n%s", out)
	}

	put(t, filepath.Join(dir, "frame", "body.html"), "<main class=\"x\">{{{content}}}</main>\n")
	put(t, filepath.Join(dir, "order", "body.txt"), "")
	changes := do(exitDiffers, "diff", dir)
	for _, line := range []string{
		"--- a/frame/body.html\n+++ b/frame/body.html\n", "\n-<main>{{{content}}}</main>\n", "\n+<main class=\"x\">{{{content}}}</main>\n",
		"--- a/order/body.txt\n+++ /dev/null\n",
	} {
		if !strings.Contains(changes, line) {
			t.Errorf("the diff lacks %q:\n%s", line, changes)
		}
	}
	if out := do(0, "push", dir); out != "update frame (version 2)\nupdate order (version 2)\n" {
		t.Errorf("pushed as drafts:\n%s", out)
	}
	if out := do(0, "push", dir, "--publish", "--json"); !strings.Contains(out, `{"alias":"frame","action":"publish","version":2}`) ||
		!strings.Contains(out, `{"alias":"z-link","action":"unchanged","version":1}`) {
		t.Errorf("published:\n%s", out)
	}
	if err := os.RemoveAll(filepath.Join(dir, "order")); err != nil {
		t.Fatal(err)
	}
	if out := do(exitDiffers, "diff", dir, "--json"); !strings.Contains(out, `"status":"only_on_server"`) {
		t.Errorf("diff as JSON:\n%s", out)
	}
	for _, name := range []string{"a-row", "z-link", "frame"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if out := do(0, "push", dir, "--delete"); strings.Count(out, "delete ") != 4 {
		t.Errorf("deleted:\n%s", out)
	}
}

// What is wrong with a folder is named by file, line and column, and nothing is pushed.
func TestTemplatesPushNamesEveryFault(t *testing.T) {
	t.Parallel()
	d := startDev(t)
	files := shopFolder()
	files["order/body.html"] = "<p>\n  {{#if a}}</p>"
	files["z-link/body.html"] = "{{> a-row}}"
	files["bad/template.yaml"] = "name: Bad\nsubject: s\n"
	files["head/template.yaml"] = "name: Head\nfrom: '{{#if a}} <hi@acme.com>'\nsubject: \"x {{n}} \\u202efdp\"\n"
	files["head/body.txt"] = "{{n}}"
	files["types/template.yaml"] = "name: Types\nsubject: s\nvariables:\n  - {key: a, type: string}\n  - {key: b, type: number, default: x}\n"
	files["types/body.txt"] = "{{a}} {{b}}"
	files["bad/body.txt"] = "{{name}}"
	files["bad/sample.json"] = `{"nmae":"x"}`
	dir := folder(t, files)
	status, out, errs := d.shell().run(t, "templates", "push", dir)
	if status != 1 || out != "" {
		t.Errorf("%d %s", status, out)
	}
	for _, want := range []string{
		"nothing was pushed", "/order/body.html:2:3: ", "contains itself", "/bad/sample.json: lacks name",
		"/head/template.yaml: from:1:1: ", "/head/template.yaml: subject:1:9: the character U+202E", "/types/template.yaml: variables/1/default: ",
	} {
		if !strings.Contains(errs, want) {
			t.Errorf("no %q in\n%s", want, errs)
		}
	}
	if n := len(d.call(t, "GET", "/v1/templates", "")["data"].([]any)); n != 0 {
		t.Errorf("%d templates were pushed", n)
	}
	for name, c := range map[string]struct{ file, content, want string }{
		"unknown member": {"x/template.yaml", "name: X\nsubjct: s\n", "subjct"},
		"no YAML":        {"x/template.yaml", "name: [", "template.yaml"},
		"no alias":       {"X y/template.yaml", "name: X\n", "is its alias"},
		"no folder":      {"", "", "no such file"},
	} {
		dir := filepath.Join(t.TempDir(), "none")
		if c.file != "" {
			dir = folder(t, map[string]string{c.file: c.content})
		}
		if status, _, errs := d.shell().run(t, "templates", "diff", dir); status != 1 || !strings.Contains(errs, c.want) {
			t.Errorf("%s: %d\n%s", name, status, errs)
		}
	}
}

// What another program wrote comes back as it was: line breaks of Windows, tabs, spaces.
func TestTemplatesPullIsExact(t *testing.T) {
	t.Parallel()
	d := startDev(t)
	sh, dir := d.shell(), t.TempDir()
	d.call(t, "POST", "/v1/templates", `{"alias":"odd","name":"Odd","subject":"Order\r\n {{a}}\tx","text":"a\r\n{{a}}",
		"variables":[{"key":"a","type":"string","default":" x\r\ny","description":"\t-"}]}`)
	for i, want := range []string{"write odd (version 1)\n", ""} {
		if status, out, errs := sh.run(t, "templates", "pull", dir); status != 0 || out != want {
			t.Errorf("pull %d: %d\n%s%s", i, status, out, errs)
		}
	}
	if status, out, errs := sh.run(t, "templates", "diff", dir); status != 0 || out != "" {
		t.Errorf("diff: %d\n%s%s", status, out, errs)
	}
	// As if it were another one: what push says is what was pulled.
	if err := os.Rename(filepath.Join(dir, "odd"), filepath.Join(dir, "copy")); err != nil {
		t.Fatal(err)
	}
	if status, _, errs := sh.run(t, "templates", "push", dir); status != 0 {
		t.Fatal(errs)
	}
	for _, member := range []string{"subject", "text", "variables"} {
		a, b := d.call(t, "GET", "/v1/templates/odd", "")[member], d.call(t, "GET", "/v1/templates/copy", "")[member]
		if diff := cmp.Diff(a, b); diff != "" {
			t.Errorf("%s (-want +got):\n%s", member, diff)
		}
	}
}

// The starters can be pushed as they are written.
func TestTemplatesPushStarters(t *testing.T) {
	t.Parallel()
	d := startDev(t)
	sh, dir := d.shell(), t.TempDir()
	for _, name := range []string{"receipt", "sign-in-code", "welcome"} {
		if status, _, errs := sh.run(t, "templates", "starters", name, "--into", dir); status != 0 {
			t.Fatal(errs)
		}
	}
	if status, out, errs := sh.run(t, "templates", "push", dir, "--publish"); status != 0 || strings.Count(out, "publish ") != 3 {
		t.Fatalf("%d\n%s%s", status, out, errs)
	}
	if status, out, errs := sh.run(t, "templates", "diff", dir); status != 0 || out != "" {
		t.Errorf("%d\n%s%s", status, out, errs)
	}
}
