package store

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"postrider/internal/redistest"
)

// New mail is taken up to 70 % of the memory limit, and not above.
func TestAdmissionEndsAt70Percent(t *testing.T) {
	rdb := connect(t, redistest.Start(t).URL)
	s := New(rdb, Options{})
	// So much that what Redis itself takes and gives back is below a hundredth.
	if err := rdb.Set(t.Context(), "ballast", strings.Repeat("x", 64<<20), 0).Err(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		percent int64
		want    error
	}{{68, nil}, {72, ErrFull}, {68, nil}} {
		used, _ := memoryOf(parseInfo(rdb.Info(t.Context(), "memory").Val()))
		if err := rdb.ConfigSet(t.Context(), "maxmemory", strconv.FormatInt(used*100/c.percent, 10)).Err(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Measure(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Admit(); !errors.Is(err, c.want) {
			t.Errorf("with %d %% in use: %v, want %v", c.percent, err, c.want)
		}
	}
}
