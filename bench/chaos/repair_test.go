package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

const firstLog = `{"time":"2026-01-01T10:00:00Z","msg":"serving","worker":"w_a"}
{"time":"2026-01-01T10:00:05Z","msg":"attempt","message":"msg_1","envelope":0,"fence":1,"ms":100}
{"time":"2026-01-01T10:00:05Z","msg":"attempt","mess`

const secondLog = `{"time":"2026-01-01T10:00:00Z","msg":"serving","worker":"w_b"}
{"time":"2026-01-01T10:00:30Z","msg":"attempt of a dead worker given back","message":"msg_2","envelope":0,"fence":3,"worker":"w_a","begun":"2026-01-01T10:00:09Z"}
{"time":"2026-01-01T10:00:30Z","msg":"attempt of a dead worker given back","message":"msg_2","envelope":1,"fence":1,"worker":"w_a","begun":"2026-01-01T10:00:09Z"}
{"time":"2026-01-01T10:01:10Z","msg":"attempt","message":"msg_2","envelope":1,"fence":2,"ms":1000}
{"time":"2026-01-01T10:00:33Z","msg":"attempt","message":"msg_2","envelope":0,"fence":5,"ms":2000}
{"time":"2026-01-01T10:00:40Z","msg":"attempt of a dead worker given back","message":"msg_3","envelope":0,"fence":1,"worker":"w_b","begun":"2026-01-01T10:00:34Z"}
{"time":"2026-01-01T10:00:50Z","msg":"attempt of a dead worker is an unknown outcome","message":"msg_3","envelope":0,"fence":2,"worker":"w_x","begun":"2026-01-01T10:00:42Z"}
{"time":"2026-01-01T10:00:51Z","msg":"attempt of a dead worker given back","message":"msg_4","envelope":0,"fence":1,"worker":"w_b","begun":"2026-01-01T10:00:34Z"}
`

func TestRepairs(t *testing.T) {
	clock := func(s int) time.Time { return time.Date(2026, 1, 1, 10, 0, s, 0, time.UTC) }
	dir := t.TempDir()
	h := history{ends: map[string]time.Time{}, cuts: []time.Time{clock(1), clock(35), clock(45)}}
	for name, log := range map[string]string{"a": firstLog, "b": secondLog} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(log), 0o600); err != nil {
			t.Fatal(err)
		}
		ended := time.Time{}
		if name == "a" {
			ended = clock(10)
		}
		if err := h.read(path, ended); err != nil {
			t.Fatal(err)
		}
	}
	r := h.repairs()
	// msg_3 by the kill of Redis at 35; msg_2 by that of w_a at 10, twice; msg_4 was
	// never tried again.
	want := []time.Duration{7 * time.Second, 21 * time.Second, 59 * time.Second}
	if len(r.times) != len(want) || r.untold != 1 {
		t.Fatalf("%v, %d untold", r.times, r.untold)
	}
	for i := range want {
		if r.times[i] != want[i] {
			t.Errorf("%v, want %v", r.times, want)
		}
	}
	if r.print() {
		t.Error("59 s were in time")
	}
	if r.times = r.times[:2]; !r.print() {
		t.Error("21 s were late")
	}
}
