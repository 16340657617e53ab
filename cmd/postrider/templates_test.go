package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTemplatesStarters(t *testing.T) {
	t.Parallel()
	into := t.TempDir()
	starters := func(args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		status := run(t.Context(), append([]string{"templates", "starters"}, args...), terminal{in: strings.NewReader(""), out: &out, err: &errs})
		return status, out.String(), errs.String()
	}
	status, list, _ := starters()
	for _, name := range []string{"sign-in-code", "password-reset", "receipt", "invitation", "alert", "welcome"} {
		if status != 0 || !strings.Contains(list, name+" ") {
			t.Errorf("%d, no %s in\n%s", status, name, list)
		}
		if status, out, errs := starters(name, "--into", into); status != 0 || !strings.Contains(out, filepath.Join(into, name)) {
			t.Errorf("write %s: %d %s%s", name, status, out, errs)
		}
		for _, file := range []string{"template.yaml", "body.html", "body.txt", "sample.json"} {
			if content, err := os.ReadFile(filepath.Join(into, name, file)); err != nil || len(content) == 0 {
				t.Errorf("%s of %s: %d octets, %v", file, name, len(content), err)
			}
		}
	}
	if status, _, errs := starters("receipt", "--into", into); status != 1 || !strings.Contains(errs, "left as it is") {
		t.Errorf("written over: %d %s", status, errs)
	}
	if status, _, errs := starters("../receipt"); status != 1 || !strings.Contains(errs, "there are sign-in-code") {
		t.Errorf("unknown: %d %s", status, errs)
	}
}
