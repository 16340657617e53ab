package dashboard

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
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
}

func TestSubjectsThatCannotBeSeen(t *testing.T) {
	w := newWorld(t)
	for _, s := range []string{" ", "\u00a0", "\u200b\u2060", "\t\u3164"} {
		m := message(s, "a@sandbox.test")
		w.accept(m, &email.Content{Text: "x"})
		for _, path := range []string{"/ui/inbox", "/ui/messages/" + m.ID} {
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
	page := body(t, w.get("/ui/inbox"), http.StatusOK)
	want := m.ScheduledAt.Format(time.RFC3339)
	if !strings.Contains(page, "will be sent") || !strings.Contains(page, `datetime="`+want+`"`) {
		t.Errorf("the list does not say that it will be sent at %s", want)
	}
}

// The pages together show every mail once, newest first, those of no message too.
func TestInboxPages(t *testing.T) {
	w := newWorld(t)
	const messages, foreign = 110, 15
	for i := range messages {
		m := message(fmt.Sprintf("mail %d.", i), "a@sandbox.test")
		w.accept(m, &email.Content{Text: "x"})
		if i == 0 || i%10 == 5 {
			w.deliver("Message-ID: " + m.MessageID + "\r\nSubject: copy\r\n\r\nx")
		}
		if i%8 == 7 || i > messages-3 {
			w.deliver(fmt.Sprintf("Subject: foreign %d.\r\n\r\nx", i))
		}
	}
	var seen []string
	older := regexp.MustCompile(`href="(/ui/inbox\?[^"]*before[^"]*)"`)
	subjects := regexp.MustCompile(`row-subject">([^<]*)<`)
	path, pages := "/ui/inbox", 0
	for path != "" && pages < 10 {
		page := body(t, w.get(path), http.StatusOK)
		if newest := path == "/ui/inbox"; strings.Contains(page, "The newest 50") != newest || strings.Contains(page, `http-equiv="refresh"`) != newest {
			t.Errorf("%s: says whether it is the newest wrongly", path)
		}
		found := subjects.FindAllStringSubmatch(page, -1)
		if len(found) > shown {
			t.Errorf("%s has %d rows", path, len(found))
		}
		for _, f := range found {
			seen = append(seen, f[1])
		}
		path, pages = "", pages+1
		if next := older.FindStringSubmatch(page); next != nil {
			path = strings.ReplaceAll(next[1], "&amp;", "&")
		}
	}
	once := make(map[string]bool)
	for _, s := range seen {
		if once[s] {
			t.Errorf("%q stands there twice", s)
		}
		once[s] = true
	}
	if want := messages + foreign; len(seen) != want || pages != 3 {
		t.Errorf("%d mails on %d pages, want %d on 3", len(seen), pages, want)
	}
	if once["copy"] {
		t.Error("a caught mail whose message is listed has a row of its own")
	}
	for _, path := range []string{"/ui/inbox?before=msg_1&at=1", "/ui/inbox?at=x"} {
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
