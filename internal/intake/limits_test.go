package intake_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/email"
	"postrider/internal/intake"
)

// edge is a limit: of(n) makes a draft that uses n of it.
type edge struct {
	name  string
	limit int
	of    func(d *intake.Draft, n int)
	want  string // the fault at limit+1
}

func letters(n int) string { return strings.Repeat("x", n) }

func addresses(n int, domain string) []intake.Mailbox {
	var out []intake.Mailbox
	for i := range n {
		out = append(out, intake.Mailbox{Text: fmt.Sprintf("r%d@%s", i, domain)})
	}
	return out
}

func recipientEdges() []edge {
	return []edge{
		{"to", 50, func(d *intake.Draft, n int) { d.To = addresses(n, "a.org") }, "#/to too_many"},
		{"to and cc", 50, func(d *intake.Draft, n int) { d.To, d.Cc = addresses(20, "a.org"), addresses(n-20, "b.org") }, "#/cc too_many"},
		{"to, cc and bcc", 50, func(d *intake.Draft, n int) {
			d.To, d.Cc, d.Bcc = addresses(20, "a.org"), addresses(20, "b.org"), addresses(n-40, "c.org")
		}, "#/bcc too_many"},
		{"all, with duplicates", 50, func(d *intake.Draft, n int) {
			d.To, d.Cc, d.Bcc = addresses(n-10, "a.org"), addresses(30, "A.org"), addresses(10, "c.org")
		}, "#/bcc too_many"},
		{"to as written", 200, func(d *intake.Draft, n int) {
			d.To = slices.Repeat(addresses(1, "a.org"), n)
		}, "#/to too_many"},
		{"cc as written", 200, func(d *intake.Draft, n int) {
			d.Cc = slices.Repeat(addresses(1, "a.org"), n)
		}, "#/cc too_many"},
		{"different ones among many", 50, func(d *intake.Draft, n int) {
			d.To = append(slices.Repeat(addresses(1, "a.org"), 100), addresses(n, "a.org")...)
		}, "#/to too_many"},
		{"reply_to", 10, func(d *intake.Draft, n int) { d.ReplyTo = addresses(n, "a.org") }, "#/reply_to too_many"},
		{"display name", 320, func(d *intake.Draft, n int) {
			d.From = &intake.Mailbox{Object: true, Email: "a@acme.com", Name: letters(n)}
		}, "#/from/name too_long"},
		{"display name in characters", 320, func(d *intake.Draft, n int) {
			d.From = &intake.Mailbox{Object: true, Email: "a@acme.com", Name: strings.Repeat("🚀", n)}
		}, "#/from/name too_long"},
		{"display name in a text", 320, func(d *intake.Draft, n int) {
			d.To = mailboxes(strings.Repeat("é", n) + " <a@b.org>")
		}, "#/to/0 too_long"},
		{"octets of a local part", 64, func(d *intake.Draft, n int) { d.To = mailboxes(letters(n) + "@a.org") }, "#/to/0 invalid_email"},
	}
}

func bodyEdges() []edge {
	return []edge{
		{"subject", 998, func(d *intake.Draft, n int) { d.Subject = ptr(letters(n)) }, "#/subject too_long"},
		{"subject in characters", 998, func(d *intake.Draft, n int) { d.Subject = ptr(strings.Repeat("é", n)) }, "#/subject too_long"},
		{"html", 5 << 20, func(d *intake.Draft, n int) { d.HTML, d.Text = ptr(letters(n)), ptr("") }, "#/html too_long"},
		{"text", 5 << 20, func(d *intake.Draft, n int) { d.Text = ptr(letters(n)) }, "#/text too_long"},
		{"attachments", 20, func(d *intake.Draft, n int) {
			for range n {
				d.Attachments = append(d.Attachments, file("a.pdf", nil))
			}
		}, "#/attachments too_many"},
		{"filename", 255, func(d *intake.Draft, n int) { d.Attachments = []intake.Attachment{file(letters(n), nil)} }, "#/attachments/0/filename too_long"},
		{"filename in octets", 1000, func(d *intake.Draft, n int) {
			d.Attachments = []intake.Attachment{file(strings.Repeat("🚀", 249)+letters(n-4*249), nil)}
		}, "#/attachments/0/filename too_long"},
		{"content_id", 128, func(d *intake.Draft, n int) {
			d.Attachments = []intake.Attachment{file("a.png", nil)}
			d.Attachments[0].ContentID = letters(n)
		}, "#/attachments/0/content_id too_long"},
		{"content_type", 255, func(d *intake.Draft, n int) {
			d.Attachments = []intake.Attachment{file("a.png", nil)}
			d.Attachments[0].ContentType = "a/b;c=" + letters(n-6)
		}, "#/attachments/0/content_type too_long"},
	}
}

func wordEdges() []edge {
	return []edge{
		{"headers", 30, func(d *intake.Draft, n int) {
			for i := range n {
				d.Headers = append(d.Headers, email.Header{Name: fmt.Sprint("X-", i), Value: "v"})
			}
		}, "#/headers too_many"},
		{"header name", 76, func(d *intake.Draft, n int) { d.Headers = []email.Header{{Name: letters(n), Value: "v"}} }, "#/headers too_long"},
		{"header value", 8192, func(d *intake.Draft, n int) {
			d.Headers = []email.Header{{Name: "X-Y", Value: letters(n)}}
		}, "#/headers/X-Y too_long"},
		{"structured header value", 8192, func(d *intake.Draft, n int) {
			d.Headers = []email.Header{{Name: "References", Value: strings.Repeat("<id@a.org> ", n/11) + letters(n%11)}}
		}, "#/headers/References too_long"},
		{"word of a structured header", 900, func(d *intake.Draft, n int) {
			d.Headers = []email.Header{{Name: "References", Value: letters(n)}}
		}, "#/headers/References too_long"},
		{"tags", 10, func(d *intake.Draft, n int) {
			for i := range n {
				d.Tags = append(d.Tags, fmt.Sprint("t", i))
			}
		}, "#/tags too_many"},
		{"tag", 64, func(d *intake.Draft, n int) { d.Tags = []string{letters(n)} }, "#/tags/0 too_long"},
		{"metadata keys", 20, func(d *intake.Draft, n int) {
			d.Metadata = make(map[string]string)
			for i := range n {
				d.Metadata[fmt.Sprint("k", i)] = ""
			}
		}, "#/metadata too_many"},
		{"metadata key", 64, func(d *intake.Draft, n int) { d.Metadata = map[string]string{letters(n): ""} }, "#/metadata too_long"},
		{"metadata value", 512, func(d *intake.Draft, n int) { d.Metadata = map[string]string{"k": letters(n)} }, "#/metadata/k too_long"},
		{"metadata value in characters", 512, func(d *intake.Draft, n int) { d.Metadata = map[string]string{"k": strings.Repeat("é", n)} }, "#/metadata/k too_long"},
		{"metadata", 4096, func(d *intake.Draft, n int) {
			d.Metadata = make(map[string]string)
			for i := range 8 {
				d.Metadata[fmt.Sprint("k", i)] = letters(500)
			}
			d.Metadata["rest"] = letters(n - 8*502 - 4)
		}, "#/metadata too_long"},
	}
}

func TestEveryLimitAtItsEdge(t *testing.T) {
	b := inProcess(t, nil)
	for _, edges := range [][]edge{recipientEdges(), bodyEdges(), wordEdges()} {
		for _, e := range edges {
			t.Run(e.name, func(t *testing.T) {
				b.accept(t, live(draft(func(d *intake.Draft) { e.of(d, e.limit) })))
				b.one(t, draft(func(d *intake.Draft) { e.of(d, e.limit+1) }), e.want)
			})
		}
	}
}

func TestTimesAtTheirEdges(t *testing.T) {
	now := time.Date(2026, 8, 23, 14, 0, 0, 0, time.UTC)
	b := inProcess(t, func(o *intake.Options) { o.Now = func() time.Time { return now } })
	schedule := func(ahead time.Duration) intake.Draft {
		return draft(func(d *intake.Draft) { d.ScheduledAt = ptr(now.Add(ahead).Format(time.RFC3339Nano)) })
	}
	const day = 24 * time.Hour
	b.accept(t, live(schedule(-time.Minute)))
	b.one(t, schedule(-time.Minute-time.Millisecond), "#/scheduled_at scheduled_in_past")
	b.accept(t, live(schedule(90*day)))
	b.one(t, schedule(90*day+time.Millisecond), "#/scheduled_at out_of_range")

	ttl := func(seconds int64) intake.Draft {
		return draft(func(d *intake.Draft) { d.TTLSeconds = &seconds })
	}
	for _, seconds := range []int64{60, 604800} {
		b.accept(t, live(ttl(seconds)))
	}
	for _, seconds := range []int64{-1 << 63, -60, 0, 59, 604801, 1<<63 - 1} {
		b.one(t, ttl(seconds), "#/ttl_seconds out_of_range")
	}
}

func TestScheduledAtForms(t *testing.T) {
	now := time.Date(2026, 8, 23, 14, 0, 0, 0, time.UTC)
	b := inProcess(t, func(o *intake.Options) { o.Now = func() time.Time { return now } })
	for _, s := range []string{
		"", "tomorrow", "1787500000", "2026-08-23", "2026-08-23T14:05:00", "2026-08-23 14:05:00Z", "2026-08-23T14:05:00,5Z",
		"2026-08-23T14:05Z", "2026-08-23T4:05:00Z", "2026-8-23T14:05:00Z", "2026-08-23T25:05:00Z", "2026-02-30T14:05:00Z", "2026-08-23T14:05:00+25:00",
		"2026-08-23T14:05:00Z ", "2026-08-23T14:05:00Z\n", "2026-08-23T14:05:00+02", "\x00",
	} {
		b.one(t, draft(func(d *intake.Draft) { d.ScheduledAt = &s }), "#/scheduled_at invalid_format")
	}
	for _, s := range []string{
		"2026-08-23T14:05:00Z", "2026-08-23T14:05:00.5Z", "2026-08-23T16:05:00+02:00", "2026-08-23T04:05:00.123456789-10:00", "2026-08-23t14:05:00z",
	} {
		b.accept(t, live(draft(func(d *intake.Draft) { d.ScheduledAt = &s })))
	}
}

// Operators may change limits; what they leave alone stays the default.
func TestLimitsAreConfigurable(t *testing.T) {
	b := inProcess(t, func(o *intake.Options) {
		o.Limits = intake.Limits{Subject: 5, Recipients: 2, ForbiddenExtensions: []string{"xyz"}}
	})
	b.accept(t, live(draft(func(d *intake.Draft) { d.Attachments = []intake.Attachment{file("a.exe", nil)} })))
	b.one(t, draft(func(d *intake.Draft) { d.Attachments = []intake.Attachment{file("a.XYZ", nil)} }),
		"#/attachments/0/filename attachment_type_forbidden")
	b.one(t, draft(func(d *intake.Draft) { d.Subject = ptr("123456") }), "#/subject too_long")
	b.one(t, draft(func(d *intake.Draft) { d.To = addresses(3, "a.org") }), "#/to too_many")
	b.one(t, draft(func(d *intake.Draft) { d.Tags = strings.Split("abcdefghijk", "") }), "#/tags too_many")
}

// A list that is far too long costs one fault, not one for each element.
func TestFaultsAreBounded(t *testing.T) {
	b := inProcess(t, nil)
	bad := make([]intake.Mailbox, 100_000)
	faults := b.refuse(t, live(draft(func(d *intake.Draft) {
		d.To, d.Cc, d.Bcc, d.ReplyTo = bad, bad, bad, bad
		d.Tags, d.Headers = make([]string, 100_000), make([]email.Header, 100_000)
		d.Attachments = make([]intake.Attachment, 100_000)
		d.Metadata = make(map[string]string)
		for i := range 100_000 {
			d.Metadata[fmt.Sprint("?", i)] = ""
		}
	})))
	if len(faults) > 1000 {
		t.Errorf("%d faults", len(faults))
	}
}

func TestBase64(t *testing.T) {
	b := inProcess(t, nil)
	octets := []byte{0xfb, 0xff, 0xfe, 0, 1, 2, 0xff}
	good := map[string]string{
		"standard":         base64.StdEncoding.EncodeToString(octets),
		"no padding":       base64.RawStdEncoding.EncodeToString(octets),
		"URL":              base64.URLEncoding.EncodeToString(octets),
		"URL, no pad":      base64.RawURLEncoding.EncodeToString(octets),
		"line breaks":      "+//+\r\nAAEC\r\n/w==\r\n",
		"spaces":           " + / / +\tAAEC /w= = ",
		"lines without CR": "+//+\nAAEC\n/w==\n",
	}
	for name, s := range good {
		a := intake.Attachment{Filename: "a.bin", HasFilename: true, Content: s, HasContent: true}
		msg := b.accept(t, live(draft(func(d *intake.Draft) { d.Attachments = []intake.Attachment{a} })))
		if got := content(t, b, msg).Attachments[0].Content; string(got) != string(octets) {
			t.Errorf("%s: %x", name, got)
		}
	}
	bad := map[string]string{
		"one digit": "A", "five digits": "AAAAA", "padding inside": "AA==AAAA", "padding alone": "=", "too much padding": "AAAA====",
		"too little padding": "AA=", "another character": "AA*A", "both alphabets": "+-AA", "trailing bits": "AB==",
		"data URL": "data:image/png;base64,AAAA", "not ASCII": "AAAé", "NUL": "AAAA\x00",
	}
	for name, s := range bad {
		t.Run(name, func(t *testing.T) {
			a := intake.Attachment{Filename: "a.bin", HasFilename: true, Content: s, HasContent: true}
			b.one(t, draft(func(d *intake.Draft) { d.Attachments = []intake.Attachment{a} }), "#/attachments/0/content invalid_base64")
		})
	}
}
