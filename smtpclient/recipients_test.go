package smtpclient_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"postrider/smtpclient"
	"postrider/smtpclient/smtptest"
)

// deliveries tells whom each mail that a server took went to.
func deliveries(s *smtptest.Server) string {
	var list []string
	for _, m := range s.Mails() {
		list = append(list, strings.Join(m.To, " "))
	}
	return strings.Join(list, " | ")
}

// A server that takes few recipients at a time gets the others at once, in further
// transactions, whichever of the two codes it says that with.
func TestTooManyRecipients(t *testing.T) {
	t.Parallel()
	for _, reply := range []string{"452 4.5.3 too many recipients", "452 too many", "552 5.5.3 too many", "552 too many"} {
		for _, pipelining := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/pipelining=%v", reply, pipelining), func(t *testing.T) {
				t.Parallel()
				srv := smtptest.New(t, smtptest.Options{NoPipelining: !pipelining, Handle: func(c smtptest.Command) smtptest.Action {
					if c.Stage == "RCPT" && len(c.To) == 2 {
						return smtptest.Reply(reply)
					}
					return smtptest.Pass()
				}})
				marks := ""
				m := mailTo("a@b.test", "b@b.test", "c@b.test", "d@b.test", "e@b.test")
				m.Mark = func(_ context.Context, accepted []int) error { marks += fmt.Sprint(accepted); return nil }
				res := send(newTransport(t, nil), planFor(srv), m)
				wantFates(t, res, "250", "250", "250", "250", "250")
				if got := deliveries(srv); got != "a@b.test b@b.test | c@b.test d@b.test | e@b.test" {
					t.Errorf("mails %s", got)
				}
				if n := len(srv.Sessions()); n != 1 || marks != "[0 1][2 3][4]" {
					t.Errorf("%d connections, marks %s", n, marks)
				}
				wantManners(t, srv)
			})
		}
	}
}

// Refusals that are no matter of number wait for the next attempt.
func TestNotTooManyRecipients(t *testing.T) {
	t.Parallel()
	for reply, want := range map[string]string{
		"452 4.2.2 mailbox full": "temporary rcpt 452",
		"452 4.3.1 no space":     "temporary rcpt 452",
		"450 4.2.1 busy":         "temporary rcpt 450",
		"552 5.2.2 over quota":   "permanent rcpt 552",
	} {
		srv := smtptest.New(t, smtptest.Options{Script: smtptest.Script{"RCPT b@b.test": {smtptest.Reply(reply)}}})
		wantFates(t, send(newTransport(t, nil), planFor(srv), mailTo("a@b.test", "b@b.test")), "250", want)
		if n := srv.Uses()["RCPT b@b.test"]; n != 1 {
			t.Errorf("%s: %d RCPTs", reply, n)
		}
	}
}

// More recipients than one transaction may have go in several, on one connection as
// long as it may serve, else on another.
func TestRecipientsAreSplit(t *testing.T) {
	t.Parallel()
	var to, want []string
	for i := range 250 {
		to, want = append(to, fmt.Sprintf("r%d@b.test", i)), append(want, "250")
	}
	for _, c := range []struct {
		name     string
		o        func(*smtpclient.Options)
		dot      []smtptest.Action
		sessions int
	}{
		{"one connection", nil, nil, 1},
		{"worn connections", func(o *smtpclient.Options) { o.MaxTransactions = 1 }, nil, 3},
		{"a server that leaves after each mail", nil, []smtptest.Action{smtptest.ReplyClose("250 2.0.0 and bye")}, 3},
	} {
		srv := smtptest.New(t, smtptest.Options{Script: smtptest.Script{"DOT": c.dot}})
		res := send(newTransport(t, c.o), planFor(srv), mailTo(to...))
		wantFates(t, res, want...)
		mails := srv.Mails()
		if len(mails) != 3 || len(mails[0].To) != 100 || len(mails[1].To) != 100 || len(mails[2].To) != 50 {
			t.Errorf("%s: %d mails", c.name, len(mails))
		}
		if n := len(srv.Sessions()); n != c.sessions {
			t.Errorf("%s: %d connections", c.name, n)
		}
		wantManners(t, srv)
	}
}

// What ends one transaction is no outcome of the recipients of the next, but they are
// not sent the same mail at once where it was not taken.
func TestTransactionBehindAFailure(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, stage string
		action      smtptest.Action
		want        []string // of a and b, who are in the first transaction, and of c
	}{
		{"lost after the dot", "DOT", smtptest.Close(), []string{"unknown dot -", "unknown dot -", "temporary dot -"}},
		{"content refused", "DOT", smtptest.Reply("554 5.7.1 spam"), []string{"permanent dot 554", "permanent dot 554", "temporary dot -"}},
		{"content deferred", "DOT", smtptest.Reply("451 4.3.0 later"), []string{"temporary dot 451", "temporary dot 451", "temporary dot -"}},
		{"DATA refused", "DATA", smtptest.Reply("554 5.7.1 no"), []string{"permanent data 554", "permanent data 554", "temporary data -"}},
		{"sender refused", "MAIL", smtptest.Reply("550 5.7.1 no"), []string{"permanent mail 550", "permanent mail 550", "permanent mail 550"}},
		{"closing", "RCPT b@b.test", smtptest.ReplyClose("421 4.3.2 bye"), []string{"temporary rcpt 421", "temporary rcpt 421", "temporary rcpt 421"}},
		{"one refused", "RCPT b@b.test", smtptest.Reply("550 5.1.1 no"), []string{"250", "permanent rcpt 550", "250"}},
		{"all refused", "RCPT", smtptest.Reply("550 5.1.1 no"), []string{"permanent rcpt 550", "permanent rcpt 550", "permanent rcpt 550"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			srv := smtptest.New(t, smtptest.Options{Script: smtptest.Script{c.stage: {c.action}}})
			tr := newTransport(t, func(o *smtpclient.Options) { o.MaxRecipients = 2 })
			wantFates(t, send(tr, planFor(srv), mailTo("a@b.test", "b@b.test", "c@b.test")), c.want...)
			wantManners(t, srv)
		})
	}
}

// A server without TLS that wants it says nothing about the mail: the next host is
// asked, and at the end it is a matter for later.
func TestTLSDemandedInClear(t *testing.T) {
	t.Parallel()
	const must = "530 5.7.0 Must issue a STARTTLS command first"
	demand := func(stage, reply string) *smtptest.Server {
		return smtptest.New(t, smtptest.Options{Script: smtptest.Script{stage: {smtptest.Reply(reply)}}})
	}
	good := smtptest.New(t, smtptest.Options{})
	for _, c := range []struct {
		stage, reply, alone, beside string
	}{
		{"MAIL", must, "temporary mail 530", "250"},
		{"MAIL", "554 5.7.10 encryption needed", "temporary mail 554", "250"},
		{"RCPT", must, "temporary rcpt 530", "temporary rcpt 530"},
		{"DATA", must, "temporary data 530", "temporary data 530"},
		{"DOT", "550 5.7.11 encryption needed", "temporary dot 550", "temporary dot 550"},
		{"MAIL", "550 5.7.1 no", "permanent mail 550", "permanent mail 550"},
	} {
		tr := newTransport(t, nil)
		wantFates(t, send(tr, planFor(demand(c.stage, c.reply)), mailTo("a@b.test")), c.alone)
		res := send(tr, planFor(demand(c.stage, c.reply), good), mailTo("a@b.test"))
		wantFates(t, res, c.beside)
		if c.beside == "250" && (len(res.Tried) != 1 || res.Host != "mx2.b.test") {
			t.Errorf("%s: tried %v", c.reply, res.Tried)
		}
	}
	// Under TLS 530 asks for AUTH (RFC 4954 6), and waiting gives us none.
	srv := smtptest.New(t, smtptest.Options{STARTTLS: true, Script: smtptest.Script{"MAIL": {smtptest.Reply("530 5.7.0 Authentication required")}}})
	p := planFor(srv)
	p.Hosts[0].TLS = smtpclient.TLSRequired
	wantFates(t, send(newTransport(t, nil), p, mailTo("a@b.test")), "permanent mail 530")
}
