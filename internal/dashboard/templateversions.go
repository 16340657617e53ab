package dashboard

import (
	"cmp"
	"fmt"
	"html"
	"slices"
	"strconv"
	"strings"

	"postrider/internal/library"
	"postrider/internal/store"
)

type comparePage struct {
	frame
	Template *store.Template
	Versions []versionRow
	From, To int
	Parts    []diffPart
	// Publishes: To is the draft, and the reader may publish it.
	Draft, Publishes bool
}

// compareTemplate shows what changed from one version to another: to the draft from what
// is published, unless others are named. From 0 all of it is new.
func (d *dashboard) compareTemplate(v *visit) error {
	t, reading, err := d.theTemplate(v, v.PathValue("id"))
	if err != nil {
		return err
	}
	p := &comparePage{frame: d.frame(v, "Changes of "+t.Name), Template: t, Versions: versionsOf(t)}
	q := v.URL.Query()
	if p.To, err = versionOf(q.Get("to")); err != nil {
		return err
	}
	p.To = cmp.Or(p.To, t.Draft.Number)
	if p.From, err = versionOf(q.Get("from")); err != nil {
		return err
	}
	if !q.Has("from") {
		p.From = earlier(t, p.To)
	}
	p.Draft = p.To == t.Draft.Number && t.Draft.Number != t.Published
	p.Publishes = p.Draft && v.by.May(Administer)
	after, err := reading.Get(v.Context(), t.ID, p.To, false)
	if err != nil {
		return ofLibrary(err)
	}
	before := &library.Stored{Content: &store.TemplateContent{}}
	if p.From > 0 {
		if before, err = reading.Get(v.Context(), t.ID, p.From, false); err != nil {
			return ofLibrary(err)
		}
	}
	p.Parts = compareContents(before.Content, after.Content)
	return d.render(v, "template-diff.html", p)
}

// earlier is the version that another is compared with: what is published, or what was
// published before it. 0: none.
func earlier(t *store.Template, n int) int {
	if n != t.Published && t.Version(n) == nil {
		return t.Published
	}
	i := slices.IndexFunc(t.Versions, func(v store.TemplateVersion) bool { return v.Number == n })
	if i < 1 {
		return 0
	}
	return t.Versions[i-1].Number
}

// compareContents are the parts in which two contents differ.
func compareContents(before, after *store.TemplateContent) (parts []diffPart) {
	for _, x := range []struct{ name, before, after string }{
		{"Subject", before.Subject, after.Subject},
		{"From", before.From, after.From},
		{"Reply-To", before.ReplyTo, after.ReplyTo},
		{"Layout", before.Layout, after.Layout},
		{"HTML", lines(before.HTML), lines(after.HTML)},
		{"Text", lines(before.Text), lines(after.Text)},
		{"Variables", written(before.Variables), written(after.Variables)},
	} {
		if p, ok := compare(x.name, x.before, x.after); ok {
			parts = append(parts, p)
		}
	}
	return parts
}

// written are declarations as lines.
func written(list []store.TemplateVariable) string {
	var b strings.Builder
	for _, x := range list {
		fmt.Fprintf(&b, "%s: %s", x.Key, x.Type)
		if x.Required {
			b.WriteString(", required")
		}
		b.WriteString("\n")
		for _, f := range []struct{ name, value string }{{"description", x.Description}, {"default", string(x.Default)}} {
			if f.value != "" {
				fmt.Fprintf(&b, "  %s: %s\n", f.name, f.value)
			}
		}
		if x.Example != nil {
			fmt.Fprintf(&b, "  example: %s\n", strings.ReplaceAll(indented(x.Example), "\n", "\n  "))
		}
	}
	return b.String()
}

// against is what was entered compared with what stands there now.
func (p *templatePage) against() []diffPart {
	f := p.Form
	variables, _ := f.variables()
	return compareContents(f.before.Content, &store.TemplateContent{
		Subject: f.Subject, From: f.From, ReplyTo: f.ReplyTo, Layout: f.Layout, HTML: f.HTML, Text: f.Text, Variables: variables,
	})
}

// publishTemplate has the draft sent that its reader saw.
func (d *dashboard) publishTemplate(v *visit) (string, error) {
	return d.changeTemplate(v, "published", func(a library.Author, id string) error {
		_, err := d.library.Publish(v.Context(), a, id)
		return err
	})
}

// restoreTemplate makes an earlier version the draft.
func (d *dashboard) restoreTemplate(v *visit) (string, error) {
	n, err := strconv.Atoi(v.PostFormValue("version"))
	if err != nil {
		return "", store.ErrNotFound
	}
	return d.changeTemplate(v, "restored", func(a library.Author, id string) error {
		_, err := d.library.Restore(v.Context(), a, id, n)
		return err
	})
}

// renameTemplate changes what a template is called, which counts at once.
func (d *dashboard) renameTemplate(v *visit) (string, error) {
	name, alias := strings.TrimSpace(v.PostFormValue("name")), strings.TrimSpace(v.PostFormValue("alias"))
	return d.changeTemplate(v, "renamed", func(a library.Author, id string) error {
		_, err := d.library.Update(v.Context(), a, id, &library.Edit{Name: &name, Alias: &alias})
		return err
	})
}

// deleteTemplate takes a template away, if no other uses it.
func (d *dashboard) deleteTemplate(v *visit) (string, error) {
	to, err := d.changeTemplate(v, "removed", func(a library.Author, id string) error {
		return d.library.Delete(v.Context(), a, id)
	})
	if err == nil {
		to = done("/ui/templates", "removed")
	}
	return to, err
}

// changeTemplate makes a change to what the page showed.
func (d *dashboard) changeTemplate(v *visit, word string, change func(a library.Author, id string) error) (string, error) {
	t, _, err := d.theTemplate(v, v.PathValue("id"))
	if err != nil {
		return "", err
	}
	if err := change(d.author(v, sameETag(v.PostFormValue("etag"))), t.ID); err != nil {
		return "", ofLibrary(err)
	}
	v.did(t.ID, "")
	return done("/ui/templates/"+t.ID, word), nil
}

// plainPage is a text as a page, for mail without HTML.
func plainPage(text string) string {
	return `<!doctype html><meta charset="utf-8"><meta name="color-scheme" content="light dark">` +
		`<pre style="margin: 1rem; white-space: pre-wrap; overflow-wrap: anywhere; font: 14px/1.5 ui-monospace, monospace">` + html.EscapeString(text) + `</pre>`
}
