package intake_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postrider/internal/email"
	"postrider/internal/intake"
)

func TestUnsubscribe(t *testing.T) {
	b := inProcess(t, nil)
	with := func(url string, headers ...email.Header) intake.Draft {
		return draft(func(d *intake.Draft) {
			d.Unsubscribe, d.Headers = &intake.Unsubscribe{URL: url, HasURL: true}, headers
		})
	}
	for name, url := range map[string]string{
		"empty": "", "http": "http://acme.com/u", "no host": "https:///u", "no scheme": "acme.com/u", "mailto": "mailto:u@acme.com",
		"script": "javascript:alert(1)", "bracket": "https://acme.com/u>", "space": "https://acme.com/u u", "not ASCII": "https://acme.com/ü",
		"password": "https://a:b@acme.com/u", "line break": "https://acme.com/\r\nBcc: x@y.z", "second URL": "https://acme.com/u>,<https://evil.org",
	} {
		t.Run(name, func(t *testing.T) { b.one(t, with(url), "#/unsubscribe/url invalid_format") })
	}
	b.one(t, with("https://acme.com/"+strings.Repeat("x", 900)), "#/unsubscribe/url too_long")
	b.one(t, draft(func(d *intake.Draft) { d.Unsubscribe = &intake.Unsubscribe{} }), "#/unsubscribe/url required")
	b.one(t, with("https://acme.com/u", email.Header{Name: "list-unsubscribe", Value: "<https://acme.com/v>"}), "#/headers/list-unsubscribe mutually_exclusive")
	msg := b.accept(t, live(with("https://acme.com/u?a=1,2&b=%C3%BC", email.Header{Name: "List-Id", Value: "News <news.acme.com>"})))
	want := []email.Header{
		{Name: "List-Id", Value: "News <news.acme.com>"},
		{Name: "List-Unsubscribe", Value: "<https://acme.com/u?a=1,2&b=%C3%BC>"},
		{Name: "List-Unsubscribe-Post", Value: "List-Unsubscribe=One-Click"},
	}
	if d := cmp.Diff(want, content(t, b, msg).Headers); d != "" {
		t.Errorf("headers (-want +got):\n%s", d)
	}
}

func TestListFields(t *testing.T) {
	b := inProcess(t, nil)
	one := func(name, value string) intake.Draft {
		return draft(func(d *intake.Draft) { d.Headers = []email.Header{{Name: name, Value: value}} })
	}
	for _, c := range []struct{ name, value string }{
		{"List-Unsubscribe", "https://acme.com/u"},
		{"List-Unsubscribe", "<https://acme.com/u> <https://acme.com/v>"},
		{"List-Unsubscribe", "<https://acme.com/u>,"},
		{"List-Unsubscribe", "<javascript:alert(1)>"},
		{"List-Unsubscribe", "<data:text/html,x>"},
		{"List-Help", "<acme.com>"},
		{"List-Help", "<>"},
		{"List-Archive", "(no end <https://acme.com>"},
		{"List-Post", "NEVER"},
		{"List-Id", "news.acme.com"},
		{"List-Id", "<news>"},
		{"List-Id", "<news..acme>"},
		{"List-Id", "<a.b> behind"},
	} {
		b.one(t, one(c.name, c.value), "#/headers/"+c.name+" invalid_format")
	}
	for _, c := range []struct{ name, value string }{
		{"List-Unsubscribe", "<mailto:u@acme.com?subject=off>, (or) <https://acme.com/u> (here (and \\) there))"},
		{"List-Help", "<ftp://acme.com/list.txt>"},
		{"List-Post", "NO"},
		{"List-Post", "no"},
		{"List-Id", "\"News, of Acme\" <news.acme.com>"},
		{"List-Software", "anything at all"},
	} {
		b.accept(t, live(one(c.name, c.value)))
	}
	b.one(t, draft(func(d *intake.Draft) {
		d.Headers = []email.Header{
			{Name: "List-Unsubscribe", Value: "<https://acme.com/u>, <https://acme.com/v>"}, {Name: "List-Unsubscribe-Post", Value: "List-Unsubscribe=One-Click"},
		}
	}), "#/headers/List-Unsubscribe-Post invalid_format")
	b.one(t, draft(func(d *intake.Draft) {
		d.Headers = []email.Header{
			{Name: "List-Unsubscribe", Value: "<https://acme.com/u>"}, {Name: "List-Unsubscribe-Post", Value: "yes"},
		}
	}), "#/headers/List-Unsubscribe-Post invalid_format")
}

func TestFeedbackID(t *testing.T) {
	b := inProcess(t, func(o *intake.Options) {
		o.FeedbackSender, o.Streams = "postrider", map[string]string{"transactional": "default", "news": "bulk"}
	})
	for name, c := range map[string]struct {
		change func(*intake.Draft)
		want   string
	}{
		"none":   {nil, ":transactional:acme.com:postrider"},
		"tag":    {func(d *intake.Draft) { d.Tags = []string{"receipt", "vip"} }, "receipt:transactional:acme.com:postrider"},
		"colon":  {func(d *intake.Draft) { d.Tags = []string{"a:b::c"} }, "a.b..c:transactional:acme.com:postrider"},
		"stream": {func(d *intake.Draft) { d.Stream = ptr("news") }, ":news:acme.com:postrider"},
	} {
		msg := b.accept(t, live(draft(c.change)))
		stored, err := b.store.Messages.Get(t.Context(), email.Live, msg.ID)
		if err != nil {
			t.Fatal(err)
		}
		if msg.FeedbackID != c.want || stored.FeedbackID != c.want {
			t.Errorf("%s: %q, stored %q, want %q", name, msg.FeedbackID, stored.FeedbackID, c.want)
		}
	}
}
