package api

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
)

// pageScenes are the ways in which the pages for people end; they need no key.
func pageScenes() []scene {
	var scenes []scene
	for op, path := range map[string]string{"getDocs": "/docs", "getDocsFile": "/docs/start.js", "getProblem": "/problems/not_found"} {
		scenes = append(scenes,
			scene{op, "", func(h *house) *answer { return h.get(path, keyless) }},
			scene{op, invalidParameter, func(h *house) *answer { return h.get(path+"?a=1", keyless) }})
	}
	return append(scenes,
		scene{"getDocsFile", notFound, func(h *house) *answer { return h.get("/docs/nothing.js", keyless) }},
		scene{"getProblem", notFound, func(h *house) *answer { return h.get("/problems/nothing", keyless) }},
	)
}

func keyless(r *http.Request) { r.Header.Del("Authorization") }

// The viewer is the one that its note names, compressed on the wire or not, and may
// talk to nobody else.
func TestViewer(t *testing.T) {
	h := openHouse(t)
	page := h.get("/docs", keyless)
	if policy := page.header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "http") ||
		!strings.Contains(string(page.raw), "/docs/scalar.js") || strings.Contains(string(page.raw), "//") {
		t.Errorf("%q\n%s", policy, page.raw)
	}
	note, err := viewerFiles.ReadFile("viewer/scalar.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, encoding := range []string{"gzip", "identity"} {
		script := h.get("/docs/scalar.js", keyless, header("Accept-Encoding", encoding))
		raw := script.raw
		if encoding == "gzip" {
			if script.header.Get("Content-Encoding") != "gzip" {
				t.Errorf("it is not compressed: %v", script.header)
			}
			if raw, err = unpack(raw); err != nil {
				t.Fatal(err)
			}
		}
		if sum := sha256.Sum256(raw); !strings.Contains(string(note), "sha256 "+hex.EncodeToString(sum[:])) {
			t.Errorf("%s: its SHA-256 is %x", encoding, sum)
		}
	}
}

// Each problem is explained, and by nothing else.
func TestProblemsAreExplained(t *testing.T) {
	h := openHouse(t)
	texts := explanations()
	for c, kind := range problemKinds() {
		e := texts[c]
		if len(e.Cause) < 20 || len(e.Remedy) < 15 {
			t.Errorf("%s is not explained: %+v", c, e)
		}
		delete(texts, c)
		page := h.get("/problems/"+string(c), keyless)
		if page.status != http.StatusOK || !strings.Contains(string(page.raw), "<h1>"+kind.title) || !strings.Contains(string(page.raw), "What to do") {
			t.Errorf("%s: %d\n%s", c, page.status, page.raw)
		}
	}
	for c := range texts {
		t.Errorf("%s is explained, and no problem", c)
	}
}
