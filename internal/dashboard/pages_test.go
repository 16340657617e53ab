package dashboard

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"postrider/internal/email"
)

func TestPagesAreOnlyRead(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/", "/ui/messages/" + email.NewMessageID(0), "/ui/style.css", "/ui/nothing"} {
		for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "BREW"} {
			rec := httptest.NewRecorder()
			w.pages.ServeHTTP(rec, httptest.NewRequest(method, path, nil))
			if rec.Code != http.StatusMethodNotAllowed || rec.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d, Allow %q", method, path, rec.Code, rec.Header().Get("Allow"))
			}
		}
	}
}

// No path leads to another by a redirect: what is not clean is not there.
func TestNoRedirects(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/ui/../messages", "/ui//style.css", "/ui/./style.css", "/ui/messages/../../v1/messages", "//"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL = &url.URL{Path: path}
		rec := httptest.NewRecorder()
		w.pages.ServeHTTP(rec, r)
		if rec.Code != http.StatusNotFound || rec.Header().Get("Location") != "" {
			t.Errorf("%s: %d to %q", path, rec.Code, rec.Header().Get("Location"))
		}
	}
}

func TestReceivedMailThatTheInboxDropped(t *testing.T) {
	w := newWorld(t)
	m := message("gone", "delivered@sandbox.test")
	w.accept(m, &email.Content{Text: "submitted"})
	path := "/ui/messages/" + m.ID
	if got := text(t, body(t, w.get(path), http.StatusOK)); !strings.Contains(got, "Not received by any host") {
		t.Error("the page does not say that it was not received")
	}
	w.attempt(m, email.Attempt{Number: 1, Outcomes: []email.Outcome{{Status: email.Delivered}}}, time.Time{})
	got := text(t, body(t, w.get(path), http.StatusOK))
	if strings.Contains(got, "Not received") || !strings.Contains(got, "Received; no longer kept in the inbox (the latest 500 mails or 67.1 MB)") {
		t.Errorf("the page says: %s", got)
	}
	// What went to a real host never was in the inbox.
	away := message("away", "ada@elsewhere.test")
	away.Envelopes[0].Sandbox = false
	w.accept(away, &email.Content{Text: "submitted"})
	w.attempt(away, email.Attempt{Number: 1, Outcomes: []email.Outcome{{Status: email.Delivered}}}, time.Time{})
	if got := text(t, body(t, w.get("/ui/messages/"+away.ID), http.StatusOK)); strings.Contains(got, "inbox (") || !strings.Contains(got, "This is what was submitted.") {
		t.Errorf("the page says: %s", got)
	}
}

func TestSubjectsThatCannotBeSeen(t *testing.T) {
	w := newWorld(t)
	for _, s := range []string{" ", "\u00a0", "\u200b\u2060", "\t\u3164"} {
		m := message(s, "a@sandbox.test")
		w.accept(m, &email.Content{Text: "x"})
		for _, path := range []string{"/ui/messages", "/ui/messages/" + m.ID} {
			if got := text(t, body(t, w.get(path), http.StatusOK)); !strings.Contains(got, "(no subject)") {
				t.Errorf("%s does not say that %q has no subject", path, s)
			}
		}
	}
}

func TestScheduledMailSaysWhen(t *testing.T) {
	w := newWorld(t)
	m := message("later", "a@sandbox.test")
	m.ScheduledAt = m.CreatedAt.Add(49 * time.Hour)
	m.ExpiresAt = m.ScheduledAt.Add(time.Hour)
	m.Recipients[0].State.Status, m.Recipients[0].State.AtAccept = email.Scheduled, email.Scheduled
	w.accept(m, &email.Content{Text: "x"})
	page := body(t, w.get("/ui/messages"), http.StatusOK)
	want := m.ScheduledAt.Format(time.RFC3339)
	if !strings.Contains(page, "will be sent") || !strings.Contains(page, `datetime="`+want+`"`) {
		t.Errorf("the list does not say that it will be sent at %s", want)
	}
}

// The pages together show every mail once, newest first.
func TestInboxPages(t *testing.T) {
	w := newWorld(t)
	const mails = 2*shown + 5
	for i := range mails {
		w.deliver(fmt.Sprintf("Subject: mail %d.\r\n\r\nx", i))
	}
	next := regexp.MustCompile(`class="next" href="([^"]*)"`)
	subjects := regexp.MustCompile(`row-subject">mail (\d+)\.<`)
	path, pages, want := "/ui/inbox?q=mail", 0, mails
	for path != "" && pages < 10 {
		page := body(t, w.get(path), http.StatusOK)
		if newest := pages == 0; strings.Contains(page, "← The newest") == newest || strings.Contains(page, `http-equiv="refresh"`) != newest {
			t.Errorf("%s: says whether it is the newest wrongly", path)
		}
		for _, f := range subjects.FindAllStringSubmatch(page, -1) {
			if want--; f[1] != strconv.Itoa(want) {
				t.Fatalf("%s: mail %s, want %d", path, f[1], want)
			}
		}
		path, pages = "", pages+1
		if older := next.FindStringSubmatch(page); older != nil {
			path = strings.ReplaceAll(older[1], "&amp;", "&")
		}
	}
	if want != 0 || pages != 3 {
		t.Errorf("%d mails are missing, on %d pages", want, pages)
	}
	for _, path := range []string{"/ui/inbox?before=x", "/ui/inbox?before=-1"} {
		body(t, w.get(path), http.StatusNotFound)
	}
}

func TestOutward(t *testing.T) {
	const away = ` target="_blank" rel="noopener noreferrer">`
	const base = `<base target="_blank">`
	tests := []struct{ name, source, want string }{
		{"link", `<a href="https://a.b/?x&amp;y">go</a>`, base + `<a href="https://a.b/?x&amp;y"` + away + `go</a>`},
		{"doctype stays first", " <!doctype html>\n<html><p>", " <!doctype html>\n" + base + "<html><p>"},
		{"target of its own", `<A TARGET=_top REL=opener PING=x HREF=mailto:a@b.c>`, base + `<a href="mailto:a@b.c"` + away},
		{"area", `<area href=tel:1>`, base + `<area href="tel:1"` + away},
		{"place in the mail", `<a href="#end">`, base + `<a href="#end" target="_self" rel="noopener noreferrer">`},
		{"script", `<a href=" java&#10;script:alert(1)">`, base + `<a` + away},
		{"data", `<a href="data:text/html,x" xlink:href="javascript:x">`, base + `<a` + away},
		{"of this server", `<a href="/ui/messages/x">`, base + `<a` + away},
		{"everything else", "<p class=x>a&nbsp;<b>\x00<style>a>b</style><!-- <a href=x> -->", base + "<p class=x>a&nbsp;<b>\x00<style>a>b</style><!-- <a href=x> -->"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := outward(test.source); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}
