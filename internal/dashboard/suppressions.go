package dashboard

import (
	"encoding/csv"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"postrider/internal/email"
	"postrider/internal/store"
)

const (
	suppressionsShown = 50
	maxNote           = 200 // characters
	exportPage        = 1000
	exportTimeout     = 30 * time.Second // for each page of an export
)

type suppressionsPage struct {
	frame
	Email, Reason string
	Reasons       []string
	List          []email.Suppression
	Older         string
	Newest        string
	Any           bool
}

// suppressions is the list of addresses that mail must not go to.
func (d *dashboard) suppressions(v *visit) error {
	q := v.URL.Query()
	p := suppressionsPage{frame: d.frame(v, "Suppressions"), Email: strings.TrimSpace(q.Get("email")), Reason: q.Get("reason"), Reasons: email.SuppressionReasons()}
	f := store.SuppressionFilter{Reason: p.Reason}
	if p.Reason != "" && !slices.Contains(p.Reasons, p.Reason) {
		return refused("There is no reason %q.", p.Reason)
	}
	if p.Email != "" {
		a, err := email.NewAddress(p.Email, "")
		if err != nil {
			return refused("%q is not a whole mail address.", p.Email)
		}
		f.Email = a.Email
	}
	p.Any = p.Email != "" || p.Reason != ""
	if id := q.Get("id"); id != "" {
		var one *email.Suppression
		err := d.turn(v, func(w email.World) (err error) {
			one, err = d.Store.Suppressions.Get(v.Context(), w, id)
			return err
		})
		if err != nil {
			return err
		}
		p.World, p.List, p.Any, p.Newest = v.world, []email.Suppression{*one}, true, "/ui/suppressions"
		return d.render(v, "suppressions.html", p)
	}
	before := q.Get("from")
	list, next, err := d.Store.Suppressions.List(v.Context(), v.world, f, before, suppressionsShown)
	if errors.Is(err, store.ErrCursor) {
		return store.ErrNotFound
	}
	if err != nil {
		return err
	}
	q.Del("done")
	q.Del("from")
	if p.List = list; next != "" {
		p.Older = with("/ui/suppressions", q, "from", next)
	}
	if before != "" {
		p.Newest = withQuery("/ui/suppressions", q)
	}
	return d.render(v, "suppressions.html", p)
}

// suppress adds one address by hand.
func (d *dashboard) suppress(v *visit) (string, error) {
	s, fault := newSuppression(v.world, map[string]string{
		"email": v.PostFormValue("email"), "domain": v.PostFormValue("domain"), "stream": v.PostFormValue("stream"), "note": v.PostFormValue("note"),
	}, d.Now())
	if fault != "" {
		return "", refused("Nothing was added: %s.", fault)
	}
	added, err := d.Store.Suppressions.Add(v.Context(), v.world, []email.Suppression{s}, d.Now())
	if err != nil {
		return "", tooMany(err)
	}
	if !added[0].Created {
		return done("/ui/suppressions", "listed"), nil
	}
	v.did(s.ID, "")
	return done("/ui/suppressions", "suppressed"), nil
}

func tooMany(err error) error {
	if errors.Is(err, store.ErrTooManySuppressions) {
		return refused("%s.", err)
	}
	return err
}

// unsuppress takes one entry off the list.
func (d *dashboard) unsuppress(v *visit) (string, error) {
	if _, err := d.Store.Suppressions.Delete(v.Context(), v.world, v.PathValue("id"), d.Now()); err != nil {
		return "", err
	}
	v.did(v.PathValue("id"), "")
	return done("/ui/suppressions", "unsuppressed"), nil
}

// columns are those that an import reads and an export writes.
func columns() []string {
	return []string{"email", "reason", "domain", "stream", "note", "expires_at", "created_at", "source_message_id", "id"}
}

// newSuppression makes an entry of its parts, or says what is wrong with them.
func newSuppression(w email.World, parts map[string]string, now time.Time) (s email.Suppression, fault string) {
	s = email.Suppression{ID: email.NewID(email.SuppressionPrefix), World: w, Reason: email.SuppressedManual, CreatedAt: now}
	part := func(name string) string { return strings.TrimSpace(parts[name]) }
	a, err := email.NewAddress(part("email"), "")
	if err != nil {
		return s, "it has no whole mail address"
	}
	s.Email, s.Note, s.Stream = a.Email, part("note"), part("stream")
	if reason := part("reason"); reason != "" {
		if s.Reason = reason; !slices.Contains(email.SuppressionReasons(), reason) {
			return s, "its reason is none of " + strings.Join(email.SuppressionReasons(), ", ")
		}
	}
	if domain := part("domain"); domain != "" {
		if s.Domain, err = email.ParseDomain(domain); err != nil {
			return s, "its sending domain is no domain"
		}
	}
	if len(s.Stream) > 64 || strings.Trim(s.Stream, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
		return s, "its stream is no name of one"
	}
	if !utf8.ValidString(s.Note) || utf8.RuneCountInString(s.Note) > maxNote || strings.ContainsFunc(s.Note, func(r rune) bool { return unicode.IsControl(r) || email.IsBidiControl(r) }) {
		return s, fmt.Sprintf("its note has more than %d characters, or characters that cannot be shown", maxNote)
	}
	if at := part("expires_at"); at != "" {
		if s.ExpiresAt, err = time.Parse(time.RFC3339, at); err != nil || !s.ExpiresAt.After(now) || s.ExpiresAt.Year() > 9999 {
			return s, "its expires_at is no time to come, as in RFC 3339"
		}
	}
	return s, ""
}

// exportSuppressions is the whole list as CSV (RFC 4180), page by page.
func (d *dashboard) exportSuppressions(v *visit) error {
	page, next, err := d.Store.Suppressions.List(v.Context(), v.world, store.SuppressionFilter{}, "", exportPage)
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
	v.w.Header().Set("Content-Disposition", `attachment; filename="suppressions.csv"`)
	out, control := csv.NewWriter(v.w), http.NewResponseController(v.w)
	out.UseCRLF = true
	_ = out.Write(columns()) // errors stay with out until Flush
	for {
		_ = control.SetWriteDeadline(time.Now().Add(exportTimeout)) // not every server has one
		for _, s := range page {
			row := []string{s.Email, s.Reason, s.Domain, s.Stream, s.Note, email.TimeCell(s.ExpiresAt), email.TimeCell(s.CreatedAt), s.SourceMessage, s.ID}
			for i := range row {
				row[i] = email.InertCell(row[i])
			}
			_ = out.Write(row)
		}
		if out.Flush(); out.Error() == nil && next == "" {
			return nil
		}
		if out.Error() == nil {
			page, next, err = d.Store.Suppressions.List(v.Context(), v.world, store.SuppressionFilter{}, next, exportPage)
		}
		if err != nil || out.Error() != nil {
			panic(http.ErrAbortHandler) // a cut list must not look like a whole one
		}
	}
}
