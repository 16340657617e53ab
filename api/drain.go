package api

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

// What is read off of the body of a refused request, so that a client which writes
// all of it before it reads comes to see the answer: a little more than the largest
// body, and not for long.
const (
	drainedBytes = maxBody + 4<<20
	drainedFor   = 15 * time.Second
)

// upload is a request's body that knows how far it was read.
type upload struct {
	io.ReadCloser
	begun bool // something was read: the client was told to go on
	ended bool // there is no more, or no more that can be read
}

// Read implements io.Reader.
func (u *upload) Read(p []byte) (int, error) {
	u.begun = true
	n, err := u.ReadCloser.Read(p)
	u.ended = u.ended || err != nil
	return n, err
}

// drain reads off what is left of a request's body, at most limit octets and for at
// most the time given. A client that waits to be told to go on is not told so
// (RFC 9110 10.1.1): it reads the refusal instead.
func drain(g *gin.Context, limit int64, within time.Duration) {
	body, ok := g.Request.Body.(*upload)
	if !ok || g.Request.ContentLength == 0 || body.ended || !body.begun && expectsContinue(g.Request) {
		return
	}
	err := http.NewResponseController(g.Writer).SetReadDeadline(time.Now().Add(within))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return // the connection is gone
	}
	_, _ = io.CopyN(io.Discard, body, limit) // whatever comes, the answer is written
}

func expectsContinue(r *http.Request) bool {
	return r.ProtoAtLeast(1, 1) && strings.EqualFold(r.Header.Get("Expect"), "100-continue")
}
