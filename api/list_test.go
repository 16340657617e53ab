package api

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postrider/internal/email"
	"postrider/internal/store"
)

func TestListFilters(t *testing.T) {
	h := openHouse(t)
	one := h.send(strings.Replace(minimal, `"text"`, `"tags":["a","b"],"text"`, 1))
	two := h.send(strings.Replace(minimal, `"text"`, `"tags":["a"],"text"`, 1))
	three := h.send(strings.Replace(minimal, "ada@example.org", "Bob@exämple.org", 1))
	h.conclude(two, 0, delivered())
	tests := []struct {
		query string
		want  []string
	}{
		{"", []string{three, two, one}},
		{"?tag=a", []string{two, one}},
		{"?tag=a&tag=b", []string{one}},
		{"?tag=b&tag=a&tag=a", []string{one}},
		{"?tag=nobody", []string{}},
		{"?status=queued", []string{three, one}},
		{"?status=delivered&tag=a", []string{two}},
		{"?recipient=ADA@Example.ORG", []string{two, one}},
		{"?recipient=" + url.QueryEscape("bOB@EXÄMPLE.org"), []string{three}},
		{"?recipient=bob@xn--exmple-cua.org&status=queued", []string{three}},
		{"?recipient=nobody@example.org", []string{}},
		{"?from=HI@acme.COM", []string{three, two, one}},
		{"?from=nobody@acme.com", []string{}},
		{"?stream=transactional&tag=b", []string{one}},
		{"?stream=bulk", []string{}},
		{"?created_after=2020-01-01T00:00:00%2B02:00&created_before=2100-01-01T00:00:00Z&tag=a", []string{two, one}},
		{"?created_after=2100-01-01T00:00:00Z", []string{}},
		{"?created_before=2020-01-01T00:00:00Z", []string{}},
	}
	for _, tt := range tests {
		t.Run(tt.query, func(t *testing.T) {
			got := []string{}
			for _, m := range h.get("/v1/messages" + tt.query).data() {
				got = append(got, m["id"].(string))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
		})
	}
}

func TestListRefuses(t *testing.T) {
	h := openHouse(t)
	for range 3 {
		h.send(minimal)
	}
	page := h.get("/v1/messages?limit=1")
	next, _ := page.body["next_cursor"].(string)
	list := hashIn(t, next)
	id := page.data()[0]["id"].(string)
	tests := []struct{ name, path, parameter string }{
		{"unknown parameter", "/v1/messages?page=2", "page"},
		{"wrong case", "/v1/messages?Limit=2", "Limit"},
		{"limit 0", "/v1/messages?limit=0", "limit"},
		{"limit 101", "/v1/messages?limit=101", "limit"},
		{"negative limit", "/v1/messages?limit=-1", "limit"},
		{"signed limit", "/v1/messages?limit=%2B5", "limit"},
		{"no number", "/v1/messages?limit=ten", "limit"},
		{"empty limit", "/v1/messages?limit=", "limit"},
		{"huge limit", "/v1/messages?limit=99999999999999999999", "limit"},
		{"limit twice", "/v1/messages?limit=1&limit=1", "limit"},
		{"unknown status", "/v1/messages?status=sent", "status"},
		{"empty status", "/v1/messages?status=", "status"},
		{"no address", "/v1/messages?recipient=ada", "recipient"},
		{"bad batch", "/v1/messages?batch_id=msg_1", "batch_id"},
		{"bad time", "/v1/messages?created_after=2026-13-01T00:00:00Z", "created_after"},
		{"bad sender", "/v1/messages?from=acme", "from"},
		{"bad stream", "/v1/messages?stream=a%20b", "stream"},
		{"bad tag", "/v1/messages?tag=a%20b", "tag"},
		{"many tags", "/v1/messages?tag=1&tag=2&tag=3&tag=4&tag=5&tag=6&tag=7&tag=8&tag=9&tag=10&tag=11", "tag"},
		{"no cursor", "/v1/messages?cursor=hello", "cursor"},
		{"empty cursor", "/v1/messages?cursor=", "cursor"},
		{"cursor with other filters", "/v1/messages?tag=a&cursor=" + next, "cursor"},
		{"cursor of another list", "/v1/messages/" + id + "/events?cursor=" + next, "cursor"},
		{"cursor of another version", "/v1/messages?cursor=" + (cursor{Version: 2, List: list, Before: id}).String(), "cursor"},
		{"cursor with a broken id", "/v1/messages?cursor=" + (cursor{Version: 1, List: list, Before: "msg_1"}).String(), "cursor"},
		{"cursor with a broken place", "/v1/messages?cursor=" + (cursor{Version: 1, List: list, Places: []store.Position{"x"}}).String(), "cursor"},
		{"cursor with a negative position", "/v1/messages?cursor=" + (cursor{Version: 1, List: list, After: -1}).String(), "cursor"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := h.get(tt.path)
			h.want(a, 400, string(invalidParameter))
			if a.body["parameter"] != tt.parameter {
				t.Errorf("parameter %v", a.body["parameter"])
			}
		})
	}
	for path, all := range map[string][]string{
		"/v1/messages?limit=0&status=sent&tag=%20":  {"limit out_of_range", "status invalid_format", "tag invalid_format"},
		"/v1/events?limit=x&wait=21&type=sent":      {"limit invalid_format", "type invalid_format", "wait out_of_range"},
		"/v1/suppressions?limit=x&reason=a&email=a": {"limit invalid_format", "email invalid_email", "reason invalid_format"},
	} {
		if diff := cmp.Diff(all, h.get(path).faults()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	h.want(h.get("/v1/messages?cursor="+next, as(h.keys["live"])), 400, string(invalidParameter))
	if a := h.get("/v1/messages?limit=100&cursor=" + next); a.status != 200 || len(a.data()) != 2 {
		t.Errorf("another limit with the cursor: %d %s", a.status, a.raw)
	}
}

// hashIn is the list that a cursor of the unfiltered list is for.
func hashIn(t *testing.T, s string) string {
	t.Helper()
	c := &call{query: url.Values{}}
	hash := listHash(email.Test, c.filters("messages", listParameters())...)
	c.query.Set("cursor", s)
	if _, err := c.cursor(hash, email.MessagePrefix); err != nil {
		t.Fatal(err)
	}
	return hash
}

func TestListWhileMessagesArrive(t *testing.T) {
	h := openHouse(t)
	want := make([]string, 30)
	for i := range want {
		want[len(want)-1-i] = h.send(minimal)
	}
	var got []string
	for path := "/v1/messages?limit=7"; path != ""; {
		a := h.get(path)
		for _, m := range a.data() {
			got = append(got, m["id"].(string))
		}
		h.send(minimal)
		path = nextPage(t, a)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("walked (-want +got):\n%s", diff)
	}
}
