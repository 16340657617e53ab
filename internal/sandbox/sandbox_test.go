package sandbox

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"postrider/internal/email"
	"postrider/smtpclient/mx"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestScripts(t *testing.T) {
	const taken = "250 2.0.0 "
	tests := []struct {
		to   string
		rcpt []string // one transaction of the same envelope each
	}{
		{"delivered@sandbox.test", []string{taken, taken}},
		{"DELIVERED+label@Sandbox.Test", []string{taken}},
		{"bounced@sandbox.test", []string{"550 5.1.1 ", "550 5.1.1 "}},
		{"bounced+x@sandbox.test", []string{"550 5.1.1 "}},
		{"soft-bounced@sandbox.test", []string{"452 4.2.2 ", "452 4.2.2 ", "552 5.2.2 ", "452 4.2.2 "}},
		{"blocked@sandbox.test", []string{"550 5.7.1 "}},
		{"deferred@sandbox.test", []string{"451 4.3.0 ", taken, "451 4.3.0 "}},
		{"stuck@sandbox.test", []string{"451 4.3.0 ", "451 4.3.0 ", "451 4.3.0 ", "451 4.3.0 "}},
		{"failed@sandbox.test", []string{"550 5.1.2 "}},
		{"slow-0@sandbox.test", []string{taken}},
		{"slow-3@sandbox.test", []string{taken}},
		{"smtp-450@sandbox.test", []string{"450 The", "450 The"}},
		{"smtp-554-5.7.26@sandbox.test", []string{"554 5.7.26 "}},
		{"smtp-550-4.7.0@sandbox.test", []string{"550 5.1.1 No such sandbox"}},
		{"nobody@sandbox.test", []string{"550 5.1.1 No such sandbox"}},
		{"anyone@example.com", []string{taken}},
		{"bounced@other.test", []string{taken}},
	}
	box := started(t)
	for _, test := range tests {
		t.Run(test.to, func(t *testing.T) {
			d := dial(t, box)
			for _, rcpt := range test.rcpt {
				d.send("b-"+test.to, test.to, rcpt, "250 2.0.0 Kept")
			}
			d.say("QUIT")
			d.hear("221 ")
		})
	}
}

// The answer to the final dot waits for the slowest recipient, not for their sum.
func TestSlowestRecipientIsWaitedFor(t *testing.T) {
	d := dial(t, started(t))
	d.say("MAIL FROM:<a@b.test>", "RCPT TO:<slow-20@sandbox.test>", "RCPT TO:<delivered@sandbox.test>", "RCPT TO:<x@y.test>", "DATA")
	for _, want := range []string{"250 ", "250 ", "250 ", "250 ", "354 "} {
		d.hear(want)
	}
	start := time.Now()
	d.say(mail("x", "slow"), ".")
	d.hear("250 ")
	if waited := time.Since(start); waited < 20*unit {
		t.Errorf("answered after %v, want at least %v", waited, 20*unit)
	}
}

// Two envelopes to one address play their scripts apart, and so do two recipients
// of one envelope.
func TestScriptsPerEnvelope(t *testing.T) {
	d := dial(t, started(t))
	d.send("b-one@r.test", "deferred@sandbox.test", "451", "")
	d.send("b-two@r.test", "deferred@sandbox.test", "451", "")
	d.send("b-one@r.test", "deferred+b@sandbox.test", "451", "")
	d.send("b-two@r.test", "deferred@sandbox.test", "250", "250")
	d.send("b-one@r.test", "deferred@sandbox.test", "250", "250")
}

func TestExtensions(t *testing.T) {
	d := dial(t, started(t))
	d.say("EHLO client.test")
	got := d.hear("250 ")
	for _, want := range []string{"PIPELINING\r\n", "8BITMIME\r\n", "ENHANCEDSTATUSCODES\r\n", "SIZE 26214400\r\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("EHLO reply %q lacks %q", got, want)
		}
	}
	d.say("MAIL FROM:<a@b.test> SIZE=26214401")
	d.hear("552 5.3.4")
}

// 421 is the last word, also when more commands were pipelined behind RCPT.
func Test421Closes(t *testing.T) {
	box := started(t)
	d := dial(t, box)
	d.say("MAIL FROM:<a@b.test>", "RCPT TO:<smtp-421-4.7.0@sandbox.test>", "RCPT TO:<x@y.test>", "DATA")
	d.hear("250 ")
	d.hear("421 4.7.0 ")
	d.heardEnd()
	if got := len(box.Inbox.List(10)); got != 0 {
		t.Errorf("%d mails were kept", got)
	}
}

func TestPipelinedTransaction(t *testing.T) {
	box := started(t)
	d := dial(t, box)
	id := email.NewMessageID(0)
	d.say("MAIL FROM:<a@b.test> BODY=8BITMIME", "RCPT TO:<x@y.test>", "RCPT TO:<bounced@sandbox.test>", "RCPT TO:<delivered@sandbox.test>", "DATA")
	for _, want := range []string{"250 ", "250 ", "550 5.1.1", "250 ", "354 "} {
		d.hear(want)
	}
	d.say(mail(id, "dots")+"\r\n..leading\r\n...two", ".", "MAIL FROM:<next@b.test>")
	d.hear("250 2.0.0 Kept")
	d.hear("250 ")
	d.say("MAIL FROM:<nested@b.test>")
	d.hear("503 5.5.1")

	got := box.Inbox.ForMessage(id)
	if len(got) != 1 {
		t.Fatalf("%d mails, want 1", len(got))
	}
	if want := mail(id, "dots") + "\r\n.leading\r\n..two\r\n"; string(got[0].Data) != want {
		t.Errorf("kept %q, want %q", got[0].Data, want)
	}
	if diff := cmp.Diff([]string{"x@y.test", "delivered@sandbox.test"}, got[0].To); diff != "" {
		t.Error(diff)
	}
	if got[0].From != "a@b.test" {
		t.Errorf("reverse-path %q", got[0].From)
	}
}

func TestAbandonedMailIsNotKept(t *testing.T) {
	box := started(t)
	d := dial(t, box)
	d.say("MAIL FROM:<a@b.test>", "RCPT TO:<x@y.test>", "DATA", "Subject: half", "", "half a mail")
	for range 2 {
		d.hear("250 ")
	}
	d.hear("354 ")
	d.Close()
	other := dial(t, box)
	other.send("a@b.test", "x@y.test", "250", "250")
	if got := len(box.Inbox.List(10)); got != 1 {
		t.Errorf("%d mails were kept, want 1", got)
	}
}

// A mail in its wait is neither kept nor holds up Close.
func TestCloseEndsWait(t *testing.T) {
	box := New(Options{Delay: time.Hour})
	if err := box.Start(); err != nil {
		t.Fatal(err)
	}
	d := dial(t, box)
	d.say("MAIL FROM:<a@b.test>", "RCPT TO:<slow-60@sandbox.test>", "DATA")
	for _, want := range []string{"250 ", "250 ", "354 "} {
		d.hear(want)
	}
	d.say(mail("x", "slow"), ".")
	if err := box.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := d.reply(); err == nil && !strings.HasPrefix(got, "421") {
		t.Errorf("a closing sandbox said %q", got)
	}
	if got := len(box.Inbox.List(10)); got != 0 {
		t.Errorf("%d mails were kept", got)
	}
	if err := box.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if err := box.Start(); err == nil {
		t.Error("a closed sandbox started")
	}
}

func TestPlan(t *testing.T) {
	box := started(t)
	tests := []struct{ recipient, provider string }{
		{"anyone@example.com", "sandbox.test"},
		{"delivered@sandbox.test", "delivered.sandbox.test"},
		{"slow-7@sandbox.test", "slow.sandbox.test"},
		{"smtp-421-4.7.0+a@sandbox.test", "smtp-421.sandbox.test"},
	}
	for _, test := range tests {
		t.Run(test.recipient, func(t *testing.T) {
			plan, err := box.Plan(context.Background(), test.recipient)
			if err != nil {
				t.Fatal(err)
			}
			if plan.Provider != test.provider {
				t.Errorf("provider %q, want %q", plan.Provider, test.provider)
			}
			if len(plan.Hosts) != 1 || !plan.Hosts[0].Trusted || plan.Hosts[0].Addrs[0] != box.Addr() {
				t.Errorf("hosts %+v", plan.Hosts)
			}
		})
	}
	t.Run("failed", func(t *testing.T) {
		_, err := box.Plan(context.Background(), "failed+x@sandbox.test")
		var noRoute *mx.Error
		if !errors.As(err, &noRoute) || noRoute.Temporary || noRoute.Kind != mx.NoDomain {
			t.Errorf("error %#v", err)
		}
	})
	t.Run("unknown", func(t *testing.T) {
		if _, err := box.Plan(context.Background(), "nobody@sandbox.test"); err == nil {
			t.Error("a plan for an unknown address")
		}
	})
	t.Run("not started", func(t *testing.T) {
		if _, err := New(Options{}).Plan(context.Background(), "a@b.test"); err == nil {
			t.Error("a plan before Start")
		}
	})
}

func TestProgressIsBounded(t *testing.T) {
	p := newProgress(2)
	a, b, c := keyOf("a", "x"), keyOf("b", "x"), keyOf("c", "x")
	p.advance(a)
	p.advance(b)
	p.advance(c) // forgets a
	if got := p.advance(b); got != 1 {
		t.Errorf("b was asked %d times, want 1", got)
	}
	if got := p.advance(a); got != 0 {
		t.Errorf("a was asked %d times, want 0: forgotten", got)
	}
	if len(p.asked) != 2 || p.order.Len() != 2 {
		t.Errorf("%d keys, %d steps, want 2", len(p.asked), p.order.Len())
	}
	if keyOf("b", "X") != b || keyOf("bx", "") == b {
		t.Error("keys are not told apart by reverse-path and recipient")
	}
}

// A connection that waited too long in sum ends behind its last reply.
func TestSessionWaitIsBounded(t *testing.T) {
	box := New(Options{Delay: time.Millisecond})
	if err := box.Start(); err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	d := dial(t, box)
	d.send("a@b.test", "delivered@sandbox.test", "250", "250")
	var inner *session
	box.listener.mu.Lock()
	for c := range box.listener.conns {
		inner = &session{box: box, conn: c, waited: maxSessionWait}
	}
	box.listener.mu.Unlock()
	if err := inner.pause(time.Millisecond); err != nil {
		t.Fatal(err)
	}
	d.say("NOOP")
	d.hear("250 ")
	d.heardEnd()
}
