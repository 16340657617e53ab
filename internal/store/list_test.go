package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

func ids(page []*email.Message) []string {
	var out []string
	for _, m := range page {
		out = append(out, m.ID)
	}
	return out
}

func TestListFilters(t *testing.T) {
	each(t, Options{Shards: 3}, func(t *testing.T, f *fixture) {
		var all []*email.Message
		for i := range 12 {
			s := draft(f.Messages, fmt.Sprintf("User%d@example.org", i%3))
			s.Message.Tags = []string{"all", fmt.Sprintf("mod%d", i%2)}
			s.Message.Subject = fmt.Sprintf("Order Nr%d of ÄRA", i)
			if i < 2 {
				s.Message.BatchID = "bat_01k3b8v4z0e9x8d6w5s4r3q2p1"
			}
			all = append(all, f.accept(t, s))
		}
		claim := f.begin(t, all[4], 0, start())
		f.conclude(t, claim, start(), email.Outcome{Status: email.Delivered})
		f.conclude(t, f.begin(t, all[5], 0, start()), start(), email.Outcome{Status: email.Bounced})
		for _, c := range []struct {
			name   string
			filter Filter
			want   func(i int) bool
		}{
			{"all", Filter{}, func(int) bool { return true }},
			{"recipient", Filter{Recipient: "user1@EXAMPLE.org"}, func(i int) bool { return i%3 == 1 }},
			{"tag", Filter{Tags: []string{"mod1"}}, func(i int) bool { return i%2 == 1 }},
			{"two tags", Filter{Tags: []string{"all", "mod0"}}, func(i int) bool { return i%2 == 0 }},
			{"status", Filter{Statuses: []email.Status{email.Delivered}}, func(i int) bool { return i == 4 }},
			{"two statuses", Filter{Statuses: []email.Status{email.Delivered, email.Bounced}}, func(i int) bool { return i == 4 || i == 5 }},
			{"one status twice", Filter{Statuses: []email.Status{email.Queued, email.Queued}}, func(i int) bool { return i != 4 && i != 5 }},
			{"three statuses", Filter{Statuses: []email.Status{email.Queued, email.Delivered, email.Bounced}}, func(int) bool { return true }},
			{"two statuses and tag", Filter{Statuses: []email.Status{email.Queued, email.Bounced}, Tags: []string{"mod1"}}, func(i int) bool { return i%2 == 1 }},
			{"two statuses and recipient", Filter{Statuses: []email.Status{email.Bounced, email.Failed}, Recipient: "user2@example.org"}, func(i int) bool { return i == 5 }},
			{"all three", Filter{Recipient: "user1@example.org", Statuses: []email.Status{email.Queued}, Tags: []string{"mod0"}}, func(i int) bool { return i == 10 }},
			{"batch", Filter{Batch: "bat_01k3b8v4z0e9x8d6w5s4r3q2p1"}, func(i int) bool { return i < 2 }},
			{"batch and tag", Filter{Batch: "bat_01k3b8v4z0e9x8d6w5s4r3q2p1", Tags: []string{"mod1"}}, func(i int) bool { return i == 1 }},
			{"from, stream and time", Filter{
				From: "HI@acme.com", Stream: "transactional", CreatedAfter: start().Add(-time.Second), Tags: []string{"mod0"},
			}, func(i int) bool { return i%2 == 0 }},
			{"not after itself", Filter{CreatedAfter: start()}, func(int) bool { return false }},
			{"subject", Filter{Subject: "nr1 OF ära"}, func(i int) bool { return i == 1 }},
			{"subject and tag", Filter{Subject: "order", Tags: []string{"mod1"}}, func(i int) bool { return i%2 == 1 }},
			{"domain", Filter{Domain: "example.org"}, func(int) bool { return true }},
			{"other domain", Filter{Domain: "example.com"}, func(int) bool { return false }},
			{"Message-ID", Filter{MessageID: all[7].MessageID}, func(i int) bool { return i == 7 }},
			{"quarantined", Filter{Quarantined: true}, func(int) bool { return false }},
			{"none", Filter{Recipient: "nobody@example.org"}, func(int) bool { return false }},
			{"no such tag", Filter{Tags: []string{"all", "other"}}, func(int) bool { return false }},
		} {
			var want []string
			for i, m := range all {
				if c.want(i) {
					want = append(want, m.ID)
				}
			}
			slices.Sort(want)
			slices.Reverse(want)
			for _, limit := range []int{1, 2, 3, 4, 6, 100} {
				var got []string
				for before, pages := "", 0; ; pages++ {
					page, next, err := f.Messages.List(t.Context(), email.Live, c.filter, before, limit)
					if err != nil || pages > 20 {
						t.Fatalf("%s: List, page %d: %v", c.name, pages, err)
					}
					if next != "" && len(page) != limit {
						t.Errorf("%s: a page of %d before the end, limit %d", c.name, len(page), limit)
					}
					got = append(got, ids(page)...)
					if before = next; next == "" {
						break
					}
				}
				equal(t, fmt.Sprintf("%s by %d", c.name, limit), got, want)
			}
		}
		if page, _, err := f.Messages.List(t.Context(), email.Test, Filter{}, "", 10); err != nil || len(page) != 0 {
			t.Errorf("the other world has %v, %v", ids(page), err)
		}
	})
}

// The sieve holds back nothing that matches, whatever is written in it.
func TestSieve(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		subjects := []string{"Plain", "Tom & Jerry", `a "quoted" word`, `back\slash`, "<b>bold</b>", "tab\there", "line\u2028break", "ÄRA Ünïcode", "\u212Aelvin", "İstanbul", "bad \xff octet", "ends in \\"}
		var all []*email.Message
		for i, subject := range subjects {
			s := draft(f.Messages, fmt.Sprintf("User%d@example.org", i), "bob@example.net")
			s.Message.Subject, s.Message.Stream = subject, []string{"transactional", "bulk"}[i%2]
			s.Message.Template = email.Template{ID: "tpl_01k3b8v4z0e9x8d6w5s4r3q2p1", Version: 1}
			if i == 0 {
				s.Message.MessageID = "<foreign+&1@app.example>"
			}
			all = append(all, f.accept(t, s))
		}
		for i, outcomes := range [][]email.Status{{email.Delivered, email.Delivered}, {email.Bounced}, {email.Bounced, email.Delivered}, {email.Failed, email.Bounced}, {email.Deferred, email.Deferred}} {
			for n, status := range outcomes {
				f.conclude(t, f.begin(t, all[i], n, start()), start(), email.Outcome{Recipient: n, Status: status})
			}
		}
		for _, msg := range all {
			m := f.get(t, msg)
			for name, filter := range map[string]Filter{
				"subject": {Subject: m.Subject}, "part": {Subject: string([]rune(m.Subject)[:1])}, "lower case": {Subject: strings.ToLower(m.Subject)}, "upper case": {Subject: strings.ToUpper(m.Subject)},
				"recipient": {Recipient: strings.ToUpper(m.To[0].Email)}, "domain": {Domain: "example.net"}, "from": {From: strings.ToUpper(m.From.Email)},
				"stream": {Stream: m.Stream}, "status": {Statuses: []email.Status{m.Status()}}, "statuses": {Statuses: []email.Status{email.Canceled, m.Status()}}, "Message-ID": {MessageID: m.MessageID}, "template": {Template: m.Template.ID}, "tag": {Tags: m.Tags},
			} {
				keys, id, _ := f.Messages.locate(m.World, m.ID)
				fields := f.rdb.HGetAll(t.Context(), keys.record(id)).Val()
				if filter.match(m) && !filter.sieve().passes(fields) {
					t.Errorf("%s of %q, %s: it matches, and is held back by %q", name, m.Subject, m.Status(), filter.sieve())
				}
				if name != "upper case" && !filter.match(m) {
					t.Errorf("%s of %q: does not match itself", name, m.Subject)
				}
			}
		}
		for name, filter := range map[string]Filter{
			"subject": {Subject: "nothing"}, "domain": {Domain: "example.com"}, "part of a domain": {Domain: "ample.net"}, "from": {From: "i@acme.com"},
			"stream": {Stream: "other"}, "status": {Statuses: []email.Status{email.Suppressed}}, "Message-ID": {MessageID: "<other@app.example>"}, "tag": {Tags: []string{"welcom"}}, "quarantined": {Quarantined: true},
		} {
			keys, id, _ := f.Messages.locate(email.Live, all[0].ID)
			if filter.sieve().passes(f.rdb.HGetAll(t.Context(), keys.record(id)).Val()) {
				t.Errorf("%s: is not held back", name)
			}
		}
	})
}

func TestListWhileInserting(t *testing.T) {
	each(t, Options{Shards: 2}, func(t *testing.T, f *fixture) {
		var old []string
		for range 20 {
			old = append(old, f.accept(t, draft(f.Messages, "ada@example.org")).ID)
		}
		slices.Sort(old)
		slices.Reverse(old)
		var got []string
		for before := ""; ; {
			page, next, err := f.Messages.List(t.Context(), email.Live, Filter{Tags: []string{"welcome"}}, before, 3)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, ids(page)...)
			if before = next; next == "" {
				break
			}
			f.accept(t, draft(f.Messages, "ada@example.org"))
		}
		equal(t, "pages while messages arrive", got, old)
	})
}

func TestListBoundsItsWork(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		oldest := f.accept(t, draft(f.Messages, "ada@example.org"))
		keys, id, _ := f.Messages.locate(email.Live, oldest.ID)
		record := f.rdb.HGetAll(t.Context(), keys.record(id)).Val()
		record["m"] = strings.Replace(record["m"], "welcome", "other", 1)
		// Many newer ones stand in the index by mistake: each must be looked at.
		pipe := f.rdb.Pipeline()
		for range maxLooked + 100 {
			copied := short(email.NewMessageID(0))
			pipe.HSet(t.Context(), keys.record(copied), record)
			pipe.ZAdd(t.Context(), keys.tag("welcome"), redis.Z{Member: copied})
		}
		if _, err := pipe.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		filter := Filter{Tags: []string{"welcome"}}
		page, next, err := f.Messages.List(t.Context(), email.Live, filter, "", 100)
		if err != nil || len(page) != 0 || next == "" {
			t.Fatalf("the first page = %d messages, next %q, %v; want none yet, and where to go on", len(page), next, err)
		}
		page, next, err = f.Messages.List(t.Context(), email.Live, filter, next, 100)
		if err != nil || len(page) != 1 || page[0].ID != oldest.ID || next != "" {
			t.Errorf("the second page = %v, next %q, %v; want %s", ids(page), next, err, oldest.ID)
		}
	})
}

func TestListCursor(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		for _, before := range []string{"x", "msg_", "msg_zzzzzzzzzzzzzzzzzzzzzzzzzz", "evt_01k3000000000000000000000a"} {
			if _, _, err := f.Messages.List(t.Context(), email.Live, Filter{}, before, 10); !errors.Is(err, ErrCursor) {
				t.Errorf("List before %q = %v, want ErrCursor", before, err)
			}
		}
		if _, _, err := f.Messages.List(t.Context(), email.Live, Filter{}, "", 0); !errors.Is(err, ErrCursor) {
			t.Errorf("List of 0 = %v, want ErrCursor", err)
		}
		// A cursor whose message is gone still says where to go on.
		first := f.accept(t, draft(f.Messages, "ada@example.org"))
		page, next, err := f.Messages.List(t.Context(), email.Live, Filter{}, email.NewMessageID(0), 10)
		if err != nil || len(page) != 1 || page[0].ID != first.ID || next != "" {
			t.Errorf("List = %v, %q, %v", ids(page), next, err)
		}
	})
}
