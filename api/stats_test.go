package api

import (
	"fmt"
	"testing"
	"time"

	"postrider/internal/email"
	"postrider/internal/store"
)

// follow plays the follower: it counts all events.
func (h *house) follow() {
	h.t.Helper()
	ctx := h.t.Context()
	part, err := h.store.Deliveries.Unfollowed(ctx, email.Test, 0, 1000)
	if err != nil {
		h.t.Fatal(err)
	}
	happened, _, err := h.store.Deliveries.Happened(ctx, email.Test, part.Entries)
	if err != nil {
		h.t.Fatal(err)
	}
	part.Tally = store.NewTally()
	for _, entry := range part.Entries {
		sample, _ := happened[entry.Message].Sample(entry.Index)
		part.Tally.Count(sample, "example.org")
	}
	if _, err := h.store.Deliveries.Follow(ctx, part, part.To, nil, time.Now()); err != nil {
		h.t.Fatal(err)
	}
}

func TestStats(t *testing.T) {
	h := openHouse(t)
	h.conclude(h.send(minimal), 0, delivered())
	h.conclude(h.send(rich), 0, bounced())
	h.follow()
	h.follow() // counts nothing again
	a := h.get("/v1/stats?interval=day&from=2020-01-01T00:00:00Z&to=2020-02-01T00:00:00%2B01:00")
	if a.status != 200 || len(a.data()) != 0 {
		t.Errorf("long ago: %d %s", a.status, a.raw)
	}
	all := h.get("/v1/stats?interval=day")
	accepted, last := 0.0, map[string]any{}
	for _, row := range all.data() { // two, if midnight came in between
		last = row
		accepted += row["counts"].(map[string]any)["accepted"].(float64)
	}
	if accepted < 2 || last["group"] != nil || last["latency_seconds"].(map[string]any)["p50"].(float64) <= 0 {
		t.Errorf("counted: %s", all.raw)
	}
	for group, value := range map[string]string{"tag": "b", "stream": "transactional", "provider": "example.org"} {
		found := false
		for _, row := range h.get("/v1/stats?group=" + group).data() {
			found = found || row["group"] == value
		}
		if !found {
			t.Errorf("nothing counted for the %s %s", group, value)
		}
	}
	// Without from, what is asked is never too much.
	for _, interval := range store.Intervals() {
		for _, group := range store.Groups() {
			query := fmt.Sprintf("interval=%s&group=%s", interval, group)
			if a := h.get("/v1/stats?" + query); a.status != 200 || len(a.data()) == 0 {
				t.Errorf("%s: %d %s", query, a.status, a.raw)
			}
		}
	}
	for query, parameter := range map[string]string{
		"interval=week": "interval", "group=from": "group", "from=x": "from", "to=1": "to", "from=2100-01-01T00:00:00Z": "from",
		"interval=minute&from=2020-01-01T00:00:00Z": "from", "group=tag&interval=hour&from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z": "from",
	} {
		if a := h.get("/v1/stats?" + query); a.status != 400 || a.body["parameter"] != parameter {
			t.Errorf("%s: %d %s", query, a.status, a.raw)
		}
	}
}
