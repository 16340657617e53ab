package smtpclient

import (
	"slices"
	"strconv"
	"time"
)

const (
	blockSize   = 32 << 10 // octets of data per write
	minDataRate = 500      // octets/s that a server must take, on the whole
)

// sendData writes the content, lets Mark pass, writes the final dot, and gives its
// reply to every accepted recipient.
func (tx *transaction) sendData() {
	w, bodyErr, markErr := tx.sendBody()
	switch {
	case bodyErr != nil:
		tx.conclude(tx.c.cutShort(bodyErr))
		return
	case markErr != nil:
		// Only without the final dot is it sure that nothing was delivered (RFC 5321 4.1.1.4).
		tx.c.broken = true
		tx.c.log.note("stopped before the final dot")
		tx.conclude(tx.c.fault(StageMark, markErr))
		return
	case tx.c.ctx.Err() != nil:
		tx.conclude(tx.c.lost(StageBody, tx.c.ctx.Err()))
		return
	}
	tx.c.log.stamp()
	rest, early, err := w.beginDot()
	if early != nil {
		// A refusal counts; whatever it is, without the dot nothing was delivered.
		tx.conclude(early)
		return
	}
	var room [40]byte
	tx.c.log.also("*", string(append(strconv.AppendInt(room[:0], tx.size, 10), " octets of data"...)))
	tx.c.trace.body(tx.c, tx.size, tx.c.spoke.Sub(w.start))
	tx.c.log.also("C", ".")
	tx.c.trace.command(tx.c, StageDot, ".")
	if err == nil {
		err = w.flush(rest)
	}
	// From the first octet of this write on, the server may have the whole mail.
	if err != nil {
		tx.conclude(unknown(tx.c.lost(StageDot, err)))
		return
	}
	raw, lost := tx.c.answer(StageDot)
	if lost != nil {
		tx.conclude(unknown(lost))
		return
	}
	r := raw.reply()
	switch {
	case r.class() == 3:
		tx.conclude(unknown(tx.c.botched(StageDot, r)))
	case r.class() != 2:
		tx.conclude(tx.c.refused(StageDot, r))
	default:
		tx.delivered(&r)
	}
}

// delivered gives the accepted recipients their 250. Those who were too many beside
// them are free for the next transaction, which has no more than this one took.
func (tx *transaction) delivered(r *Reply) {
	for _, i := range tx.accepted {
		tx.res.Recipients[i] = RecipientResult{Reply: r}
	}
	for _, i := range tx.crowded {
		tx.res.Recipients[i] = RecipientResult{}
	}
	if len(tx.crowded) > 0 {
		tx.batch = len(tx.accepted)
		tx.c.log.note("%d recipients were too many for one transaction", len(tx.crowded))
	}
}

// cutShort is the Error of a body that could not be sent: the server's refusal, if it
// said one before it hung up.
func (c *conn) cutShort(err error) *Error {
	if e := c.listen(StageBody); e != nil && e.Reply != nil {
		return e
	}
	return c.lost(StageBody, err)
}

func unknown(e *Error) *Error {
	e.Unknown = true
	return e
}

// sendBody lets Mark pass and writes the data but for its last block, which waits for
// the dot. What is no more than that waits for Mark too: all of it leaves in one write,
// and nothing if Mark fails. Of more, the most is on its way while Mark runs.
func (tx *transaction) sendBody() (w bodyWriter, bodyErr, markErr error) {
	if tx.mail.Mark == nil || len(tx.mail.Data) <= blockSize {
		markErr = tx.markFirst()
		w = newBodyWriter(tx.c, tx.content.dotted)
		return w, w.write(tx.mail.Data), markErr
	}
	w = newBodyWriter(tx.c, tx.content.dotted)
	mark := tx.markBeside()
	bodyErr = w.write(tx.mail.Data)
	select {
	case passed := <-mark: // the last block and the dot can go in one write
		return w, bodyErr, passed()
	default:
	}
	if bodyErr == nil {
		bodyErr = w.flush(w.buf)
	}
	// Even if the body failed, Mark must not run on behind the caller's back.
	return w, bodyErr, w.pause(mark)
}

func (tx *transaction) mark() error {
	if tx.mail.Mark == nil {
		return nil
	}
	return tx.mail.Mark(tx.c.ctx, slices.Clone(tx.accepted))
}

// markFirst is mark before any of the data. A Mark that panics leaves a connection on
// which the server waits for data: nothing else may be said on it.
func (tx *transaction) markFirst() error {
	tx.c.broken = true
	err := tx.mark()
	tx.c.broken = false
	return err
}

// markBeside runs Mark while the body goes out. What it says is had by a call, in which
// a panic of Mark comes back to whoever called Send.
func (tx *transaction) markBeside() <-chan func() error {
	said := make(chan func() error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				said <- func() error {
					tx.c.broken = true // as in markFirst
					panic(p)
				}
			}
		}()
		err := tx.mark()
		said <- func() error { return err }
	}()
	return said
}

// bodyWriter writes stuffed data in blocks. The last block stays in the buffer until
// flush or writeDot.
type bodyWriter struct {
	c       *conn
	stuffer dotStuffer
	buf     []byte
	sent    int64
	start   time.Time
}

func newBodyWriter(c *conn, dotted bool) bodyWriter {
	return bodyWriter{c: c, stuffer: dotStuffer{idle: !dotted}, buf: c.out[:0], start: time.Now()}
}

// write takes the data and writes all blocks but the last.
func (w *bodyWriter) write(data []byte) error {
	for len(data) > 0 {
		n := min(len(data), blockSize)
		w.buf = w.stuffer.stuff(w.buf, data[:n])
		data = data[n:]
		if len(data) > 0 {
			if err := w.flush(w.buf); err != nil {
				return err
			}
		}
	}
	w.buf = w.stuffer.finish(w.buf)
	return nil
}

// pause waits for Mark. That time is not the server's: it does not count against the
// minimum rate.
func (w *bodyWriter) pause(mark <-chan func() error) error {
	began := time.Now()
	passed := <-mark
	w.start = w.start.Add(time.Since(began))
	return passed()
}

// beginDot begins to write what is left with the final dot behind it: never anything
// more, or a stray reply could be taken for the answer to it. If the server has spoken
// before, nothing is written. What did not leave at once is left to flush.
func (w *bodyWriter) beginDot() (rest []byte, early *Error, err error) {
	w.buf = append(w.buf, ".\r\n"...)
	w.c.spoke = time.Now()
	n, early, err := w.c.put(w.buf, StageBody, StageDot)
	w.sent += int64(n)
	return w.buf[n:], early, err
}

// flush writes a block within the time for one block, and within what is left at
// the minimum rate since the body began: a server that takes an octet now and then
// does not hold us for long.
func (w *bodyWriter) flush(p []byte) error {
	if len(p) == 0 {
		w.done()
		return nil
	}
	block := w.c.timeouts.Block
	w.c.spoke = time.Now()
	deadline := w.c.spoke.Add(block)
	w.sent += int64(len(p))
	slowest := w.start.Add(block + time.Duration(w.sent/minDataRate)*time.Second)
	if slowest.Before(deadline) {
		deadline = slowest
	}
	_ = w.c.nc.SetWriteDeadline(w.c.ctx.sooner(deadline))
	_, err := w.c.nc.Write(p)
	w.done()
	return err
}

// done empties the buffer, and keeps it with the connection.
func (w *bodyWriter) done() {
	w.buf = w.buf[:0]
	w.c.out = w.buf
}
