package dashboard

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"strconv"

	"postrider/internal/intake"
	"postrider/internal/library"
	"postrider/internal/store"
)

// framePage is what stands in the place of a mail that cannot be made.
type framePage struct {
	Faults []placedFault
}

// placedFault is a fault with the field that it is in.
type placedFault struct {
	Field string
	faultView
}

// writeFrame writes the HTML of a mail for a frame: alone, without scripts, forms or
// network.
func writeFrame(w http.ResponseWriter, page string, images bool) {
	w.Header().Set("Content-Security-Policy", previewPolicy)
	if images {
		w.Header().Set("Content-Security-Policy", imagesPolicy)
	}
	w.Header().Set("X-DNS-Prefetch-Control", "off")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Referrer-Policy", "no-referrer")
	_, _ = w.Write([]byte(silenced(page)))
}

// calling begins an element by which a browser calls on a host, before the policy of the
// page is asked or whatever it says: link with rel=preconnect, and frames.
var calling = regexp.MustCompile(`(?i)<(?:link|i?frame|fencedframe)([\s/>])`)

// silenced takes those elements away. A meta element does nothing with their attributes.
func silenced(page string) string { return calling.ReplaceAllString(page, "<meta$1") }

// showFrame writes what a template makes of data, or what is wrong.
func (d *dashboard) showFrame(v *visit, shown *library.Preview, choice frameChoice, faults []placedFault) error {
	if shown != nil && shown.Output != nil && len(faults) == 0 {
		mail, err := intake.Finish(shown.HTML, shown.Text)
		if err == nil {
			page := mail.HTML
			if page == "" {
				page = plainPage(mail.Text)
			}
			writeFrame(v.w, outward(schemed(page, choice.Dark)), choice.Images)
			return nil
		}
		faults = []placedFault{{"html", faultView{Detail: err.Error()}}}
	}
	var b bytes.Buffer
	if err := d.pages["template.html"].ExecuteTemplate(&b, "frame", framePage{faults}); err != nil {
		return fmt.Errorf("make the frame: %w", err)
	}
	writeFrame(v.w, schemed(b.String(), choice.Dark), false)
	return nil
}

// scheme is the question of a style sheet for light or dark.
var (
	scheme   = regexp.MustCompile(`(?i)\(\s*prefers-color-scheme\s*:\s*(dark|light)\s*\)`)
	schemes  = regexp.MustCompile(`(?i)(color-scheme\s*:\s*|name="(?:supported-)?color-schemes?" content=")(?:light\s+dark|dark\s+light)`)
	anyWidth = map[bool]string{true: "(min-width: 0px)", false: "(max-width: 0px)"}
)

// schemed answers what a mail asks of its reader's screen, so that it can be looked at
// as on a light or a dark one, whatever ours is.
func schemed(page string, dark bool) string {
	word := map[bool]string{true: "dark", false: "light"}[dark]
	page = scheme.ReplaceAllStringFunc(page, func(found string) string {
		return anyWidth[bytes.EqualFold([]byte(scheme.FindStringSubmatch(found)[1]), []byte(word))]
	})
	return schemes.ReplaceAllString(page, "${1}"+word)
}

// showTemplate is the preview of a stored version, made of its examples.
func (d *dashboard) showTemplate(v *visit) error {
	t, reading, err := d.theTemplate(v, v.PathValue("id"))
	if err != nil {
		return err
	}
	n, err := versionOf(v.URL.Query().Get("version"))
	if err != nil {
		return err
	}
	shown, err := reading.Preview(v.Context(), t.ID, n, nil)
	if err != nil {
		return ofLibrary(err)
	}
	choice := frameChoice{v.URL.Query().Get("scheme") == "dark", v.URL.Query().Get("images") == "on"}
	return d.showFrame(v, shown, choice, placedFaults(faultsOf(t, shown, nil)))
}

// previewTemplate is the preview of what is in the fields.
func (d *dashboard) previewTemplate(v *visit) (string, error) {
	p, err := d.entered(v)
	if err != nil {
		return "", err
	}
	return "", d.showFrame(v, p.shown, p.Form.Choice, placedFaults(p.Faults))
}

// versionOf reads the number of a version; empty or draft: 0, the draft.
func versionOf(s string) (int, error) {
	if s == "" || s == "draft" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || strconv.Itoa(n) != s {
		return 0, store.ErrNotFound
	}
	return n, nil
}
