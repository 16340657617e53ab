package smtpclient_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/smtpclient"
	"postrider/smtpclient/smtptest"
)

// fault is one way for a server to misbehave.
type fault struct {
	name   string
	action smtptest.Action
}

func faults() []fault {
	return []fault{
		{"4xx", smtptest.Reply("450 4.2.0 not now")},
		{"5xx", smtptest.Reply("550 5.7.1 never")},
		{"421", smtptest.ReplyClose("421 4.3.2 closing")},
		{"close", smtptest.Close()},
		{"reset", smtptest.Reset()},
		{"stall", smtptest.Stall()},
		{"garbage", smtptest.Garbage("HTTP/1.1 400 Bad Request\r\n\r\n")},
		{"huge line", smtptest.Flood(strings.Repeat("250-x", 1000))},
	}
}

// expectation is what comes of a fault for a@b.test, whose RCPT is taken, and for
// b@b.test, whose RCPT meets the fault at stage RCPT.
type expectation struct {
	a, b   string
	reused bool // the connection serves the next transaction
}

func both(fate string, reused bool) expectation { return expectation{fate, fate, reused} }

func expected(stage, fault string) expectation {
	lower := strings.ToLower(stage)
	if stage == "EHLO" && fault == "5xx" {
		return both("250", true) // HELO does it
	}
	switch fault {
	case "4xx":
		switch stage {
		case "GREETING", "EHLO":
			return both("temporary "+lower+" 450", false)
		case "RCPT":
			return expectation{"250", "temporary rcpt 450", true}
		}
		return both("temporary "+lower+" 450", true)
	case "5xx":
		switch stage {
		case "GREETING":
			return both("temporary greeting 550", false)
		case "RCPT":
			return expectation{"250", "permanent rcpt 550", true}
		}
		return both("permanent "+lower+" 550", true)
	case "421":
		return both("temporary "+lower+" 421", false)
	}
	if stage == "DOT" {
		return both("unknown dot -", false)
	}
	return both("temporary "+lower+" -", false)
}

func TestFaultMatrix(t *testing.T) {
	t.Parallel()
	for _, stage := range []string{"GREETING", "EHLO", "MAIL", "RCPT", "DATA", "DOT"} {
		for _, f := range faults() {
			for _, pipelining := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/%s/pipelining=%v", stage, f.name, pipelining), func(t *testing.T) {
					t.Parallel()
					testFault(t, stage, f, pipelining)
				})
			}
		}
	}
}

func testFault(t *testing.T, stage string, f fault, pipelining bool) {
	key := stage
	if stage == "RCPT" {
		key = "RCPT b@b.test"
	}
	srv := smtptest.New(t, smtptest.Options{
		NoPipelining: !pipelining,
		Script:       smtptest.Script{key: {f.action, smtptest.Pass()}},
	})
	tr := newTransport(t, func(o *smtpclient.Options) {
		if f.name == "stall" {
			o.Timeouts = shortAt(stage)
		}
	})
	res := send(tr, planFor(srv), mailTo("a@b.test", "b@b.test"))
	want := expected(stage, f.name)
	got := fates(res)
	if f.name == "reset" {
		got = afterReset(got, stage, pipelining)
	}
	if !slices.Equal(got, []string{want.a, want.b}) {
		t.Errorf("outcomes %q, want %+v\n%s", got, want, dialogue(res))
	}
	next := send(tr, planFor(srv), mailTo("c@b.test"))
	wantFates(t, next, "250")
	if next.Reused != want.reused {
		t.Errorf("next transaction reused the connection: %v, want %v\n%s", next.Reused, want.reused, dialogue(res))
	}
	wantManners(t, srv)
}

// afterReset names the stage of the fault where an earlier one is as good: a reset
// may overtake connect, and the replies of a group that were on their way.
func afterReset(got []string, stage string, pipelining bool) []string {
	earlier := map[string][]string{"GREETING": {"connect"}}
	if pipelining {
		earlier["RCPT"] = []string{"mail"}
		earlier["DATA"] = []string{"mail", "rcpt"}
	}
	for _, e := range earlier[stage] {
		for i := range got {
			got[i] = strings.Replace(got[i], " "+e+" ", " "+strings.ToLower(stage)+" ", 1)
		}
	}
	return got
}

// shortAt shortens the time for one stage only, so that a busy machine does not
// time out elsewhere.
func shortAt(stage string) smtpclient.Timeouts {
	const short = 400 * time.Millisecond
	var o smtpclient.Timeouts
	switch stage {
	case "GREETING":
		o.Greeting = short
	case "EHLO":
		o.EHLO = short
	case "MAIL":
		o.MAIL = short
	case "RCPT":
		o.RCPT = short
	case "DATA":
		o.DATA = short
	case "DOT":
		o.Dot = short
	}
	return o
}

func TestLostWhileSendingTheBody(t *testing.T) {
	t.Parallel()
	big := mailTo("a@b.test")
	big.Data = []byte(strings.Repeat(strings.Repeat("x", 76)+"\r\n", 200_000)) // more than any socket buffer
	for name, action := range map[string]smtptest.Action{
		"close": {After: 1000, Close: true},
		"reset": {After: 1000, Reset: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := smtptest.New(t, smtptest.Options{Script: smtptest.Script{"BODY": {action}}})
			res := send(newTransport(t, nil), planFor(srv), big)
			wantFates(t, res, "temporary body -")
			if n := len(srv.Mails()); n != 0 {
				t.Errorf("%d mails arrived", n)
			}
		})
	}
}

// A reply that is there before the dot was sent must not be taken for its answer.
func TestReplyBeforeTheDot(t *testing.T) {
	t.Parallel()
	srv := smtptest.New(t, smtptest.Options{Script: smtptest.Script{
		"DATA": {smtptest.Garbage("354 go\r\n250 2.0.0 taken\r\n")},
	}})
	res := send(newTransport(t, nil), planFor(srv), mailTo("a@b.test"))
	wantFates(t, res, "temporary body -")
	if n := len(srv.Mails()); n != 0 {
		t.Errorf("%d mails arrived", n)
	}
}

// Replies that are SMTP, but make no sense where they come.
func TestNonsenseReplies(t *testing.T) {
	t.Parallel()
	for key, c := range map[string]struct{ reply, want string }{
		"GREETING": {"354 go", "temporary greeting -"},
		"EHLO":     {"354 go", "temporary ehlo -"},
		"MAIL":     {"354 go", "temporary mail -"},
		"RCPT":     {"354 go", "temporary rcpt -"},
		"DATA":     {"250 ok", "temporary data -"},
		"DOT":      {"354 go", "unknown dot -"},
	} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			srv := smtptest.New(t, smtptest.Options{Script: smtptest.Script{key: {smtptest.Reply(c.reply)}}})
			tr := newTransport(t, nil)
			wantFates(t, send(tr, planFor(srv), mailTo("a@b.test")), c.want)
			if res := send(tr, planFor(srv), mailTo("a@b.test")); res.Reused {
				t.Errorf("the connection was used again")
			}
		})
	}
}
