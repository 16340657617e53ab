package interop_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/interop"
	"postrider/smtpclient/smtptest"
)

// ends are the sequences by which servers have been made to see the end of a mail where
// there is none: CVE-2023-51764 and its like.
func ends() []string {
	return []string{
		"\n.\n", "\n.\r", "\r.\n", "\r.\r", "\n.\r\n", "\r.\r\n", "\r\n.\r\r\n", "\r\r\n.\r\r\n", "\r\n\x00.\r\n",
	}
}

// second is the mail that an attacker wants a server to see behind one of them.
const second = "MAIL FROM:<evil@evil.test>\r\nRCPT TO:<victim@evil.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nsmuggled\r\n.\r\n"

// fields are the strings of a message, each with a way to fill it.
func fields() map[string]func(m map[string]any, s string) {
	object := func(key, member string) func(map[string]any, string) {
		return func(m map[string]any, s string) {
			person := map[string]any{"email": "ada@acme.test", "name": "Ada"}
			person[member] = "a" + s
			if member == "email" {
				person[member] = "a" + s + "@acme.test"
			}
			if key == "to" || key == "cc" || key == "bcc" {
				if list, ok := m[key].([]any); ok {
					m[key] = append(list, person)
					return
				}
				m[key] = []any{person}
				return
			}
			m[key] = person
		}
	}
	file := func(member string) func(map[string]any, string) {
		return func(m map[string]any, s string) {
			a := map[string]any{"filename": "a.txt", "content": base64.StdEncoding.EncodeToString([]byte("x"))}
			a[member] = s
			m["attachments"] = []any{a}
		}
	}
	all := map[string]func(m map[string]any, s string){
		"subject": func(m map[string]any, s string) { m["subject"] = "a" + s },
		"text":    func(m map[string]any, s string) { m["text"] = "a" + s },
		"html":    func(m map[string]any, s string) { m["html"] = "<p>a" + s },
		"html alone": func(m map[string]any, s string) {
			m["html"] = s
			delete(m, "text")
		},
		"text begins":  func(m map[string]any, s string) { m["text"] = s },
		"header name":  func(m map[string]any, s string) { m["headers"] = map[string]any{"X-A" + s: "v"} },
		"header value": func(m map[string]any, s string) { m["headers"] = map[string]any{"X-A": "v" + s} },
		"list id":      func(m map[string]any, s string) { m["headers"] = map[string]any{"List-Id": "<v" + s + ">"} },
		"from text":    func(m map[string]any, s string) { m["from"] = `"` + s + `" <hi@acme.test>` },
		"local part":   func(m map[string]any, s string) { m["from"] = `"` + s + `"@acme.test` },
		"tag":          func(m map[string]any, s string) { m["tags"] = []any{"a" + s} },
		"metadata":     func(m map[string]any, s string) { m["metadata"] = map[string]any{"k" + s: "v" + s} },
		"filename":     file("filename"), "content": file("content"), "content type": file("content_type"), "content id": file("content_id"),
		"attached": func(m map[string]any, s string) {
			file("content")(m, base64.StdEncoding.EncodeToString([]byte("a"+s+"b")))
		},
		"attached text": func(m map[string]any, s string) {
			m["attachments"] = []any{map[string]any{
				"filename": "a.txt", "content_type": "text/plain; charset=utf-8", "content": base64.StdEncoding.EncodeToString([]byte("a" + s)),
			}}
		},
		"charset": func(m map[string]any, s string) { file("content_type")(m, `text/plain; charset="`+s+`"`) },
	}
	for _, key := range []string{"from", "to", "cc", "bcc", "reply_to"} {
		all[key+" name"], all[key+" email"] = object(key, "name"), object(key, "email")
	}
	return all
}

// TestNothingIsSmuggled posts messages with each sequence in each field and a second
// mail behind it. Each is refused with 422, or arrives through each server as exactly
// one mail.
func TestNothingIsSmuggled(t *testing.T) {
	routes := make(map[string]*site)
	var to []any
	for name, start := range sites() {
		domain := strings.ToLower(name) + ".test"
		routes[domain] = newSite(t, start)
		to = append(to, "victim@"+domain)
	}
	s := startService(t, routes)
	accepted := make(map[string]string) // id -> what
	refused := 0
	for name, fill := range fields() {
		for _, end := range ends() {
			m := map[string]any{"from": "hi@acme.test", "to": slices.Clone(to), "subject": "Hello", "text": "Hi"}
			fill(m, end+second)
			what := fmt.Sprintf("%q in %s", end, name)
			switch id, status, answer := s.post(m); status {
			case http.StatusAccepted:
				accepted[id] = what
			case http.StatusUnprocessableEntity:
				refused++
			default:
				t.Errorf("%s: %d %s", what, status, answer)
			}
		}
	}
	if len(accepted) < 6*(len(ends())-1) || refused == 0 { // no field has room for the NUL
		t.Errorf("%d accepted, %d refused: the fields are not what they were", len(accepted), refused)
	}
	for domain, server := range routes {
		server.arriveOnce(domain, accepted)
	}
	t.Logf("%d accepted, %d refused", len(accepted), refused)
}

// arriveOnce waits for all mails and sees that they are all.
func (s *site) arriveOnce(domain string, accepted map[string]string) {
	s.t.Helper()
	arrived := s.await(func(arrived []smtptest.Mail) bool { return len(arrived) >= len(accepted) })
	// What stood in the server's queue behind them would come before this one.
	s.raw("From: last@acme.test\r\nMessage-ID: <msg_last@acme.test>\r\n\r\nlast\r\n.\r\n")
	arrived = s.await(func(all []smtptest.Mail) bool {
		arrived = all
		return slices.ContainsFunc(all, func(m smtptest.Mail) bool { return messageID(m.Data) == "msg_last" })
	})
	times := make(map[string]int)
	for _, m := range arrived {
		id := messageID(m.Data)
		times[id]++
		if _, ours := accepted[id]; !ours && id != "msg_last" || m.From == "evil@evil.test" || slices.Contains(m.To, "victim@evil.test") {
			s.t.Errorf("%s: a mail that nobody sent, from %s to %q:\n%.1000q", s.Name, m.From, m.To, m.Data)
		}
		if id != "msg_last" && !slices.Equal(m.To, []string{"victim@" + domain}) {
			s.t.Errorf("%s: %s went to %q", s.Name, accepted[id], m.To)
		}
	}
	for id, what := range accepted {
		if times[id] != 1 {
			s.t.Errorf("%s: %s arrived %d times", s.Name, what, times[id])
		}
	}
}

// raw writes data to the server by hand, as a careless client would.
func (s *site) raw(data string) {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.Addr)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	buf := make([]byte, 4096)
	for _, part := range []string{"", "EHLO client.test\r\n", "MAIL FROM:<hi@acme.test>\r\n", "RCPT TO:<ada@b.test>\r\n", "DATA\r\n", data} {
		if _, err := io.WriteString(conn, part); err != nil {
			s.t.Fatal(err)
		}
		if n, err := conn.Read(buf); err != nil || buf[0] > '3' {
			s.t.Fatalf("%s: %q to %.20q, %v", s.Name, buf[:n], part, err)
		}
	}
	_ = conn.(*net.TCPConn).CloseWrite()
	_, _ = io.Copy(io.Discard, conn)
}

// TestASmuggledMailWouldBeSeen shows what the test above would see: Debian's Postfix
// takes a second mail behind a true end of data, and behind some of the sequences.
func TestASmuggledMailWouldBeSeen(t *testing.T) {
	s := newSite(t, interop.StartPostfix)
	for _, end := range append(ends(), "\r\n.\r\n") {
		s.raw("From: hi@acme.test\r\nMessage-ID: <msg_first@acme.test>\r\n\r\na" + end + second + ".\r\nQUIT\r\n")
	}
	arrived := s.await(func(all []smtptest.Mail) bool {
		return len(all) > len(ends())+1 && slices.ContainsFunc(all, func(m smtptest.Mail) bool { return slices.Contains(m.To, "victim@evil.test") })
	})
	t.Logf("%d mails came of %d", len(arrived), len(ends())+1)
}
