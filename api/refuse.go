package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"postrider/internal/apikey"
	"postrider/internal/intake"
	"postrider/internal/store"
)

// How many seconds a caller should wait: when the store does not answer, and while
// another request holds the Idempotency-Key.
const (
	retryAfter   = 5
	retryShortly = 1
)

// refuse answers an error as a problem document.
func (d *door) refuse(g *gin.Context, err error) {
	p := problemFor(err)
	if p.code == queueFull && !keepsContent(g.FullPath()) {
		p = &problem{code: serviceUnavailable, detail: "The store of the service is full. Try again later."}
	}
	if kind := problemKinds()[p.code]; kind.status >= http.StatusInternalServerError {
		level := slog.LevelError
		if g.Request.Context().Err() != nil {
			level = slog.LevelDebug // the caller went away, which breaks off what we did for it
		}
		d.log.Log(g.Request.Context(), level, "request failed", "request_id", g.GetString(requestIDField), "route", g.FullPath(),
			"code", string(p.code), "error", err.Error())
	}
	d.writeProblem(g, p)
}

// keepsContent tells the routes that bring mail or templates: the others change what is
// there, and queue_full would tell their callers of mail that they did not bring.
func keepsContent(route string) bool {
	route = strings.TrimPrefix(route, "/v1")
	return slices.Contains([]string{"/messages", "/messages/batch", "/messages/raw"}, route) || strings.HasPrefix(route, "/templates")
}

// writeProblem sends a problem with the header fields that belong to its status, once
// the client has had its say.
func (d *door) writeProblem(g *gin.Context, p *problem) {
	drain(g, drainedBytes, drainedFor)
	body := p.body(g.GetString(requestIDField))
	h := g.Writer.Header()
	switch body.Status {
	case http.StatusUnauthorized:
		// RFC 9110 15.5.2: a 401 carries a challenge.
		h.Set("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.Itoa(retryAfter))
	}
	switch {
	case p.code == idempotencyInProgress:
		h.Set("Retry-After", strconv.Itoa(retryShortly))
	case p.retryAfter > 0:
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	g.Abort()
	writeJSON(g, body.Status, "application/problem+json", body)
}

// problemFor judges an error: the only place that turns one into a status.
func problemFor(err error) *problem {
	var (
		p           *problem
		invalid     *intake.Invalid
		notVerified *intake.NotVerified
		tooLarge    *intake.TooLarge
		template    *intake.TemplateRefused
		excess      *apikey.Excess
	)
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &excess):
		return ofExcess(excess)
	case refusedKey(err) != nil:
		return refusedKey(err)
	case errors.As(err, &invalid):
		return invalidBody(faultsOf(invalid.Faults))
	case errors.As(err, &template):
		return ofRefusedTemplate(template)
	case errors.As(err, &notVerified):
		detail, id := "The domain of the From address is not verified.", text(notVerified.DomainID)
		return &problem{
			code: domainNotVerified, detail: detail, domain: notVerified.Domain, domainID: &id,
			errors: []fault{{Pointer: "#/from", Code: string(domainNotVerified), Detail: "is at a domain that is not verified"}},
		}
	case errors.As(err, &tooLarge):
		return &problem{
			code: messageTooLarge, detail: "The composed mail is larger than allowed.",
			limitBytes: &tooLarge.Limit, actualBytes: &tooLarge.Actual,
		}
	case errors.Is(err, store.ErrIdempotencyReused):
		return &problem{
			code: idempotencyKeyReused, header: idempotencyHeader,
			detail: "This Idempotency-Key was used with another request.",
		}
	case errors.Is(err, store.ErrInProgress):
		return &problem{
			code: idempotencyInProgress, header: idempotencyHeader,
			detail: "A request with this Idempotency-Key is in progress. Try again in a moment.",
		}
	case errors.Is(err, store.ErrNotFound):
		return &problem{code: notFound, detail: "There is no message with this id.", resource: "message"}
	case errors.Is(err, store.ErrGap):
		return &problem{
			code: cursorExpired, parameter: "cursor",
			detail: "The events behind this cursor are not all known any more. Read the state of your messages, and begin without a cursor.",
		}
	case errors.Is(err, store.ErrCursor):
		return badParameter("cursor", intake.InvalidFormat, "is not a cursor of this list")
	case errors.Is(err, store.ErrFull):
		return &problem{code: queueFull, detail: "The queue is full: no new mail is taken until some is delivered. Try again later."}
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return &problem{code: serviceUnavailable, detail: "The service cannot reach its store. Try again soon."}
	}
	return &problem{code: internalError, detail: "Something went wrong on our side. The request may be repeated."}
}

// refusedKey is the answer to what the key may not do that a message came with; nil for
// other errors.
func refusedKey(err error) *problem {
	var (
		from  *intake.FromNotAllowed
		quota *intake.QuotaExceeded
	)
	switch {
	case errors.As(err, &from):
		return &problem{
			code: fromDomainNotAllowed, detail: "This API key may not send from the domain of the From address.", domain: from.Domain,
			errors: []fault{{Pointer: "#/from", Code: string(fromDomainNotAllowed), Detail: "is at a domain that this API key may not send from"}},
		}
	case errors.Is(err, intake.ErrPaused), errors.Is(err, apikey.ErrPaused):
		return &problem{code: sendingPaused, detail: "The sending of this API key is paused: it sends no mail and changes no keys."}
	case errors.As(err, &quota):
		resets := stamp(quota.ResetsAt)
		return &problem{
			code: quotaExceeded, detail: fmt.Sprintf("This API key may send to %d recipients a day, and has not as many left.", quota.Limit),
			quota: "daily", resetsAt: &resets, retryAfter: max(1, int(math.Ceil(quota.Wait.Seconds()))),
		}
	}
	return nil
}

// missing says what kind of object was not found.
func missing(resource string, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return &problem{code: notFound, detail: "There is no " + resource + " with this id.", resource: resource}
	}
	return err
}

// invalidBody is the answer to a body that is JSON but not what we expect.
func invalidBody(faults []fault) *problem {
	detail := fmt.Sprintf("%d members are invalid.", len(faults))
	if len(faults) == 1 {
		detail = "1 member is invalid."
	}
	return &problem{code: validationFailed, detail: detail, errors: faults}
}

// Misdirected answers requests that are meant for another host (RFC 9110 15.5.20):
// for whoever checks the Host header in front of the door.
func Misdirected() http.Handler {
	d := &door{log: slog.New(slog.DiscardHandler)}
	e := newGin(nil)
	e.Use(d.observe)
	e.NoRoute(func(g *gin.Context) {
		d.writeProblem(g, &problem{code: misdirectedRequest, detail: "The Host header names a host that this server does not answer for."})
	})
	return e
}

// noRoute answers what is no route of ours, or hands it to the fallback.
func (d *door) noRoute(g *gin.Context) {
	// RFC 9110 9.3.7: asked of the server as a whole, it is a ping.
	if g.Request.Method == http.MethodOptions && g.Request.URL.Path == "*" {
		g.Status(http.StatusNoContent)
		g.Writer.WriteHeaderNow()
		return
	}
	if d.fallback != nil && !ofAPI(g.Request.URL.Path) {
		g.Writer.Header().Del("Cache-Control") // the fallback's own matter
		g.Status(http.StatusOK)
		d.fallback.ServeHTTP(g.Writer, g.Request)
		return
	}
	d.writeProblem(g, &problem{code: routeNotFound, detail: "There is no such route."})
}

// noMethod answers a method that a route does not have. Gin has set Allow.
func (d *door) noMethod(g *gin.Context) {
	methods := strings.Split(g.Writer.Header().Get("Allow"), ", ")
	slices.Sort(methods)
	g.Writer.Header().Set("Allow", strings.Join(methods, ", "))
	d.writeProblem(g, &problem{code: methodNotAllowed, detail: "This route does not have the method."})
}

// ofAPI reports whether a path belongs to the API, known route or not.
func ofAPI(path string) bool {
	for _, root := range []string{"/v1", "/messages"} {
		if path == root || strings.HasPrefix(path, root+"/") {
			return true
		}
	}
	return false
}
