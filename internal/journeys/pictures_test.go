//go:build pictures

// Made and run by tools/dashboard-pictures.sh alone.

package journeys

import (
	"os"
	"strings"
	"testing"
)

// TestPictures makes the pictures of docs/dashboard in the folder PICTURES.
func TestPictures(t *testing.T) {
	to := os.Getenv("PICTURES")
	if to == "" {
		t.Fatal("PICTURES is to name a folder; see tools/dashboard-pictures.sh")
	}
	f := openFurnished(t)
	b := startBrowser(t, f.URL())
	take := func(pages []map[string]string) {
		for _, s := range screens() {
			for _, scheme := range []string{"light", "dark"} {
				b.do(t, "pictures.take", args{"pages": pages, "folder": to, "suffix": s.name + "-" + scheme, "width": s.width, "scheme": scheme}, nil)
			}
		}
	}
	take([]map[string]string{{"name": "sign-in", "path": "/ui/sign-in"}, {"name": "welcome", "path": strings.TrimPrefix(f.link(), f.URL())}})
	f.admit(t, b)
	var pages []map[string]string
	for _, p := range f.paths() {
		pages = append(pages, map[string]string{"name": p[0], "path": p[1]})
	}
	take(pages)
}
