package smtpclient

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
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
	to       []int // indexes into Mail.To
	accepted []int
	crowded  []int  // refused for the number of recipients beside them
	mailErr  *Error // MAIL was refused
	goAhead  bool   // DATA was answered with 354

	// room for one recipient
	oneOf struct {
		steps    [4]step
		accepted [1]int
	}
}

// newTransaction is one for recipients of an attempt.
func newTransaction(a *attempt, c *conn, to []int) *transaction {
	tx := &transaction{attempt: a, c: c, to: to}
	tx.accepted = tx.oneOf.accepted[:0]
	return tx
}

// run runs the transaction and settles its recipients. Those of others that are to
// follow it on this connection are settled too if they must not. On a kept connection
// it may leave everybody without an outcome: the server had left. It returns an error
// if this server has only refused us, and another may take the mail.
func (tx *transaction) run() *Error {
	reused := tx.c.kept || tx.c.transactions > 0
	tx.c.transactions++
	if err := tx.converse(tx.steps(reused)); err != nil {
		switch {
		case reused && tx.left(err):
		case reused, errors.Is(err, errOutOfStep):
			tx.doubt(err)
		default:
			tx.settle(err)
		}
		return nil
	}
	switch {
	case tx.goAhead && len(tx.accepted) > 0:
		tx.sendData()
	case tx.goAhead:
		tx.loneDot()
	case !tx.confirm(reused):
		return nil
	}
	if tx.mailErr == nil {
		return nil
	}
	if tx.mailErr.Temporary && tx.mailErr.Reply.class() == 5 {
		return tx.mailErr // about us, not about the mail
	}
	tx.settle(tx.mailErr)
	return nil
}

// steps lists the commands up to DATA. On a reused connection RSET goes first: it
// clears what was before and shows whether the server is still there.
func (tx *transaction) steps(reused bool) []step {
	steps := tx.oneOf.steps[:0]
	if reused {
		steps = append(steps, step{stage: StageRSET, line: "RSET"})
	}
	steps = append(steps, step{stage: StageMAIL, line: tx.mailFrom()})
	for _, i := range tx.to {
		line := "RCPT TO:<" + tx.boxes[i].path + ">"
		if tx.mail.DSN != nil && tx.c.ext.dsn {
			line += tx.mail.DSN.ofRecipient(i, tx.boxes[i], tx.international())
		}
		steps = append(steps, step{stage: StageRCPT, line: line, rcpt: i})
	}
	return append(steps, step{stage: StageDATA, line: "DATA"})
}

// mailFrom is the MAIL command, with what the server offered and this mail needs.
func (tx *transaction) mailFrom() string {
	var room [128]byte
	line := append(append(append(room[:0], "MAIL FROM:<"...), tx.from.path...), '>')
	if tx.c.ext.sizeParam {
		line = strconv.AppendInt(append(line, " SIZE="...), tx.size, 10)
	}
	if tx.content.eightBit {
		line = append(line, " BODY=8BITMIME"...)
	}
	if tx.international() {
		line = append(line, " SMTPUTF8"...)
	}
	if tx.mail.DSN != nil && tx.c.ext.dsn {
		line = append(line, tx.mail.DSN.ofMail(tx.from)...)
	}
	return string(line)
}

// international reports whether envelope or header need SMTPUTF8. RFC 6531 3.4: it is
// not asked for without need.
func (tx *transaction) international() bool {
	return tx.from.utf8 || tx.content.international ||
		slices.ContainsFunc(tx.to, func(i int) bool { return tx.boxes[i].utf8 })
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
	raw, err := tx.c.answer(s.stage)
	switch {
	case err != nil:
		return err
	case raw.class() == 2 && s.stage == StageRCPT && tx.mailErr == nil:
		tx.accepted = append(tx.accepted, s.rcpt)
		return nil
	case raw.class() == 2 && s.stage != StageDATA:
		return nil
	}
	r := raw.reply()
	if r.Code == 421 {
		return tx.c.refused(s.stage, r)
	}
	switch s.stage {
	case StageRSET:
		return tx.c.botched(s.stage, r)
	case StageMAIL:
		if r.class() == 3 {
			return tx.c.botched(s.stage, r)
		}
		tx.mailErr = tx.c.refused(s.stage, r)
	case StageRCPT:
		return tx.takeRecipient(s.rcpt, r)
	case StageDATA:
		switch r.class() {
		case 2:
			return tx.c.botched(s.stage, r)
		case 3:
			tx.goAhead = true
		default:
			if tx.mailErr == nil && len(tx.accepted) > 0 {
				tx.conclude(tx.c.refused(s.stage, r))
			}
		}
	}
	return nil
}

func (tx *transaction) takeRecipient(i int, r Reply) *Error {
	switch {
	case r.class() == 3:
		return tx.c.botched(StageRCPT, r)
	case tx.mailErr != nil: // it stands for all
	default:
		err := tx.c.refused(StageRCPT, r)
		crowded := len(tx.accepted) > 0 && tooMany(r)
		if crowded {
			tx.crowded = append(tx.crowded, i)
		}
		err.Temporary = err.Temporary || crowded || r.Code == 552 && tooMany(r)
		tx.set(i, err)
	}
	return nil
}

// tooMany reports whether a reply to RCPT may be about the number of recipients. RFC 5321
// 4.5.3.1.10: 452, and 552 of old servers; an enhanced code may say that it is something
// else.
func tooMany(r Reply) bool {
	switch r.Enhanced {
	case "4.5.3", "5.5.3":
		return true
	case "":
		return r.Code == 452 || r.Code == 552
	}
	return false
}

// conclude gives the accepted recipients the outcome of the data. Recipients of a
// later transaction get none of it, but neither is the same mail sent once more to a
// server that did not take it: they are left to the next attempt.
func (tx *transaction) conclude(e *Error) {
	for _, i := range tx.accepted {
		tx.set(i, e)
	}
	tx.settle(tx.c.fault(e.Stage, fmt.Errorf("%w: %w", errEarlier, e)))
}

// confirm makes sure of refusals, false if they do not count. A reply too many shifts all
// that follow by one, and a refusal may then have been meant for another recipient. 354
// in its place shows that nothing is shifted. Without it only one more command does, for
// what then answers it is the reply to the one before: on a kept connection, where a
// stray reply may have been on its way when we began. On a new one a look has to do.
func (tx *transaction) confirm(reused bool) bool {
	final := func(i int) bool { e := tx.res.Recipients[i].Err; return e != nil && !e.Temporary }
	refused := tx.mailErr != nil && !tx.mailErr.Temporary
	if tx.c.broken || !refused && !slices.ContainsFunc(tx.to, final) {
		return true
	}
	if !reused {
		err := tx.c.listen(StageDATA)
		if err == nil || !errors.Is(err, ErrProtocol) {
			return true // 421, or it left: that comes behind a refusal
		}
		tx.doubt(err)
		return false
	}
	r, err := tx.c.ask(StageRSET, "RSET")
	switch {
	case err == nil && r.class() == 2:
		return true
	case err == nil:
		err = tx.c.botched(StageRSET, r)
	case !errors.Is(err, ErrProtocol):
		return true // it left without another word
	}
	tx.doubt(err)
	return false
}

// doubt ends a transaction whose replies may have been shifted: what was said of a
// recipient does not count.
func (tx *transaction) doubt(err *Error) {
	for _, i := range tx.to {
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
	tx.c.trace.command(tx.c, StageDot, ".")
	tx.c.out = append(tx.c.out, ".\r\n"...)
	if tx.c.flush(StageDot) != nil {
		return
	}
	if r, err := tx.c.reply(StageDot); err == nil && r.class() == 3 {
		_ = tx.c.botched(StageDot, r)
	}
}
