package queue

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
	"postrider/internal/redistest"
)

func connect(t *testing.T, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	o.DisableIdentity = true
	rdb := redis.NewClient(o)
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

func job(generation int) Delivery {
	return Delivery{World: email.Live, Message: email.NewMessageID(0), Envelope: 1, Generation: generation}
}

// await polls until ok, and fails the test after a long time.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 3000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s: not within 30 s", what)
}

func (c *Client) is(t *testing.T, d Delivery, want State) bool {
	t.Helper()
	got, err := c.State(t.Context(), Default, d)
	if err != nil {
		t.Fatal(err)
	}
	return got == want
}

func TestAddAndState(t *testing.T) {
	redistest.Each(t, func(t *testing.T, url string) {
		c := NewClient(connect(t, url))
		d := job(0)
		if !c.is(t, d, Absent) {
			t.Error("a job in a queue that never was: want absent")
		}
		for _, again := range []string{"first", "again"} {
			if err := c.Add(t.Context(), Default, d, time.Now()); err != nil {
				t.Errorf("Add %s = %v", again, err)
			}
		}
		if !c.is(t, d, Pending) {
			t.Error("a job that is due: want pending")
		}
		next := d
		next.Generation++
		if !c.is(t, next, Absent) {
			t.Error("the next generation: want absent")
		}
		if err := c.Add(t.Context(), Default, next, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if !c.is(t, next, Scheduled) {
			t.Error("a job to come: want scheduled")
		}
		// Another time does not move it.
		if err := c.Add(t.Context(), Default, next, time.Now()); err != nil || !c.is(t, next, Scheduled) {
			t.Errorf("Add for another time = %v; want it to stay scheduled", err)
		}
		past := job(0)
		if err := c.Add(t.Context(), Bulk, past, time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
		if got, err := c.State(t.Context(), Bulk, past); err != nil || got != Pending {
			t.Errorf("a job of the past = %s, %v; want pending", got, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestAddReportsADeadRedis(t *testing.T) {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, DialTimeout: time.Second})
	defer rdb.Close()
	c := NewClient(rdb)
	if err := c.Add(t.Context(), Default, job(0), time.Now()); err == nil {
		t.Error("Add without a Redis: want an error")
	}
	if _, err := c.State(t.Context(), Default, job(0)); err == nil {
		t.Error("State without a Redis: want an error")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.State(ended, Default, job(0)); !errors.Is(err, context.Canceled) {
		t.Errorf("State after its context = %v, want context.Canceled", err)
	}
}

func TestRoundUp(t *testing.T) {
	second := time.Unix(1000, 0)
	for _, c := range []struct {
		name     string
		in, want time.Time
	}{
		{"whole", second, second},
		{"a nanosecond more", second.Add(1), second.Add(time.Second)},
		{"a nanosecond less", second.Add(-1), second},
	} {
		if got := roundUp(c.in); !got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"w":"live","m":"msg_06h0jqec49zeqepd0scjz25a00","e":0,"g":1}`))
	f.Add([]byte(`{"w":"live","m":"msg_1"}`))
	f.Add([]byte("null"))
	f.Add([]byte(`{"w":"test","d":"dlv_06h0jqec49zeqepd0scjz25a00","g":1}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if n, err := decode[Notification](payload); err == nil {
			if _, err := email.ParseID(email.DeliveryPrefix, n.Delivery); err != nil || n.Generation < 0 {
				t.Errorf("decode(%q) = %+v, no job of ours", payload, n)
			}
		}
		d, err := decode[Delivery](payload)
		if err != nil {
			return
		}
		if _, idErr := email.ParseID(email.MessagePrefix, d.Message); idErr != nil || d.Envelope < 0 || d.Generation < 0 {
			t.Errorf("decode(%q) = %+v, no job of ours", payload, d)
		}
	})
}
