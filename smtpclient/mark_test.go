package smtpclient_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postrider/smtpclient"
	"postrider/smtpclient/smtptest"
)

func TestMarkComesBeforeTheDot(t *testing.T) {
	t.Parallel()
	srv := smtptest.New(t, smtptest.Options{Script: smtptest.Script{"RCPT no@b.test": {smtptest.Reply("550 5.1.1 no")}}})
	m := mailTo("a@b.test", "no@b.test", "c@b.test")
	calls := ""
	m.Mark = func(_ context.Context, accepted []int) error {
		time.Sleep(30 * time.Millisecond) // the body is out by now; the dot must not be
		calls += fmt.Sprint(accepted, len(srv.Mails()))
		return nil
	}
	wantFates(t, send(newTransport(t, nil), planFor(srv), m), "250", "permanent rcpt 550", "250")
	if calls != "[0 2] 0" {
		t.Errorf("calls with accepted recipients and mails at the server: %q", calls)
	}
}

func TestMarkThatFails(t *testing.T) {
	t.Parallel()
	srv := smtptest.New(t, smtptest.Options{Script: smtptest.Script{"RCPT no@b.test": {smtptest.Reply("550 5.1.1 no")}}})
	tr := newTransport(t, nil)
	lost := errors.New("fence lost")
	m := mailTo("a@b.test", "no@b.test")
	m.Mark = func(context.Context, []int) error { return lost }
	res := send(tr, planFor(srv), m)
	wantFates(t, res, "temporary mark -", "permanent rcpt 550")
	if e := res.Recipients[0].Err; !errors.Is(e, lost) {
		t.Errorf("cause %v", e)
	}
	next := send(tr, planFor(srv), mailTo("c@b.test"))
	wantFates(t, next, "250")
	if next.Reused {
		t.Error("the connection was used again")
	}
	if mails := srv.Mails(); len(mails) != 1 || mails[0].To[0] != "c@b.test" {
		t.Errorf("server took %+v", mails)
	}
}

// A panic of Mark is the caller's to survive. The connection, on which the server waits
// for data, serves nobody any more.
func TestMarkThatPanics(t *testing.T) {
	t.Parallel()
	for _, octets := range []int{64, 64 << 10} { // before the body, and beside it
		srv := smtptest.New(t, smtptest.Options{})
		tr := newTransport(t, nil)
		wantFates(t, send(tr, planFor(srv), mailTo("a@b.test")), "250")
		m := mailTo("a@b.test")
		m.Data = []byte(strings.Repeat(strings.Repeat("x", 62)+"\r\n", octets/64))
		m.Mark = func(context.Context, []int) error { panic("mark") }
		func() {
			defer func() {
				if r := recover(); r != "mark" {
					t.Errorf("%d octets: recovered %v", octets, r)
				}
			}()
			send(tr, planFor(srv), m)
		}()
		next := send(tr, planFor(srv), mailTo("c@b.test"))
		wantFates(t, next, "250")
		if next.Reused || len(srv.Mails()) != 2 {
			t.Errorf("%d octets: reused %v, %d mails", octets, next.Reused, len(srv.Mails()))
		}
	}
}

// What fits into one block waits for Mark and leaves with its dot in one write; more is
// on its way while Mark runs.
func TestMarkAndTheBody(t *testing.T) {
	t.Parallel()
	lines := strings.Repeat(strings.Repeat("x", 62)+"\r\n", 513)
	for _, c := range []struct {
		octets, before, after int // writes of the body while Mark runs, and behind it
	}{
		{64, 0, 1},
		{32 << 10, 0, 1},
		{32<<10 + 64, 1, 1},
	} {
		srv := smtptest.New(t, smtptest.Options{})
		var wire *counted
		tr := newTransport(t, func(o *smtpclient.Options) {
			o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				nc, err := new(net.Dialer).DialContext(ctx, network, addr)
				wire = &counted{Conn: nc}
				return wire, err
			}
		})
		m := mailTo("a@b.test")
		m.Data = []byte(lines[:c.octets])
		const commands = 2 // EHLO; MAIL with what follows it
		m.Mark = func(context.Context, []int) error {
			for end := time.Now().Add(10 * time.Second); wire.writes.Load() < int64(commands+c.before) && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
			if got := int(wire.writes.Load()) - commands; got < c.before || c.before == 0 && got > 0 {
				t.Errorf("%d octets: %d writes while Mark runs, want %d", c.octets, got, c.before)
			}
			time.Sleep(20 * time.Millisecond) // what can leave now has left
			c.before = int(wire.writes.Load()) - commands
			return nil
		}
		wantFates(t, send(tr, planFor(srv), m), "250")
		if got := int(wire.writes.Load()) - commands - c.before; got != c.after {
			t.Errorf("%d octets: %d writes behind Mark, want %d", c.octets, got, c.after)
		}
	}
}

// counted counts the writes of a connection.
type counted struct {
	net.Conn
	writes atomic.Int64
}

func (c *counted) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

func TestMarkIsNotCalledWithout354(t *testing.T) {
	t.Parallel()
	for _, stage := range []string{"MAIL", "RCPT", "DATA"} {
		srv := smtptest.New(t, smtptest.Options{Script: smtptest.Script{stage: {smtptest.Reply("450 4.2.0 no")}}})
		m := mailTo("a@b.test")
		m.Mark = func(context.Context, []int) error { t.Errorf("called after %s was refused", stage); return nil }
		wantFates(t, send(newTransport(t, nil), planFor(srv), m), "temporary "+strings.ToLower(stage)+" 450")
	}
}

// Send waits for Mark even when the body cannot be sent any more.
func TestMarkEndsBeforeSend(t *testing.T) {
	t.Parallel()
	srv := smtptest.New(t, smtptest.Options{Script: smtptest.Script{"BODY": {smtptest.Reset()}}})
	m := mailTo("a@b.test")
	m.Data = []byte(strings.Repeat(strings.Repeat("x", 76)+"\r\n", 200_000))
	ended := false
	m.Mark = func(context.Context, []int) error {
		time.Sleep(50 * time.Millisecond)
		ended = true
		return nil
	}
	wantFates(t, send(newTransport(t, nil), planFor(srv), m), "temporary body -")
	if !ended {
		t.Error("Mark was still running")
	}
}

// A context that ends stops the dialogue: before the dot nothing was delivered,
// after it nobody knows.
func TestContextEnds(t *testing.T) {
	t.Parallel()
	why := errors.New("shutting down")
	for _, c := range []struct{ stage, fate string }{
		{"GREETING", "temporary greeting -"},
		{"EHLO", "temporary ehlo -"},
		{"MAIL", "temporary mail -"},
		{"RCPT", "temporary rcpt -"},
		{"DATA", "temporary data -"},
		{"DOT", "unknown dot -"},
	} {
		t.Run(c.stage, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancelCause(context.Background())
			defer cancel(nil)
			srv := smtptest.New(t, smtptest.Options{Handle: func(cmd smtptest.Command) smtptest.Action {
				if cmd.Stage == c.stage {
					time.AfterFunc(10*time.Millisecond, func() { cancel(why) })
					return smtptest.Stall()
				}
				return smtptest.Pass()
			}})
			second := smtptest.New(t, smtptest.Options{})
			res := newTransport(t, nil).Send(ctx, planFor(srv, second), mailTo("a@b.test"))
			// The groups of a pipeline are flushed together, so that earlier replies are there.
			wantFates(t, res, c.fate)
			if !errors.Is(res.Recipients[0].Err, why) {
				t.Errorf("cause %v", res.Recipients[0].Err)
			}
			if n := len(second.Sessions()); n != 0 {
				t.Error("the next address was tried")
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	srv := smtptest.New(t, smtptest.Options{})
	wantFates(t, newTransport(t, nil).Send(ctx, planFor(srv), mailTo("a@b.test")), "temporary connect -")
}

func TestMarkSeesTheContextEnd(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	srv := smtptest.New(t, smtptest.Options{})
	m := mailTo("a@b.test")
	m.Mark = func(ctx context.Context, _ []int) error {
		cancel()
		<-ctx.Done()
		return nil // it was recorded all the same
	}
	wantFates(t, newTransport(t, nil).Send(ctx, planFor(srv), m), "temporary body -")
	if n := len(srv.Mails()); n != 0 {
		t.Errorf("%d mails arrived", n)
	}
}

// The time that Mark takes is not the server's: the dot has its own.
func TestMarkThatTakesLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mailTo("a@b.test")
		m.Mark = func(context.Context, []int) error {
			time.Sleep(10 * time.Minute)
			return nil
		}
		res, _ := sendToPipe(m, func(c net.Conn) {
			talk(c, func(_ net.Conn, line string) string { return ordinary(line) })
		})
		wantFates(t, res, "250")
	})
}
