package dashboard

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"postrider/internal/email"
	"postrider/internal/library"
	"postrider/internal/store"
)

// A test mail is made from a template: test mail from its draft, live mail from what is
// published.
func TestSendATemplate(t *testing.T) {
	w := newWorld(t)
	w.openDesk()
	e := welcome()
	e.From = some("Acme <hi@acme.test>")
	made := w.template(e)
	page := body(t, w.get("/ui/send?template="+made.ID), 200)
	if got := text(t, page); !strings.Contains(got, `"name": "Ada"`) || !strings.Contains(got, "Its draft is sent") {
		t.Errorf("the form says %s", got)
	}
	form := url.Values{"template": {made.ID}, "to": {"delivered@sandbox.test"}, "nonce": {"1"}, "sample": {`{"name": "Bob <b>"}`}}
	var first string
	for range 2 { // as one mail
		r := w.post("/ui/send", form, nil)
		body(t, r, 303)
		id := strings.TrimSuffix(strings.TrimPrefix(r.Header.Get("Location"), "/ui/messages/"), "?done=sent")
		if first == "" {
			first = id
		}
		m := w.message(id)
		if id != first || m.Subject != "Hi Bob <b>" || m.From.Email != "hi@acme.test" || m.Template.ID != made.ID || m.Template.Version != 1 {
			t.Errorf("sent %+v", m)
		}
	}
	for said, c := range map[string]url.Values{
		"the data lack name":                                     {"sample": {"{}"}},
		"The data in line 1, column 2 is no JSON":                {"sample": {"{x"}},
		"name is number, and the template declares it as string": {"sample": {`{"name": 1}`}},
		"to": {"to": {"nobody"}},
	} {
		bad := url.Values{}
		for k, v := range form {
			bad[k] = v
		}
		for k, v := range c {
			bad[k] = v
		}
		page := text(t, body(t, w.post("/ui/send", bad, nil), 422))
		if !strings.Contains(page, said) || !strings.Contains(page, bad.Get("sample")) {
			t.Errorf("%v: lacks %q, or what was entered", c, said)
		}
	}
	body(t, w.get("/ui/send?template=tpl_x"), 404)
	body(t, w.get("/ui/send?template="+email.NewID(email.TemplatePrefix)), 404)

	w.options.Worlds = []email.World{email.Live}
	w.openDesk()
	by := library.Author{World: email.Live, Name: "ada", At: time.Now()}
	live, err := w.library().Create(t.Context(), by, e)
	if err != nil {
		t.Fatal(err)
	}
	if got := text(t, body(t, w.get("/ui/send?template="+live.ID), 200)); !strings.Contains(got, "Not published yet") {
		t.Errorf("the form says %s", got)
	}
	form.Set("template", live.ID)
	form.Set("nonce", "2")
	body(t, w.post("/ui/send", form, nil), 422)
	if _, err := w.library().Publish(t.Context(), by, live.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.library().Update(t.Context(), by, live.ID, &library.Edit{Subject: some("draft")}); err != nil {
		t.Fatal(err)
	}
	r := w.post("/ui/send", form, nil)
	body(t, r, 303)
	list, _, err := w.store.Messages.List(t.Context(), email.Live, store.Filter{}, "", 5)
	if err != nil || len(list) != 1 || list[0].Subject != "Hi Bob <b>" || list[0].Template.Version != 1 {
		t.Errorf("sent %+v, %v", list, err)
	}
}
