package dashboard

import (
	"fmt"
	"html"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/apikey"
	"postrider/internal/email"
	"postrider/internal/store"
)

// bothWorlds are pages with live and test mail, of which somebody chose one.
func bothWorlds(t *testing.T) *world {
	w := newWorld(t)
	w.options.Worlds = []email.World{email.Live, email.Test}
	w.hook(200, "")
	w.openDesk()
	return w
}

// chosen makes a request as of one who chose a world, in this or in another tab.
func chosen(world email.World) func(*http.Request) {
	return func(r *http.Request) { r.AddCookie(&http.Cookie{Name: worldCookie, Value: string(world)}) }
}

// look reads a page as one who chose a world.
func (w *world) look(path string, world email.World) *http.Response {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	chosen(world)(r)
	rec := httptest.NewRecorder()
	w.pages.ServeHTTP(rec, r)
	return rec.Result()
}

// shows is the world that a page says it shows.
func shows(page string) string {
	if found := regexp.MustCompile(`name="world" value="(\w+)" aria-pressed="true"`).FindStringSubmatch(page); found != nil {
		return found[1]
	}
	return "none"
}

// everything is all that is stored of a world.
func (w *world) everything(of email.World) map[string]string {
	w.t.Helper()
	all := map[string]string{}
	for _, key := range w.rdb.Keys(w.t.Context(), string(of)+":*").Val() {
		switch kind := w.rdb.Type(w.t.Context(), key).Val(); kind {
		case "string":
			all[key] = w.rdb.Get(w.t.Context(), key).String()
		case "hash":
			all[key] = fmt.Sprint(w.rdb.HGetAll(w.t.Context(), key).Val())
		case "set":
			all[key] = fmt.Sprint(slices.Sorted(slices.Values(w.rdb.SMembers(w.t.Context(), key).Val())))
		case "zset":
			all[key] = fmt.Sprint(w.rdb.ZRangeWithScores(w.t.Context(), key, 0, -1).Val())
		case "list":
			all[key] = fmt.Sprint(w.rdb.LRange(w.t.Context(), key, 0, -1).Val())
		case "stream":
			all[key] = fmt.Sprint(w.rdb.XRange(w.t.Context(), key, "-", "+").Val())
		default:
			w.t.Fatalf("%s is a %s", key, kind)
		}
	}
	return all
}

// Each form of ours says which world its page showed, unless it is the same in both.
func TestFormsNameTheirWorld(t *testing.T) {
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		t.Fatal(err)
	}
	forms := 0
	for _, name := range names {
		page, err := fs.ReadFile(files, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range regexp.MustCompile(`<form[^>]*method="post".*\n?.*`).FindAllString(string(page), -1) {
			forms++
			named := strings.Contains(form, `{{template "token" `) || strings.Contains(form, `{{template "once" `)
			if apart := name == "templates/sign-in.html" || name == "templates/welcome.html" || strings.Contains(form, `action="/ui/world"`); named == apart {
				t.Errorf("%s: names its world %v: %s", name, named, form)
			}
		}
	}
	if forms < 40 {
		t.Errorf("%d forms were found", forms)
	}
}

// An action whose form names no world of ours is not done.
func TestFormWithoutWorld(t *testing.T) {
	w := bothWorlds(t)
	h := &house{world: w, dash: &dashboard{Options: w.options}}
	for _, r := range h.dash.routes() {
		method, path, _ := strings.Cut(r.pattern, " ")
		if method != http.MethodPost || path == "/ui/world" {
			continue
		}
		for _, named := range [][]string{nil, {""}, {"moon"}} {
			page := body(t, w.post(path, url.Values{"world": named}, nil), http.StatusForbidden)
			if got := text(t, page); !strings.Contains(got, "Nothing was done") || !strings.Contains(got, "live or test") {
				t.Errorf("%s of %q: %s", path, named, got)
			}
		}
	}
}

// What is made is made in the world of the page with the form, whatever was chosen in
// another tab meanwhile, and the answer shows that world.
func TestFormsActInTheirWorld(t *testing.T) {
	w := bothWorlds(t)
	tests := []struct {
		path string
		form url.Values
	}{
		{"/ui/send", url.Values{"from": {"hi@acme.test"}, "to": {"delivered@sandbox.test"}, "subject": {"x"}, "text": {"x"}}},
		{"/ui/keys", url.Values{"name": {"orders"}, "preset": {"sending"}}},
		{"/ui/suppressions", url.Values{"email": {"gone@example.org"}}},
		{"/ui/webhooks", url.Values{"url": {"https://app.example/hook"}, "event": {"message.bounced"}}},
		{"/ui/templates", url.Values{"name": {"x"}, "alias": {"x"}, "kind": {"message"}}},
	}
	for _, test := range tests {
		for _, c := range [][2]email.World{{email.Test, email.Live}, {email.Live, email.Test}} {
			of, other := c[0], c[1]
			t.Run(test.path+" of "+string(of), func(t *testing.T) {
				before, others := w.everything(of), w.everything(other)
				form := maps.Clone(test.form)
				form.Set("world", string(of))
				r := w.post(test.path, form, chosen(other))
				if r.StatusCode == http.StatusSeeOther {
					r = w.look(r.Header.Get("Location"), other)
				}
				if page := body(t, r, http.StatusOK); shows(page) != string(of) {
					t.Errorf("the answer shows %s", shows(page))
				}
				if maps.Equal(before, w.everything(of)) {
					t.Error("nothing was made")
				}
				if !maps.Equal(others, w.everything(other)) {
					t.Error("the other world was changed")
				}
			})
		}
	}
	body(t, w.upload("/ui/suppressions/import", "list.txt", "a@example.org\n"), http.StatusSeeOther)
	if list, _, err := w.store.Suppressions.List(t.Context(), email.Test, store.SuppressionFilter{}, "", 10); err != nil || len(list) != 2 {
		t.Errorf("imported to another world: %v, %v", list, err)
	}
}

// An action on what is of one world does nothing in either if its form names the other.
func TestFormsOfTheOtherWorld(t *testing.T) {
	w := bothWorlds(t)
	hook := w.hook(500, "broken")
	m := message("waits", "a@sandbox.test")
	w.accept(m, &email.Content{Text: "x"})
	gone := message("bounced", "gone@sandbox.test")
	w.accept(gone, &email.Content{Text: "x"})
	w.attempt(gone, email.Attempt{Number: 1, Outcomes: []email.Outcome{{Status: email.Bounced, Bounce: "hard", Category: "other"}}}, time.Time{})
	delivery := w.deliveries(hook)[0]
	tpl := w.template(welcome())
	key, _, err := (&dashboard{Options: w.options}).keyDesk().Create(t.Context(), apikey.Actor{User: "ada"}, email.Test, apikey.Draft{Name: some("k"), Scopes: apikey.Scopes()})
	if err != nil {
		t.Fatal(err)
	}
	listed := email.Suppression{ID: email.NewID(email.SuppressionPrefix), World: email.Test, Email: "gone@example.org", Reason: email.SuppressionReasons()[0], CreatedAt: time.Now()}
	if _, err := w.store.Suppressions.Add(t.Context(), email.Test, []email.Suppression{listed}, time.Now()); err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{"webhooks": hook.ID, "messages": m.ID, "templates": tpl.ID, "keys": key.ID, "suppressions": listed.ID}
	form := url.Values{
		"etag": {tpl.ETag}, "enabled": {"false"}, "type": {"message.delivered"}, "url": {"https://app.example/hook"}, "event": {"message.bounced"},
		"name": {"x"}, "version": {"1"}, "whom": {"all"}, "world": {string(email.Live)},
	}
	tried := 0
	for _, r := range (&dashboard{}).routes() {
		method, path, _ := strings.Cut(r.pattern, " ")
		if method != http.MethodPost || !strings.Contains(path, "{id}") {
			continue
		}
		tried++
		path = strings.NewReplacer("{id}", ids[strings.Split(path, "/")[2]], "{delivery}", delivery.ID).Replace(path)
		for _, now := range w.options.Worlds {
			live, test := w.everything(email.Live), w.everything(email.Test)
			body(t, w.post(path, form, chosen(now)), http.StatusNotFound)
			if !maps.Equal(live, w.everything(email.Live)) || !maps.Equal(test, w.everything(email.Test)) {
				t.Errorf("%s, %s chosen: something was done", path, now)
			}
		}
	}
	if tried < 20 {
		t.Errorf("%d actions were tried", tried)
	}
}

// Each link of a message leads somewhere, and to its own world, whatever was chosen.
func TestLinksKeepTheirWorld(t *testing.T) {
	w := bothWorlds(t)
	hook := w.hook(500, "broken")
	m := message("of the test world", "bounced@sandbox.test")
	listed := email.Suppression{ID: email.NewID(email.SuppressionPrefix), World: email.Test, Email: "gone@sandbox.test", Reason: email.SuppressionReasons()[0], SourceMessage: m.ID, CreatedAt: time.Now()}
	m.To = append(m.To, email.Address{Email: listed.Email})
	m.Recipients = append(m.Recipients, email.Recipient{
		Address: m.To[1], Type: email.To, Envelope: -1, State: email.RecipientState{Status: email.Suppressed, AtAccept: email.Suppressed, SuppressionID: listed.ID, Seq: 1},
	})
	w.accept(m, &email.Content{Text: "x", HTML: "<p>x</p>"})
	if _, err := w.store.Suppressions.Add(t.Context(), email.Test, []email.Suppression{listed}, time.Now()); err != nil {
		t.Fatal(err)
	}
	w.attempt(m, email.Attempt{Number: 1, Outcomes: []email.Outcome{{Status: email.Bounced, Bounce: "hard", Category: "other"}}}, time.Time{})
	if len(w.deliveries(hook)) == 0 {
		t.Fatal("no delivery was made")
	}
	w.deliver("Message-ID: " + m.MessageID + "\r\nSubject: x\r\n\r\nx")
	page := body(t, w.look("/ui/messages/"+m.ID, email.Live), http.StatusOK)
	links := map[string]bool{}
	for _, found := range regexp.MustCompile(`<a [^>]*href="(/[^"]*)"`).FindAllStringSubmatch(page, -1) {
		links[html.UnescapeString(found[1])] = true
	}
	for _, want := range []string{"/ui/webhooks/" + hook.ID + "/deliveries/", "/ui/messages?", "/ui/messages/" + m.ID + "/source", "/ui/suppressions?id=" + listed.ID, "/ui/webhooks", "/"} {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(links)), func(to string) bool { return strings.HasPrefix(to, want) }) {
			t.Errorf("no link to %s", want)
		}
	}
	// As written down elsewhere, without a world.
	links["/ui/suppressions?id="+listed.ID], links["/ui/webhooks/"+hook.ID] = true, true
	for to := range links {
		r := w.look(to, email.Live)
		if r.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", to, r.StatusCode)
			continue
		}
		got := body(t, r, http.StatusOK)
		if strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") && shows(got) != "test" {
			t.Errorf("%s shows %s", to, shows(got))
		}
		if strings.Contains(to, "tag=") && (!strings.Contains(got, m.Subject) || !strings.Contains(got, `<input type="hidden" name="world" value="test">`)) {
			t.Errorf("%s does not find it, or searches elsewhere", to)
		}
	}
	for _, path := range []string{"/ui/messages/" + m.ID, "/ui/messages?world=test&tag=receipt"} {
		if own := body(t, w.look(path, email.Test), http.StatusOK); strings.Contains(own, `?world=`) || strings.Contains(own, `;world=`) {
			t.Errorf("%s names the world that is chosen anyway", path)
		}
	}
	// Who then chooses the other one gets it.
	if page = body(t, w.look("/ui/messages?tag=receipt&world=test", email.Live), http.StatusOK); !strings.Contains(page, `name="back" value="/ui/messages?tag=receipt"`) {
		t.Error("the choice of a world leads back to another")
	}
}
