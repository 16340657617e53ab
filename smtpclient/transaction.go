package smtpclient

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// maxUnanswered bounds the octets of commands sent ahead of their replies. They fit
// any socket buffer, so that we never wait for a server that waits for us (RFC 2920 3.1).
const maxUnanswered = 4 << 10

// step is one command of a transaction.
type step struct {
	stage Stage
	line  string
	rcpt  int // index into Mail.To, at StageRCPT
}

// transaction is one MAIL, its RCPTs and its data on one connection.
type transaction struct {
	*attempt
	c        *conn
	tried    []int // indexes into Mail.To
	accepted []int
	mailErr  *Error // MAIL was refused
	goAhead  bool   // DATA was answered with 354
}

// transact runs the transaction and settles every recipient. Only on a kept
// connection it may report stale instead, with nobody settled: the server had left.
func (a *attempt) transact(c *conn) (stale bool) {
	defer a.release(c)
	if err := a.fits(c); err != nil {
		a.settle(err)
		return false
	}
	tx := &transaction{attempt: a, c: c, tried: a.unsettled()}
	reused := c.transactions > 0
	c.transactions++
	if err := tx.converse(tx.steps(reused)); err != nil {
		if reused && tx.left(err) {
			return true
		}
		a.settle(err)
		return false
	}
	switch {
	case tx.goAhead && len(tx.accepted) > 0:
		tx.sendData()
	case tx.goAhead:
		tx.loneDot()
	case reused:
		tx.confirm()
	}
	return false
}

// fits refuses what this server cannot take before anything is sent.
func (a *attempt) fits(c *conn) *Error {
	var err *Error
	switch {
	case c.ext.size > 0 && a.size > c.ext.size:
		// RFC 1870 7: the announced limit alone tells that it will never be accepted.
		err = c.fault(StageMAIL, fmt.Errorf("%w: %d octets, limit %d", ErrTooLarge, a.size, c.ext.size))
		err.Enhanced = "5.3.4"
	case a.eightBit && !c.ext.eightBit:
		err = c.fault(StageMAIL, ErrEightBit)
		err.Enhanced = "5.6.3"
	default:
		return nil
	}
	err.Temporary = false
	a.log.note("%v", err.Err)
	return err
}

// steps lists the commands up to DATA. On a reused connection RSET goes first: it
// clears what was before and shows whether the server is still there.
func (tx *transaction) steps(reused bool) []step {
	steps := make([]step, 0, len(tx.mail.To)+3)
	if reused {
		steps = append(steps, step{stage: StageRSET, line: "RSET"})
	}
	mail := "MAIL FROM:<" + tx.mail.From + ">"
	if tx.c.ext.sizeParam {
		mail += fmt.Sprintf(" SIZE=%d", tx.size)
	}
	if tx.eightBit {
		mail += " BODY=8BITMIME"
	}
	steps = append(steps, step{stage: StageMAIL, line: mail})
	for _, i := range tx.tried {
		steps = append(steps, step{stage: StageRCPT, line: "RCPT TO:<" + tx.mail.To[i] + ">", rcpt: i})
	}
	return append(steps, step{stage: StageDATA, line: "DATA"})
}

// converse sends the steps in groups, one command each without PIPELINING, and
// reads a reply for every command of a group before the next goes out.
func (tx *transaction) converse(steps []step) *Error {
	for len(steps) > 0 {
		group := steps[:1]
		for octets := 0; tx.c.ext.pipelining && len(group) < len(steps); {
			octets += len(group[len(group)-1].line) + 2
			if octets+len(steps[len(group)].line)+2 > maxUnanswered {
				break
			}
			group = steps[:len(group)+1]
		}
		if tx.pointless(group[0]) {
			return nil
		}
		for _, s := range group {
			if err := tx.c.queue(s.stage, s.line, ""); err != nil {
				tx.c.broken = true
				return err
			}
		}
		if err := tx.c.flush(group[0].stage); err != nil {
			return err
		}
		for _, s := range group {
			// RFC 2920 3.1: replies are matched to commands by their order alone.
			if err := tx.take(s); err != nil {
				return err
			}
		}
		steps = steps[len(group):]
	}
	return nil
}

// pointless reports whether a step need not be sent any more.
func (tx *transaction) pointless(s step) bool {
	return tx.mailErr != nil || s.stage == StageDATA && len(tx.accepted) == 0
}

// take reads the reply to one step and draws the conclusion. An error ends the
// transaction for all recipients that have no outcome yet.
func (tx *transaction) take(s step) *Error {
	r, err := tx.c.reply(s.stage)
	if err != nil {
		return err
	}
	if r.Code == 421 {
		return tx.c.refused(s.stage, r)
	}
	switch s.stage {
	case StageRSET:
		if r.class() != 2 {
			return tx.c.botched(s.stage, r)
		}
	case StageMAIL:
		switch r.class() {
		case 2:
		case 3:
			return tx.c.botched(s.stage, r)
		default:
			tx.mailErr = tx.c.refused(s.stage, r)
			tx.settle(tx.mailErr)
		}
	case StageRCPT:
		return tx.takeRecipient(s.rcpt, r)
	case StageDATA:
		switch r.class() {
		case 2:
			return tx.c.botched(s.stage, r)
		case 3:
			tx.goAhead = true
		default:
			tx.settle(tx.c.refused(s.stage, r))
		}
	}
	return nil
}

func (tx *transaction) takeRecipient(i int, r Reply) *Error {
	switch {
	case r.class() == 3:
		return tx.c.botched(StageRCPT, r)
	case tx.mailErr != nil: // it has its outcome
	case r.class() == 2:
		tx.accepted = append(tx.accepted, i)
	default:
		err := tx.c.refused(StageRCPT, r)
		// RFC 5321 4.5.3.1.10: 552 behind accepted recipients means too many, unless its enhanced code says otherwise.
		if r.Code == 552 && len(tx.accepted) > 0 && (r.Enhanced == "" || r.Enhanced == "5.5.3") {
			err.Temporary = true
		}
		tx.set(i, err)
	}
	return nil
}

// confirm makes sure of refusals on a kept connection. A stray reply that was on its
// way when we began shifts all that follow by one, and a refusal may then have been
// meant for another recipient. 354 in its place shows that nothing is shifted;
// without it only one more command does, for what then answers it is the reply to
// the one before.
func (tx *transaction) confirm() {
	final := func(i int) bool { e := tx.res.Recipients[i].Err; return e != nil && !e.Temporary }
	if tx.c.broken || !slices.ContainsFunc(tx.tried, final) {
		return
	}
	r, err := tx.c.ask(StageRSET, "RSET")
	switch {
	case err == nil && r.class() == 2:
		return
	case err == nil:
		err = tx.c.botched(StageRSET, r)
	case !errors.Is(err, ErrProtocol):
		return // it left without another word
	}
	for _, i := range tx.tried {
		tx.res.Recipients[i] = RecipientResult{}
	}
	tx.settle(err)
}

// left reports whether a failure on a kept connection only says that the server
// had done with it: lost, or 421, before it answered MAIL. "421 4.7.x" is meant for us.
func (tx *transaction) left(err *Error) bool {
	if tx.c.ctx.Err() != nil {
		return false
	}
	if err.Stage == StageRSET {
		return err.Reply == nil || !strings.HasPrefix(err.Reply.Enhanced, "4.7.")
	}
	if err.Stage != StageMAIL {
		return false
	}
	if err.Reply == nil {
		return !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, ErrProtocol)
	}
	return err.Reply.Code == 421 && !strings.HasPrefix(err.Reply.Enhanced, "4.7.")
}

// loneDot ends data that nobody is to get: all RCPTs were refused, yet the server
// said 354 to the DATA sent with them (RFC 2920 3.1).
func (tx *transaction) loneDot() {
	tx.c.log.add("C", ".")
	tx.c.out = append(tx.c.out, ".\r\n"...)
	if tx.c.flush(StageDot) == nil {
		_, _ = tx.c.reply(StageDot)
	}
}
