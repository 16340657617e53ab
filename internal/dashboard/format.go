package dashboard

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	"postrider/internal/email"
)

// functions are what the templates may call beside their fields.
func (d *dashboard) functions() template.FuncMap {
	return template.FuncMap{
		"clock":  d.clock,
		"stamp":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"full":   func(t time.Time) string { return t.Local().Format("Monday, 2 January 2006, 15:04:05.000 MST") },
		"label":  label,
		"octets": octets,
		"asset":  d.assetPath,
	}
}

// clock is a time as short as it can be told apart: today's without the date.
func (d *dashboard) clock(t time.Time) string {
	t, now := t.Local(), d.Now().Local()
	switch {
	case t.Year() != now.Year():
		return t.Format("2 Jan 2006 15:04")
	case t.YearDay() != now.YearDay():
		return t.Format("2 Jan 15:04")
	}
	return t.Format("15:04:05")
}

// label writes a status for people.
func label(s email.Status) string {
	if s == email.PartiallyDelivered {
		return "partly delivered"
	}
	return strings.ReplaceAll(string(s), "_", " ")
}

func octets(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1000)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1000_000)
}

// subject is a subject that can be seen; empty if it has nothing to see.
func subject(s string) string {
	if strings.TrimFunc(s, email.IsBlank) == "" {
		return ""
	}
	return s
}

// address writes a mailbox for people.
func address(a email.Address) string {
	if a.Name == "" {
		return a.Email
	}
	return a.Name + " <" + a.Email + ">"
}

// addresses joins mailboxes for a header.
func addresses(list []email.Address) string {
	all := make([]string, len(list))
	for i, a := range list {
		all[i] = address(a)
	}
	return strings.Join(all, ", ")
}

// replyLine writes an SMTP reply as it was: code, enhanced code, text.
func replyLine(r *email.Reply) string {
	if r == nil {
		return ""
	}
	return strings.TrimSpace(strings.Join(strings.Fields(fmt.Sprintf("%d %s %s", r.Code, r.EnhancedCode, r.Text)), " "))
}
