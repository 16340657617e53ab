package queue

import (
	"context"
	"testing"
	"time"

	"postrider/internal/redistest"
)

func TestSizes(t *testing.T) {
	redistest.Each(t, func(t *testing.T, url string) {
		c := NewClient(connect(t, url))
		for _, at := range []time.Time{time.Now(), time.Now(), time.Now().Add(time.Hour)} {
			if err := c.Add(t.Context(), Default, job(0), at); err != nil {
				t.Fatal(err)
			}
		}
		sizes, err := c.Sizes(t.Context(), Default, Bulk)
		if err != nil || len(sizes) != 2 {
			t.Fatalf("%+v, %v", sizes, err)
		}
		if s := sizes[0]; s.Class != Default || s.Jobs[Pending] != 2 || s.Jobs[Scheduled] != 1 || s.Jobs[Active] != 0 || s.Oldest <= 0 {
			t.Errorf("default: %+v", s)
		}
		if s := sizes[1]; s.Class != Bulk || s.Jobs[Pending] != 0 || s.Oldest != 0 {
			t.Errorf("a queue that never was: %+v", s)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Sizes(ended, Default); err == nil {
			t.Error("after its context: want an error")
		}
	})
}
