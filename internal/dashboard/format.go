package dashboard

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"

	"postrider/internal/email"
	"postrider/internal/queue"
	"postrider/internal/webhook"
)

// maxText is how many octets of a text a page shows.
const maxText = 32 << 10

// functions are what the templates may call beside their fields.
func (d *dashboard) functions() template.FuncMap {
	return template.FuncMap{
		"clock":     d.clock,
		"stamp":     func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"full":      func(t time.Time) string { return t.Local().Format("Monday, 2 January 2006, 15:04:05.000 MST") },
		"label":     func(s any) string { return label(email.Status(fmt.Sprint(s))) },
		"capital":   func(s queue.State) string { return strings.ToUpper(string(s[:1])) + string(s[1:]) },
		"purpose":   strings.NewReplacer("dkim", "DKIM", "dmarc", "DMARC", "return_path_mx", "Return path: MX", "return_path_spf", "Return path: SPF").Replace,
		"octets":    octets,
		"asset":     d.assetPath,
		"beginning": func(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxText)], "") },
		"longer":    func(s string) bool { return len(s) > maxText },
		"join":      func(list []string) string { return strings.Join(list, ", ") },
		"count":     number,
		"ago":       ago,
		"since":     func(t time.Time) string { return ago(d.Now().Sub(t)) },
		"span":      short,
		"redact":    webhook.Redact,
		"later":     func(s queue.Size) int { return s.Jobs[queue.Scheduled] + s.Jobs[queue.Retrying] },
		"jobs":      func(s queue.Size, state queue.State) int { return s.Jobs[state] },
		"states":    queue.States,
		"who":       who,
		"faults":    func(field string, p *templatePage) fieldFaults { return fieldFaults{field, p.Faults[field]} },
		"px":        func(x float64) string { return strconv.FormatFloat(x, 'f', 1, 64) },
		"bar":       func(w float64) string { return strconv.FormatFloat(max(1, w*.78), 'f', 1, 64) },
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

// hidden stands for the subject of a mail to who may not read it: codes to sign in stand
// in subjects.
const hidden = "(subject hidden)"

// subject is that of a message, if who visits may read mails.
func (v *visit) subject(m *email.Message) string {
	if !v.by.May(Read) {
		return hidden
	}
	return subject(m.Subject)
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

// count writes a number with its thousands apart.
func count[N int | int64](n N) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

// number is count for templates, which know no types.
func number(n any) string {
	switch n := n.(type) {
	case int:
		return count(n)
	case int64:
		return count(n)
	}
	return fmt.Sprint(n)
}

// ago is a time span to the unit that matters.
func ago(d time.Duration) string {
	switch d = max(0, d); {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// short is a measured time in two digits or so.
func short(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return ago(d)
}
