package dashboard

import (
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"postrider/internal/email"
	"postrider/internal/library"
	"postrider/internal/store"
)

// The preview is made of what is entered, in a frame of its own, and keeps nothing.
func TestTemplatePreview(t *testing.T) {
	w := newWorld(t)
	made := w.template(welcome())
	path := "/ui/templates/" + made.ID
	form := fields(t, body(t, w.get(path), 200))
	form.Set("html", `<style>@media (prefers-color-scheme: dark) { p { color: red } }</style><p>Hi {{name}}</p><img src="https://x.example/i.png"><a href="https://x.example/">go</a>`)
	form.Set("sample", `{"name": "<script>alert(1)</script>"}`)
	for scheme, want := range map[string]string{"": "@media (max-width: 0px)", "dark": "@media (min-width: 0px)"} {
		form.Set("scheme", scheme)
		r := w.post(path+"/preview", form, nil)
		page := body(t, r, 200)
		if !strings.Contains(page, "Hi &lt;script&gt;") || !strings.Contains(page, want) || !strings.Contains(page, `target="_blank"`) {
			t.Errorf("preview %s", page)
		}
		if got := r.Header.Get("Content-Security-Policy"); got != previewPolicy {
			t.Errorf("policy %q", got)
		}
	}
	form.Set("images", "on")
	if got := w.post(path+"/preview", form, nil).Header.Get("Content-Security-Policy"); got != imagesPolicy {
		t.Errorf("policy with images %q", got)
	}
	form.Set("html", "{{#if a}}<script>alert(1)</script>")
	if got := body(t, w.post(path+"/preview", form, nil), 200); !strings.Contains(got, "No preview yet") || !strings.Contains(got, "line 1, column 1") || strings.Contains(got, "<script>") {
		t.Errorf("preview of a fault: %s", got)
	}
	form.Set("html", "<p>{{name}} {{order.lines}} {{#each items}}{{title}}{{/each}}</p>")
	form.Set("sample", `{"name": "Ada", "items": [{}], "nobody": 1}`)
	page := body(t, w.post(path+"/check", form, nil), 200)
	got := text(t, page)
	for _, want := range []string{"The sample lacks", "order.lines", "items.0.title", "Nothing shows nobody", "Used and not declared: order, items", "Hi Ada"} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	form.Set("do", "fill")
	if got := fields(t, body(t, w.post(path+"/check", form, nil), 200)).Get("sample"); !strings.Contains(got, `"title"`) || !strings.Contains(got, `"nobody"`) {
		t.Errorf("filled in: %s", got)
	}
	form.Set("do", "declare")
	declared := fields(t, body(t, w.post(path+"/check", form, nil), 200))
	if declared.Get("v1-key") != "order" || declared.Get("v1-type") != "object" || declared.Get("v2-key") != "items" || declared.Get("v2-type") != "array" || declared.Get("v2-required") != "yes" {
		t.Errorf("declared %v", declared)
	}
	if now := w.stored(made.ID); now.ETag != made.ETag {
		t.Errorf("saved %+v", now.Content)
	}
}

// What others use is not deleted, and the page says who they are.
func TestTemplateInUse(t *testing.T) {
	w := newWorld(t)
	frame := w.template(&library.Edit{Name: some("Frame"), Alias: some("frame"), Kind: some("layout"), HTML: some("<b>{{{content}}}</b>")})
	e := welcome()
	e.Layout = &frame.ID
	mail := w.template(e)
	if got := text(t, body(t, w.post("/ui/templates/"+frame.ID+"/delete", url.Values{"etag": {frame.ETag}}, nil), 422)); !strings.Contains(got, "It is used by welcome") {
		t.Errorf("says %s", got)
	}
	if got := text(t, body(t, w.post("/ui/templates/"+mail.ID+"/publish", url.Values{"etag": {mail.ETag}}, nil), 422)); !strings.Contains(got, "uses the layout frame, which is not published") {
		t.Errorf("says %s", got)
	}
	if got := body(t, w.get("/ui/templates/"+frame.ID+"/preview"), 200); !strings.Contains(got, "The mail itself stands here") {
		t.Errorf("the layout shows %s", got)
	}
	if got := body(t, w.get("/ui/templates/"+mail.ID+"/preview"), 200); !strings.Contains(got, "<b><p>Hi Ada</p>") {
		t.Errorf("the mail shows %s", got)
	}
}

// Roles: a viewer looks and tries, an operator edits drafts, an administrator publishes.
func TestRightsOfTemplates(t *testing.T) {
	h := newHouse(t)
	made := h.template(welcome())
	path := "/ui/templates/" + made.ID
	_, viewer := h.add("vic", store.RoleViewer, false)
	_, operator := h.add("olga", store.RoleOperator, false)
	form := func() url.Values {
		return url.Values{"world": {"test"}, "etag": {h.stored(made.ID).ETag}, "html": {"<p>{{name}}!</p>"}, "subject": {"Hi"}, "name": {"x"}, "version": {"1"}}
	}
	for _, c := range []struct {
		action            string
		viewer, operator_ int
	}{
		{"/check", 200, 200}, {"/preview", 200, 200}, {"", 403, 303}, {"/publish", 403, 403}, {"/name", 403, 403}, {"/restore", 403, 404}, {"/delete", 403, 403},
	} {
		body(t, h.ask(path+c.action, viewer, form()), c.viewer)
		body(t, h.ask(path+c.action, operator, form()), c.operator_)
		wrong := form()
		wrong.Set("token", "another")
		body(t, h.ask(path+c.action, h.admin, wrong), 403)
		body(t, h.ask(path+c.action, h.admin, form(), func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }), 403)
	}
	page := body(t, h.ask(path, viewer, nil), 200)
	for _, hidden := range []string{"data-save", path + "/publish", path + "/delete", path + "/name"} {
		if strings.Contains(page, hidden) {
			t.Errorf("a viewer is shown %s", hidden)
		}
	}
	if !strings.Contains(page, "readonly") {
		t.Error("a viewer can write into the fields")
	}
	if now := h.stored(made.ID); now.UpdatedBy != "user:olga" || now.Published != 0 {
		t.Errorf("stands at %+v", now.Template)
	}
	body(t, h.ask(path+"/publish", h.admin, form()), 303)
	changes, _, err := h.store.Audit.Latest(t.Context(), []email.World{email.Test}, "", 1)
	if err != nil || len(changes) != 1 || changes[0].Actor != "user:ada" || changes[0].Action != "template.published" {
		t.Errorf("recorded %+v, %v", changes, err)
	}
}

// Nothing that somebody wrote into a template comes alive on a page.
func TestTemplatesNeverComeAlive(t *testing.T) {
	w := newWorld(t)
	for _, payload := range payloads() {
		if strings.Contains(payload, "\u202e") {
			continue // is refused in names
		}
		t.Run(payload, func(t *testing.T) {
			plain := strings.NewReplacer("{{", "{ {", "}}", "} }").Replace(payload)
			made := w.template(&library.Edit{
				Name: &payload, Subject: &plain, Text: &plain, HTML: some("<p>" + html.EscapeString(plain) + "</p>"), From: some(`"` + strings.NewReplacer(`"`, "", `\`, "").Replace(plain) + `" <a@b.example>`),
				Variables: &[]store.TemplateVariable{{Key: "x", Type: "string", Description: payload, Default: compactJSON(payload), Example: compactJSON(payload)}},
			})
			path := "/ui/templates/" + made.ID
			for _, p := range []string{"/ui/templates", path, path + "/diff", "/ui/settings"} {
				page := body(t, w.get(p), http.StatusOK)
				if got := text(t, page); !strings.Contains(got+page, payload) && !strings.Contains(page, "&") {
					t.Errorf("%s does not show the payload as it is", p)
				}
			}
			form := url.Values{"html": {"{{" + payload}, "text": {payload}, "subject": {payload}, "from": {payload}, "sample": {payload}, "layout": {payload}, "v0-key": {payload}, "v0-type": {payload}, "v0-default": {payload}, "etag": {made.ETag}}
			text(t, body(t, w.post(path+"/check", form, nil), http.StatusOK))
			text(t, body(t, w.post(path, form, nil), http.StatusUnprocessableEntity))
			r := w.post(path+"/preview", form, nil)
			body(t, r, http.StatusOK)
			if r.Header.Get("Content-Security-Policy") != previewPolicy {
				t.Error("the frame is not shut")
			}
		})
	}
}
