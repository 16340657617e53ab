package smtpclient

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// extensions are what the latest EHLO reply announced.
type extensions struct {
	pipelining, eightBit, startTLS, smtpUTF8, dsn bool

	size      int64    // 0: no limit known
	sizeParam bool     // SIZE was announced
	auth      []string // mechanisms, upper case
}

// international reports whether addresses and headers in UTF-8 may be sent. RFC 6531
// 3.1: 8BITMIME comes with it.
func (e *extensions) international() bool { return e.smtpUTF8 && e.eightBit }

// parseExtensions reads the lines behind the first of an EHLO reply (RFC 5321
// 4.1.1.1): keywords in any case, unknown and empty ones ignored.
func parseExtensions(lines []string) extensions {
	var e extensions
	for _, line := range lines {
		// Some old servers write AUTH=LOGIN.
		words := strings.Fields(upper(strings.Replace(line, "=", " ", 1)))
		if len(words) == 0 {
			continue
		}
		switch words[0] {
		case "PIPELINING":
			e.pipelining = true
		case "8BITMIME":
			e.eightBit = true
		case "STARTTLS":
			e.startTLS = true
		case "SMTPUTF8":
			e.smtpUTF8 = true
		case "DSN":
			e.dsn = true
		case "AUTH":
			e.auth = append(e.auth, words[1:]...)
		case "SIZE":
			e.sizeParam = true
			// RFC 1870 3: 0 means no fixed limit, no number says nothing about one; neither does one too large to be read.
			if len(words) > 1 {
				if n, err := strconv.ParseInt(words[1], 10, 64); err == nil && n > 0 {
					e.size = n
				}
			}
		}
	}
	return e
}

// upper raises ASCII letters alone: RFC 5321 2.4 knows no others, and a "ſ" is no S.
func upper(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}

// introduce brings a new connection to where MAIL may be sent.
func (a *attempt) introduce(ctx context.Context, c *conn, h *Host, f footing) *Error {
	if h.TLS == TLSImplicit {
		if err := a.handshake(ctx, c, h, f.small); err != nil {
			return err
		}
	}
	if err := a.greeting(c, h); err != nil {
		return err
	}
	if err := a.hello(c, h); err != nil {
		return err
	}
	if err := a.secure(ctx, c, h, f); err != nil {
		return err
	}
	if h.Auth != nil {
		return c.authenticate(h.Auth)
	}
	return nil
}

// greeting waits for the server to speak first (RFC 5321 3.1).
func (a *attempt) greeting(c *conn, h *Host) *Error {
	r, err := c.reply(StageGreeting)
	if err != nil {
		return err
	}
	if r.class() == 3 {
		return c.botched(StageGreeting, r)
	}
	if r.class() != 2 {
		e := c.refused(StageGreeting, r)
		// A 554 from one host is no verdict on the recipient, but RFC 7504 3: 521 is a host that never takes mail.
		e.Temporary = r.Code != 521
		return e
	}
	if a.greetedAddr != c.key.addr {
		a.greetedAddr = c.key.addr
		a.greeted++
	}
	return a.checkLoop(c, h, r.Text, StageGreeting)
}

// hello says EHLO, or HELO to a server that does not know it, and takes the
// extensions; those of an earlier EHLO are forgotten.
func (a *attempt) hello(c *conn, h *Host) *Error {
	c.ext = extensions{}
	if err := c.queue(StageEHLO, "EHLO "+c.helo, ""); err != nil {
		return err
	}
	if err := c.flush(StageEHLO); err != nil {
		return err
	}
	raw, err := c.answer(StageEHLO)
	if err != nil {
		return err
	}
	r := raw.reply()
	if r.class() == 2 {
		c.ext = parseExtensions(raw.texts()[1:])
		return a.checkLoop(c, h, r.Text, StageEHLO)
	}
	// RFC 5321 3.2: fall back to HELO if EHLO is not known.
	if r.class() == 5 {
		if r, err = c.ask(StageEHLO, "HELO "+c.helo); err != nil {
			return err
		}
		if r.class() == 2 {
			return a.checkLoop(c, h, r.Text, StageEHLO)
		}
	}
	if r.class() == 3 {
		return c.botched(StageEHLO, r)
	}
	e := c.refused(StageEHLO, r)
	e.Temporary = true
	return e
}

// checkLoop recognizes ourselves by the name a server gives itself: mail handed on
// to oneself goes round for ever (RFC 5321 5.1). A relay that the operator named may well share our name.
func (a *attempt) checkLoop(c *conn, h *Host, text string, stage Stage) *Error {
	name, _, _ := strings.Cut(text, "\n")
	name, _, _ = strings.Cut(name, " ")
	own := a.t.o.Hostname
	if h.Trusted || own == "" || !strings.EqualFold(strings.TrimSuffix(name, "."), own) {
		return nil
	}
	e := c.fault(stage, ErrLoop)
	e.Temporary, e.Enhanced = false, "5.4.6"
	return e
}

// addressLiteral is the EHLO argument of a client without a name (RFC 5321 4.1.3).
func addressLiteral(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return "[" + addr.String() + "]"
	}
	return "[IPv6:" + addr.String() + "]"
}

// endsAttempt reports whether, after this failure to reach MAIL, other addresses
// are not to be tried: it is us, our time is over, or the provider says slow down.
func (a *attempt) endsAttempt(ctx context.Context, e *Error) bool {
	slowDown := e.Reply != nil && strings.HasPrefix(e.Reply.Enhanced, "4.7.") &&
		(e.Stage == StageGreeting || e.Stage == StageEHLO)
	return slowDown || errors.Is(e, ErrLoop) || ctx.Err() != nil
}

// tlsFailed is the Error for TLS that was not to be had. It is always temporary:
// the next address or the next attempt may do better.
func (c *conn) tlsFailed(h *Host, reply *Reply, err error) *Error {
	if h.TLS.mandatory() {
		if err == nil {
			err = ErrTLSRequired
		} else {
			err = fmt.Errorf("%w: %w", ErrTLSRequired, err)
		}
	}
	e := c.fault(StageSTARTTLS, err)
	e.Reply = reply
	return e
}
