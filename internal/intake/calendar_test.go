package intake_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"postrider/internal/email"
	"postrider/internal/intake"
)

// invitation is a scheduling message without a fault, with the lines changed: those
// that begin with one of without are left out.
func invitation(without ...string) string {
	lines := []string{
		"BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Acme//App//EN", "METHOD:REQUEST",
		"BEGIN:VTIMEZONE", "TZID:Europe/Berlin", "BEGIN:STANDARD", "DTSTART:19961027T030000", "TZOFFSETFROM:+0200", "TZOFFSETTO:+0100", "END:STANDARD", "END:VTIMEZONE",
		"BEGIN:VEVENT", "UID:7@acme.com", "DTSTAMP:20261127T080000Z", "DTSTART;TZID=Europe/Berlin:20261201T100000",
		`ORGANIZER;CN="Acme: Events; Co":mailto:hi@acme.com`, "ATTENDEE;RSVP=TRUE:mailto:ada@lovelace.org", "SUMMARY:Review", "END:VEVENT", "END:VCALENDAR", "",
	}
	lines = slices.DeleteFunc(lines, func(line string) bool {
		return slices.ContainsFunc(without, func(prefix string) bool { return strings.HasPrefix(line, prefix) })
	})
	return strings.Join(lines, "\r\n")
}

// instead is an invitation with one text for another.
func instead(old, text string) string { return strings.Replace(invitation(), old, text, 1) }

func invite(content string) func(*intake.Draft) {
	return func(d *intake.Draft) { d.Calendar = &intake.Calendar{Content: content} }
}

func TestCalendar(t *testing.T) {
	b := inProcess(t, nil)
	long := "DESCRIPTION:" + strings.Repeat("Grüße 🚚 ", 40)
	accepted := map[string]struct {
		content string
		want    *email.Calendar // nil: not compared
	}{
		"request":                      {invitation(), &email.Calendar{Method: "REQUEST", Component: "VEVENT", Content: invitation()}},
		"LF only":                      {strings.ReplaceAll(invitation(), "\r\n", "\n"), &email.Calendar{Method: "REQUEST", Component: "VEVENT", Content: invitation()}},
		"no last line":                 {strings.TrimSuffix(invitation(), "\r\n") + "\n\n", &email.Calendar{Method: "REQUEST", Component: "VEVENT", Content: invitation()}},
		"lower case":                   {strings.NewReplacer("METHOD:REQUEST", "method:request", "BEGIN:VEVENT", "begin:vevent", "END:VEVENT", "End:vEvent").Replace(invitation()), nil},
		"publish without an organizer": {strings.Replace(invitation("ORGANIZER", "ATTENDEE"), "REQUEST", "PUBLISH", 1), nil},
		"cancel":                       {strings.Replace(invitation("DTSTART;", "ATTENDEE"), "REQUEST", "CANCEL", 1), nil},
		"two occurrences":              {instead("END:VCALENDAR", strings.Join(strings.Split(invitation(), "\r\n")[12:20], "\r\n")+"\r\nEND:VCALENDAR"), nil},
		"alarm":                        {instead("END:VEVENT", "BEGIN:VALARM\r\nUID:x\r\nTRIGGER:-PT15M\r\nEND:VALARM\r\nEND:VEVENT"), nil},
		"folded by the caller":         {instead("SUMMARY:Review", "SUMM\r\n\tARY:Re\r\n view"), nil},
		"long lines":                   {instead("SUMMARY:Review", long), nil},
	}
	for name, c := range accepted {
		t.Run(name, func(t *testing.T) {
			got := content(t, b, b.accept(t, live(draft(invite(c.content))))).Calendar
			if c.want != nil {
				if d := cmp.Diff(c.want, got); d != "" {
					t.Errorf("calendar (-want +got):\n%s", d)
				}
			}
			for line := range strings.SplitSeq(strings.TrimSuffix(got.Content, "\r\n"), "\r\n") {
				if len(line) > 75 || !utf8.ValidString(line) || strings.ContainsAny(line, "\r\n") {
					t.Errorf("a line of %d octets: %q", len(line), line)
				}
			}
		})
	}
	got := content(t, b, b.accept(t, live(draft(invite(instead("SUMMARY:Review", long)))))).Calendar.Content
	if !strings.Contains(strings.ReplaceAll(got, "\r\n ", ""), long) {
		t.Error("unfolding does not give the line back")
	}
}

func TestCalendarFaults(t *testing.T) {
	b := inProcess(t, nil)
	for name, source := range map[string]string{
		"no calendar":           "hello",
		"not UTF-8":             instead("Review", "\xff"),
		"NUL":                   instead("Review", "a\x00b"),
		"control character":     instead("Review", "a\x1bb"),
		"no colon":              instead("SUMMARY:Review", "SUMMARY Review"),
		"quote does not end":    instead(`Co":`, "Co:"),
		"name with a space":     instead("SUMMARY:", "SUM MARY:"),
		"cut off":               strings.TrimSuffix(invitation(), "END:VCALENDAR\r\n"),
		"crossed":               strings.NewReplacer("END:VEVENT", "END:VCALENDAR", "END:VCALENDAR", "END:VEVENT").Replace(invitation()),
		"two objects":           invitation() + invitation(),
		"text behind":           invitation() + "X:y",
		"fold first":            " " + invitation(),
		"property first":        "VERSION:2.0\r\n" + invitation(),
		"no VERSION":            invitation("VERSION"),
		"another VERSION":       instead("VERSION:2.0", "VERSION:1.0"),
		"no PRODID":             invitation("PRODID"),
		"no METHOD":             invitation("METHOD"),
		"two METHODs":           instead("METHOD:REQUEST", "METHOD:REQUEST\r\nMETHOD:CANCEL"),
		"unknown METHOD":        instead("METHOD:REQUEST", "METHOD:INVITE"),
		"METHOD with a break":   instead("METHOD:REQUEST", "METHOD:REQUEST; x=y"),
		"only a time zone":      invitation()[:strings.Index(invitation(), "BEGIN:VEVENT")] + "END:VCALENDAR\r\n",
		"no UID":                invitation("UID"),
		"two UIDs":              instead("UID:7", "UID:8\r\nUID:7"),
		"no DTSTAMP":            invitation("DTSTAMP"),
		"no DTSTART":            invitation("DTSTART;"),
		"no ORGANIZER":          invitation("ORGANIZER"),
		"no ATTENDEE":           invitation("ATTENDEE"),
		"unknown component":     strings.ReplaceAll(invitation(), "VEVENT", "VPARTY"),
		"two kinds":             instead("END:VCALENDAR", "BEGIN:VTODO\r\nUID:7@acme.com\r\nDTSTAMP:20261127T080000Z\r\nORGANIZER:mailto:a@b.c\r\nATTENDEE:mailto:a@b.c\r\nEND:VTODO\r\nEND:VCALENDAR"),
		"two events":            instead("END:VCALENDAR", strings.ReplaceAll(strings.Join(strings.Split(invitation(), "\r\n")[12:20], "\r\n"), "UID:7", "UID:8")+"\r\nEND:VCALENDAR"),
		"END without BEGIN":     "END:VCALENDAR",
		"very deep":             strings.Repeat("BEGIN:VCALENDAR\r\n", 50_000),
		"a header field inside": instead("SUMMARY:Review", "SUMMARY:Review\r\nBcc x@evil.org"),
	} {
		t.Run(name, func(t *testing.T) { b.one(t, draft(invite(source)), "#/calendar/content invalid_format") })
	}
	b.one(t, draft(invite(" \n")), "#/calendar/content required")
	b.one(t, draft(invite(strings.Repeat("x", 1<<20+1))), "#/calendar/content too_long")
	named := func(name string) intake.Draft {
		return draft(func(d *intake.Draft) {
			d.Calendar = &intake.Calendar{Content: invitation(), Filename: name, HasFilename: true}
		})
	}
	b.one(t, named(""), "#/calendar/filename required")
	b.one(t, named("a/b.ics"), "#/calendar/filename invalid_format")
	b.one(t, named("invite.txt"), "#/calendar/filename invalid_format")
	b.one(t, named("invite.ics.exe"), "#/calendar/filename invalid_format")
	if got := content(t, b, b.accept(t, live(named("Einladung für Ada.ics")))).Calendar.Filename; got != "Einladung für Ada.ics" {
		t.Errorf("filename %q", got)
	}
}

func FuzzCalendar(f *testing.F) {
	f.Add(invitation())
	f.Add(instead("SUMMARY:Review", "SUMM\r\n\tARY:Re\r\n view"))
	f.Add("BEGIN:VCALENDAR\nEND:VCALENDAR")
	b := inProcess(f, nil)
	f.Fuzz(func(t *testing.T, source string) {
		preview, err := b.Preview(context.Background(), live(draft(invite(source))))
		if err != nil {
			return
		}
		// What was taken is taken again, unchanged.
		first := preview.Content.Calendar
		again, err := b.Preview(context.Background(), live(draft(invite(first.Content))))
		if err != nil {
			t.Fatalf("taken once, refused now: %v\n%q", err, first.Content)
		}
		if d := cmp.Diff(first, again.Content.Calendar); d != "" {
			t.Errorf("it changes again (-first +again):\n%s", d)
		}
	})
}
