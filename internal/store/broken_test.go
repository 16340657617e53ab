package store

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postrider/internal/email"
)

func TestBrokenContentIsAnError(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		for _, c := range []struct{ name, field, value string }{
			{"no meta", "m", ""},
			{"meta is no JSON", "m", "{"},
			{"meta of another message", "m", `{"e":[{},{}]}`},
			{"no state", "s", ""},
			{"state is no JSON", "s", "["},
			{"no recipients", "s", `{"e":[{"p":"wait"}]}`},
			{"unknown status", "s", `{"r":[{"s":"lost"}],"e":[{"p":"wait"}]}`},
			{"unknown phase", "s", `{"r":[{"s":"queued"}],"e":[{"p":"lost"}]}`},
			{"no such envelope", "s", `{"r":[{"s":"queued","e":1}],"e":[{"p":"wait"}]}`},
			{"envelope -2", "s", `{"r":[{"s":"queued","e":-2}],"e":[{"p":"wait"}]}`},
			{"mark of none", "s", `{"r":[{"s":"queued"}],"e":[{"p":"marked","m":"4"}]}`},
			{"reply is no JSON", "y0", "x"},
		} {
			msg := f.accept(t, draft(f.Messages, "ada@example.org"))
			keys, id, _ := f.Messages.locate(email.Live, msg.ID)
			f.rdb.HSet(ctx, keys.record(id), c.field, c.value)
			if got, err := f.Messages.Get(ctx, email.Live, msg.ID); !errors.Is(err, ErrBroken) {
				t.Errorf("%s: Get = %v, %v; want a broken record", c.name, got, err)
			}
			if s, err := f.Messages.Begin(ctx, email.Live, msg.ID, 0, 0, "w", start()); err == nil && s.Verdict == Begun {
				t.Errorf("%s: Begin = %+v", c.name, s)
			}
			f.rdb.Del(ctx, keys.all())
		}
		msg := f.accept(t, draft(f.Messages, "ada@example.org"))
		keys, id, _ := f.Messages.locate(email.Live, msg.ID)
		f.rdb.Set(ctx, keys.body(id), "not packed", 0)
		f.rdb.RPush(ctx, keys.events(id), "{")
		f.rdb.RPush(ctx, keys.attempts(id), "1 not packed")
		if _, err := f.Messages.Content(ctx, email.Live, msg.ID); !errors.Is(err, ErrBroken) {
			t.Errorf("Content = %v, want a broken record", err)
		}
		if _, _, err := f.Messages.Events(ctx, email.Live, msg.ID, 0, 10); !errors.Is(err, ErrBroken) {
			t.Errorf("Events = %v, want a broken record", err)
		}
		if list, err := f.Messages.Attempts(ctx, email.Live, msg.ID); err != nil || len(list) != 0 {
			t.Errorf("Attempts = %v, %v; want the broken one left out", list, err)
		}
	})
}

// One record that cannot be read hides neither the others of its page nor, by a
// broken attempt, the rest of its timeline.
func TestListPassesOverABrokenRecord(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		var log strings.Builder
		f.Messages.options.Log = slog.New(slog.NewTextHandler(&log, nil))
		var ids []string
		for range 5 {
			ids = append(ids, f.accept(t, draft(f.Messages, "ada@example.org")).ID)
		}
		keys, id, _ := f.Messages.locate(email.Live, ids[2])
		f.rdb.HSet(t.Context(), keys.record(id), "y0", "x")
		slices.Sort(ids)
		slices.Reverse(ids)
		want := slices.DeleteFunc(slices.Clone(ids), func(other string) bool { return other == long(id) })
		var got []string
		for before, next := "", ""; ; before = next {
			var page []*email.Message
			var err error
			if page, next, err = f.Messages.List(t.Context(), email.Live, Filter{}, before, 2); err != nil {
				t.Fatal(err)
			}
			for _, m := range page {
				got = append(got, m.ID)
			}
			if next == "" {
				break
			}
		}
		equal(t, "listed", got, want)
		if !strings.Contains(log.String(), id) {
			t.Errorf("the broken one is not named in the log: %s", &log)
		}

		whole := &email.Message{ID: want[0], World: email.Live}
		f.conclude(t, f.begin(t, f.get(t, whole), 0, start()), start(), email.Outcome{Status: email.Delivered})
		keys, id, _ = f.Messages.locate(email.Live, whole.ID)
		f.rdb.LPush(t.Context(), keys.attempts(id), "1 not packed")
		if list, err := f.Messages.Attempts(t.Context(), email.Live, whole.ID); err != nil || len(list) != 1 {
			t.Errorf("Attempts = %d, %v; want the whole one", len(list), err)
		}
	})
}

func TestUnknownMessages(t *testing.T) {
	each(t, Options{}, func(t *testing.T, f *fixture) {
		for _, id := range []string{email.NewMessageID(0), email.NewMessageID(200), "msg_x", ""} {
			_, get := f.Messages.Get(t.Context(), email.Live, id)
			_, content := f.Messages.Content(t.Context(), email.Live, id)
			_, _, events := f.Messages.Events(t.Context(), email.Live, id, 0, 10)
			_, attempts := f.Messages.Attempts(t.Context(), email.Live, id)
			for name, err := range map[string]error{"Get": get, "Content": content, "Events": events, "Attempts": attempts} {
				if !errors.Is(err, ErrNotFound) {
					t.Errorf("%s of %q = %v, want ErrNotFound", name, id, err)
				}
			}
		}
	})
}

func TestContentIsBoundedUnpacked(t *testing.T) {
	p := newPacker()
	bomb, err := p.pack(&email.Content{Text: strings.Repeat("x", maxAttempt+1)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.decodeAttempt("1 " + string(bomb)); !errors.Is(err, ErrBroken) {
		t.Errorf("an attempt of %d bytes that unpacks to %d = %v, want a refusal", len(bomb), maxAttempt, err)
	}
}

func TestContentRoundTrip(t *testing.T) {
	p := newPacker()
	for _, want := range []*email.Content{
		{},
		{Text: "Hi\nAda\n"},
		{HTML: "<p>é\x00\xff</p>", Headers: []email.Header{{Name: "X-A", Value: "b\nc"}}},
		{
			HTML: "h", Text: "t",
			Attachments: []email.Attachment{
				{Filename: "a\n.txt", ContentType: "text/plain", Content: []byte("\n{}\n")},
				{Filename: "empty", ContentType: "text/plain", ContentID: "logo", Content: []byte{}},
				{Filename: "b.bin", ContentType: "application/octet-stream", Content: []byte{0, 255}},
			},
		},
	} {
		packed, err := p.packContent(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.unpackContent(string(packed))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestContentOfAnotherLengthIsBroken(t *testing.T) {
	p := newPacker()
	for _, raw := range []string{
		"", "\n", "{}\nmore", `{"h":3}` + "\nab", `{"t":-1}` + "\n", `{"h":-2,"t":3}` + "\na",
		`{"a":[{"n":"x","t":"y","z":9}]}` + "\nfile", `{"h":9223372036854775807,"t":1}` + "\nab", `{"h":1}`,
	} {
		if c, err := p.unpackContent(string(p.compress([]byte(raw)))); !errors.Is(err, ErrBroken) {
			t.Errorf("%q = %+v, %v; want a broken record", raw, c, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	p := newPacker()
	packed, err := p.pack(toAttempt(&email.Attempt{Outcomes: []email.Outcome{{Status: email.Delivered}}}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(`{"c":1,"f":{"e":"a@b"},"t":[{"e":"c@d"}],"e":[{"d":"d","p":"x"}]}`, `{"r":[{"s":"queued"}],"e":[{"p":"wait","m":"0"}]}`, `{"c":250}`)
	f.Add(`{"i":"01k3","a":1,"r":0,"s":"queued","q":1}`, "1 "+string(packed), string(packed))
	f.Add(`{"r":[{"e":"a@b","t":"to","s":"queued"}]}`, `{"r":[{"s":"queued","e":-1}]}`, "01k3000000000000000000000a:0")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		if m, err := decodeMessage(email.Live, "x", map[string]string{"m": a, "s": b, "y0": c}); err == nil {
			if len(m.Recipients) == 0 && len(m.Envelopes) > 0 && m.Envelopes[0].Recipients != nil {
				t.Error("an envelope with recipients that the message has not")
			}
			_, _ = encodeStub(m)
			_ = m.Status()
		}
		_, _ = decodeEvent(a)
		_, _ = p.decodeAttempt(b)
		_, _ = p.unpackContent(c)
		_, _ = p.unpackContent(string(p.compress([]byte(c))))
		_, _, _ = parseDueMember(c)
		_, _ = decodeDomain("x", a)
	})
}
