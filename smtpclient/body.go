package smtpclient

import "time"

const (
	blockSize   = 32 << 10 // octets of data per write
	minDataRate = 500      // octets/s that a server must take, on the whole
)

// sendData writes the content, lets Mark pass, writes the final dot, and gives its
// reply to every accepted recipient.
func (tx *transaction) sendData() {
	mark := tx.startMark()
	w := newBodyWriter(tx.c)
	bodyErr := w.write(tx.mail.Data)
	var markErr error
	select {
	case markErr = <-mark: // the last block and the dot can go in one write
	default:
		if bodyErr == nil {
			bodyErr = w.flush()
		}
		// Even if the body failed, Mark must not run on behind the caller's back.
		markErr = w.pause(mark)
	}
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
	if err := tx.c.listen(StageBody); err != nil {
		// A refusal counts; whatever it is, without the dot nothing was delivered.
		tx.conclude(err)
		return
	}
	tx.c.log.note("%d octets of data", tx.size)
	tx.c.trace.body(tx.c, tx.size, w.start)
	tx.c.log.add("C", ".")
	tx.c.trace.command(tx.c, StageDot, ".")
	tx.c.spoke = time.Now()
	// From the first octet of this write on, the server may have the whole mail.
	if err := w.writeDot(); err != nil {
		tx.conclude(unknown(tx.c.lost(StageDot, err)))
		return
	}
	r, err := tx.c.reply(StageDot)
	switch {
	case err != nil:
		tx.conclude(unknown(err))
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

// startMark runs Mark beside the body.
func (tx *transaction) startMark() <-chan error {
	done := make(chan error, 1)
	if tx.mail.Mark == nil {
		done <- nil
		return done
	}
	ctx, accepted := tx.c.ctx, append([]int(nil), tx.accepted...)
	go func() { done <- tx.mail.Mark(ctx, accepted) }()
	return done
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

func newBodyWriter(c *conn) *bodyWriter { return &bodyWriter{c: c, buf: c.out[:0], start: time.Now()} }

// write takes the data and writes all blocks but the last.
func (w *bodyWriter) write(data []byte) error {
	for len(data) > 0 {
		n := min(len(data), blockSize)
		w.buf = w.stuffer.stuff(w.buf, data[:n])
		data = data[n:]
		if len(data) > 0 {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	w.buf = w.stuffer.finish(w.buf)
	return nil
}

// pause waits for Mark. That time is not the server's: it does not count against the
// minimum rate.
func (w *bodyWriter) pause(mark <-chan error) error {
	began := time.Now()
	err := <-mark
	w.start = w.start.Add(time.Since(began))
	return err
}

// writeDot writes what is left with the final dot behind it: never anything more, or
// a stray reply could be taken for the answer to it.
func (w *bodyWriter) writeDot() error {
	w.buf = append(w.buf, ".\r\n"...)
	return w.flush()
}

// flush writes a block within the time for one block, and within what is left at
// the minimum rate since the body began: a server that takes an octet now and then
// does not hold us for long.
func (w *bodyWriter) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	block := w.c.timeouts.Block
	deadline := time.Now().Add(block)
	w.sent += int64(len(w.buf))
	slowest := w.start.Add(block + time.Duration(w.sent/minDataRate)*time.Second)
	if slowest.Before(deadline) {
		deadline = slowest
	}
	_ = w.c.nc.SetDeadline(deadline)
	_, err := w.c.nc.Write(w.buf)
	w.buf = w.buf[:0]
	w.c.out = w.buf // keep the buffer with the connection
	return err
}
