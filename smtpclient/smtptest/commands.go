package smtptest

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// hello answers EHLO and HELO.
func (x *session) hello(c Command, name string) error {
	o := &x.srv.o
	lines := []string{o.Hostname}
	if c.Stage == "EHLO" {
		lines = append(lines, x.keywords()...)
	}
	ordinary := ""
	for i, line := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		ordinary += "250" + sep + line + "\r\n"
	}
	if c.Stage == "EHLO" && o.NoEHLO {
		ordinary = "502 5.5.1 EHLO is not known here"
	}
	class, err := x.answer(x.action(c), ordinary)
	if class == '2' {
		x.helo = true
		x.reset()
		x.srv.mu.Lock()
		x.record.HELO = name
		x.srv.mu.Unlock()
	}
	return err
}

// keywords lists what EHLO announces.
func (x *session) keywords() []string {
	o := &x.srv.o
	list := []string{"ENHANCEDSTATUSCODES"}
	if !o.NoPipelining {
		list = append(list, "PIPELINING")
	}
	if !o.No8BitMIME {
		list = append(list, "8BITMIME")
	}
	if o.Size > 0 {
		list = append(list, fmt.Sprintf("SIZE %d", o.Size))
	} else {
		list = append(list, "SIZE")
	}
	if o.STARTTLS && !x.tls {
		list = append(list, "STARTTLS")
	}
	if len(o.Users) > 0 {
		list = append(list, "AUTH PLAIN LOGIN")
	}
	return append(list, o.Keywords...)
}

// auth runs AUTH PLAIN and AUTH LOGIN.
func (x *session) auth(c Command, arg string) error {
	a := x.action(c)
	if a != (Action{}) {
		_, err := x.answer(a, "")
		return err
	}
	var user, password string
	switch mechanism, initial, _ := strings.Cut(arg, " "); mechanism {
	case "PLAIN":
		response := decode(initial)
		if initial == "" {
			var err error
			if response, err = x.challenge(""); err != nil {
				return err
			}
		}
		parts := strings.Split(response, "\x00")
		if len(parts) != 3 {
			return x.refuse("501 5.5.2 cannot read that")
		}
		user, password = parts[1], parts[2]
	case "LOGIN":
		var err error
		if user, err = x.challenge("Username:"); err != nil {
			return err
		}
		if password, err = x.challenge("Password:"); err != nil {
			return err
		}
	default:
		return x.refuse("504 5.5.4 mechanism not known")
	}
	if want, ok := x.srv.o.Users[user]; !ok || want != password {
		return x.refuse("535 5.7.8 credentials are wrong")
	}
	x.srv.mu.Lock()
	x.record.User = user
	x.srv.mu.Unlock()
	_, err := x.answer(Action{}, "235 2.7.0 welcome")
	return err
}

// refuse answers whatever the script says.
func (x *session) refuse(answer string) error {
	_, err := x.answer(Action{}, answer)
	return err
}

func (x *session) challenge(prompt string) (string, error) {
	if _, err := x.answer(Action{}, "334 "+base64.StdEncoding.EncodeToString([]byte(prompt))); err != nil {
		return "", err
	}
	line, err := x.readCommand()
	return decode(line), err
}

func decode(s string) string {
	b, _ := base64.StdEncoding.DecodeString(s)
	return string(b)
}

// path takes the mailbox and the parameters out of "FROM:<a@b> SIZE=1".
func path(arg, prefix string) (mailbox, params string, ok bool) {
	if len(arg) < len(prefix) || !strings.EqualFold(arg[:len(prefix)], prefix) {
		return "", "", false
	}
	rest, ok := strings.CutPrefix(arg[len(prefix):], "<")
	end := strings.LastIndexByte(rest, '>')
	if !ok || end < 0 {
		return "", "", false
	}
	return rest[:end], strings.TrimPrefix(rest[end+1:], " "), true
}

func (x *session) mailFrom(c Command, arg string) error {
	mailbox, params, ok := path(arg, "FROM:")
	ordinary := "250 2.1.0 ok"
	switch {
	case !ok:
		ordinary = "501 5.5.4 syntax"
	case !x.helo || x.mail:
		ordinary = "503 5.5.1 not now"
	}
	c.Path = mailbox
	class, err := x.answer(x.action(c), ordinary)
	if class == '2' {
		x.from, x.params, x.mail = mailbox, params, true
	}
	return err
}

func (x *session) rcptTo(c Command, arg string) error {
	mailbox, _, ok := path(arg, "TO:")
	ordinary := "250 2.1.5 ok"
	switch {
	case !ok:
		ordinary = "501 5.5.4 syntax"
	case !x.mail:
		ordinary = "503 5.5.1 MAIL first"
	}
	c.Path = mailbox
	class, err := x.answer(x.action(c), ordinary)
	if class == '2' {
		x.to = append(x.to, mailbox)
	}
	return err
}

// data answers DATA and, after 354, reads the content up to the final dot.
func (x *session) data(c Command) error {
	ordinary := "354 go ahead"
	if len(x.to) == 0 {
		ordinary = "503 5.5.1 no valid recipients"
	}
	class, err := x.answer(x.action(c), ordinary)
	if err != nil || class != '3' {
		return err
	}
	if err := x.w.Flush(); err != nil {
		return err
	}
	c.Stage = "BODY"
	if a := x.action(c); a != (Action{}) {
		if _, err := x.r.Discard(a.After); err != nil {
			return err
		}
		a.After = 0
		if _, err := x.answer(a, ""); err != nil {
			return err
		}
		if err := x.w.Flush(); err != nil {
			return err
		}
	}
	content, err := x.readContent()
	if err != nil {
		return err
	}
	if x.r.Buffered() > 0 {
		x.violation("sent more behind the final dot")
	}
	return x.dot(c, content)
}

// readContent reads up to CRLF.CRLF and takes the stuffed dots away. Only that
// sequence ends it: no bare CR or LF does.
func (x *session) readContent() ([]byte, error) {
	var content []byte
	lineStart := true
	for {
		line, err := x.r.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		whole := len(line) >= 2 && line[len(line)-2] == '\r'
		if lineStart && string(line) == ".\r\n" {
			return content, nil
		}
		if lineStart && line[0] == '.' {
			if line = line[1:]; len(line) > 0 && line[0] != '.' {
				x.violation("content line begins with a dot that is not stuffed")
			}
		}
		if !whole || strings.ContainsAny(string(line[:len(line)-2]), "\r\x00") {
			x.violation("content with a bare CR, a bare LF or a NUL")
		}
		content = append(content, line...)
		lineStart = whole
	}
}

// dot answers the final dot. The mail is recorded before the answer leaves.
func (x *session) dot(c Command, content []byte) error {
	defer x.reset()
	if len(x.to) == 0 {
		return x.refuse("554 5.5.1 no valid recipients")
	}
	c.Stage = "DOT"
	a := x.action(c)
	m := Mail{
		Session: x.record.ID, From: x.from, To: x.to, Params: x.params,
		Data: content, TLS: x.tls, At: time.Now(), Reply: a.Answer,
	}
	x.srv.mu.Lock()
	ordinary := fmt.Sprintf("250 2.0.0 queued as %d", len(x.srv.mails))
	if a.Answer == "" && a.Raw == "" && !a.ends() {
		m.Reply = ordinary
	}
	x.srv.mails = append(x.srv.mails, m)
	x.srv.mu.Unlock()
	_, err := x.answer(a, ordinary)
	return err
}
