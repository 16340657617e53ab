package app_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/rfcs.md says where each RFC is followed and what shows it: those files and tests exist.
func TestRFCTableNamesWhatExists(t *testing.T) {
	root := filepath.Join("..", "..")
	doc, err := os.ReadFile(filepath.Join(root, "docs", "rfcs.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests := testNames(t, root)
	quoted := regexp.MustCompile("`([^`]+)`")
	named := 0
	for _, line := range strings.Split(string(doc), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 7 {
			if strings.HasPrefix(line, "|") {
				t.Errorf("not five columns: %s", line)
			}
			continue
		}
		for _, name := range quoted.FindAllStringSubmatch(cells[4]+cells[5], -1) {
			named++
			if strings.HasPrefix(name[1], "Test") || strings.HasPrefix(name[1], "Fuzz") {
				if !tests[name[1]] {
					t.Errorf("there is no test %s", name[1])
				}
			} else if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(name[1]))); err != nil {
				t.Errorf("there is no %s", name[1])
			}
		}
	}
	if named < 100 {
		t.Errorf("%d names found: the tables have another form", named)
	}
}

// testNames collects the tests and fuzzers of the repository.
func testNames(t *testing.T, root string) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w*)\(`)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range function.FindAllSubmatch(source, -1) {
			names[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
