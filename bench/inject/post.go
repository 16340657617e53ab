package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"postrider/bench/ledger"
	"postrider/bench/load"
)

// answerLimit is how long one answer may take.
const answerLimit = 30 * time.Second

// retryPause is between two tries of one POST.
const retryPause = 100 * time.Millisecond

// poster posts over one connection at a time.
type poster struct {
	o     *options
	mails *load.Mails
	nonce string
	at    int // index of the service it speaks to

	conn net.Conn
	in   *bufio.Reader
	body []byte
	out  []byte
}

// fatalError is an answer that trying again would not change.
type fatalError struct{ status string }

func (e *fatalError) Error() string { return "refused: " + e.status }

// post posts one mail until it has a 202, or the patience ends.
func (p *poster) post(n int, promise *ledger.Promise) error {
	promise.Recipient = load.Recipient(p.o.series, n)
	promise.Begun = time.Now()
	for {
		id, err := p.try(n)
		promise.Answered = time.Now()
		if err == nil {
			promise.ID = id
			return nil
		}
		p.hangUp()
		p.at = (p.at + 1) % len(p.o.urls)
		if _, fatal := err.(*fatalError); fatal || p.o.insist == 0 {
			return err
		}
		if time.Since(promise.Begun) > p.o.insist {
			return nil // without a 202: nothing was promised
		}
		time.Sleep(retryPause)
	}
}

func (p *poster) hangUp() {
	if p.conn != nil {
		_ = p.conn.Close()
		p.conn = nil
	}
}

// try makes one request.
func (p *poster) try(n int) (id string, err error) {
	host := strings.TrimPrefix(p.o.urls[p.at], "http://")
	if p.conn == nil {
		if p.conn, err = net.DialTimeout("tcp", host, time.Second); err != nil {
			return "", err
		}
		p.in = bufio.NewReader(p.conn)
	}
	p.body = p.mails.JSON(p.body[:0], p.o.series, n, p.o.lifetime)
	p.out = fmt.Appendf(p.out[:0], "POST /messages HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/json\r\nIdempotency-Key: %s-%s%d\r\nContent-Length: %d\r\n\r\n",
		host, p.o.key, p.nonce, p.o.series, n, len(p.body))
	p.out = append(p.out, p.body...)
	if err := p.conn.SetDeadline(time.Now().Add(answerLimit)); err != nil {
		return "", err
	}
	if _, err := p.conn.Write(p.out); err != nil {
		return "", err
	}
	response, err := http.ReadResponse(p.in, nil)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	return read(response, answer)
}

func read(response *http.Response, answer []byte) (string, error) {
	switch {
	case response.StatusCode >= 500 || response.StatusCode == http.StatusTooManyRequests:
		return "", fmt.Errorf("answered %s", response.Status)
	case response.StatusCode != http.StatusAccepted:
		return "", &fatalError{response.Status + " " + string(answer[:min(len(answer), 300)])}
	}
	_, rest, _ := bytes.Cut(answer, []byte(`"id":"`))
	id, _, ok := bytes.Cut(rest, []byte(`"`))
	if !ok {
		return "", &fatalError{"a 202 without an id"}
	}
	return string(id), nil
}
