package api

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/gin-gonic/gin"

	"postrider/internal/email"
)

// Names of values in Gin's context.
const (
	requestIDField = "request_id"
	keyIDField     = "key_id"
)

// maxCallerID bounds the X-Request-Id that a caller may have in our logs.
const maxCallerID = 128

// observe names the request, forbids caches to keep the answer, and logs it: ids, route
// and status, never addresses, bodies or keys.
func (d *door) observe(g *gin.Context) {
	start, id := time.Now(), email.NewID(email.RequestPrefix)
	g.Set(requestIDField, id)
	h := g.Writer.Header()
	h.Set("Request-Id", id)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if body := g.Request.Body; body != nil {
		// In a copy: by the type of the body net/http decides whether to ask for the rest.
		g.Request = g.Request.WithContext(g.Request.Context())
		g.Request.Body = &upload{ReadCloser: body}
	}
	g.Next()
	d.metrics.request(g.Request.Method, g.FullPath(), g.Writer.Status(), time.Since(start))
	if !d.log.Enabled(g.Request.Context(), slog.LevelDebug) {
		return
	}
	d.log.Debug("request", "request_id", id, "caller_request_id", callerID(g.Request.Header.Get("X-Request-Id")),
		"method", g.Request.Method, "route", g.FullPath(), "status", g.Writer.Status(),
		"key_id", g.GetString(keyIDField), "duration", time.Since(start))
}

// recover answers a panic with a problem that says nothing about it.
func (d *door) recover(g *gin.Context) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if v == http.ErrAbortHandler {
			panic(v) // the documented way to drop a connection
		}
		d.log.Error("panic", "request_id", g.GetString(requestIDField), "route", g.FullPath(),
			"version", d.version, "panic", panicText(v), "stack", string(debug.Stack()))
		if g.Writer.Written() {
			panic(http.ErrAbortHandler) // a cut answer must not look like a whole one
		}
		h := g.Writer.Header()
		for _, name := range []string{"Content-Length", "Content-Encoding", "Location", "Link", "Idempotent-Replayed"} {
			h.Del(name)
		}
		h.Set("Cache-Control", "no-store")
		d.writeProblem(g, problemFor(errors.New("panic")))
	}()
	g.Next()
}

// panicText is what the log may say about a panic: the runtime's own words, but only the
// type of anything else, whose text may hold a caller's data.
func panicText(v any) string {
	if err, ok := v.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", v)
}

// callerID keeps a caller's id for the log if it is short and plain.
func callerID(s string) string {
	if len(s) > maxCallerID {
		return ""
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return ""
		}
	}
	return s
}
