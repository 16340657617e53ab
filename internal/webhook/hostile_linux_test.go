package webhook

import (
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// resident is the memory that the process holds, in octets.
func resident(t *testing.T) int {
	t.Helper()
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(raw))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// Answers that are huge, endless or slow, many at once, cost no memory, and end in time.
func TestHostileAnswersCostNoMemory(t *testing.T) {
	page := strings.Repeat("x", 64<<10)
	p, url, _ := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
		rest := 0
		switch r.URL.Path {
		case "/huge":
			w.Header().Set("Content-Length", strconv.Itoa(1<<34))
		case "/fields":
			for i := range 1 << 10 {
				w.Header().Set("X-"+strconv.Itoa(i), page[:1<<10])
			}
		case "/drip":
			rest = 5 // ms after each octet
		}
		for r.Context().Err() == nil {
			part := page
			if rest > 0 {
				part = "x"
			}
			if _, err := io.WriteString(w, part); err != nil {
				return
			}
			if rest > 0 {
				_ = http.NewResponseController(w).Flush()
				time.Sleep(time.Duration(rest) * time.Millisecond)
			}
		}
	})
	o := p.o
	o.Total = 500 * time.Millisecond
	hasty := New(o)
	const posters, each, most = 40, 4, 64 << 20
	all := func(rounds int) {
		var posting sync.WaitGroup
		for n := range posters {
			posting.Go(func() {
				for range rounds {
					path := []string{"/huge", "/endless", "/drip", "/fields"}[n%4]
					a := hasty.Post(t.Context(), Endpoint{URL: url + path, Secrets: []string{NewSecret()}}, message())
					if len(a.Body) > maxKept || len(a.Error) > maxError || (path == "/fields" && a.OK()) {
						t.Errorf("%s: %d octets kept, %q", path, len(a.Body), a.Error)
					}
				}
			})
		}
		posting.Wait()
	}
	all(1) // what connections and their like take
	before := resident(t)
	var peak atomic.Int64
	done := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		for tick := time.NewTicker(5 * time.Millisecond); ; {
			peak.Store(max(peak.Load(), int64(resident(t))))
			select {
			case <-done:
				tick.Stop()
				return
			case <-tick.C:
			}
		}
	})
	all(each)
	close(done)
	looking.Wait()
	if grown := int(peak.Load()) - before; grown > most {
		t.Errorf("%d posts took %d MiB, at most %d are allowed", posters*each, grown>>20, most>>20)
	}
}
