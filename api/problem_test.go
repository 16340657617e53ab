package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"postrider/internal/intake"
	"postrider/internal/store"
)

func TestProblemFor(t *testing.T) {
	tests := []struct {
		name   string
		err    error
		code   code
		status int
	}{
		{"a problem itself", &problem{code: contentExpired}, contentExpired, 410},
		{"faults", &intake.Invalid{Faults: []intake.Fault{{Pointer: "#/to"}}}, validationFailed, 422},
		{"domain", &intake.NotVerified{Domain: "acme.com"}, domainNotVerified, 422},
		{"size", &intake.TooLarge{Limit: 1, Actual: 2}, messageTooLarge, 413},
		{"reused key", store.ErrIdempotencyReused, idempotencyKeyReused, 422},
		{"not found", store.ErrNotFound, notFound, 404},
		{"cursor", store.ErrCursor, invalidParameter, 400},
		{"the store is away", fmt.Errorf("accept: %w: %w", store.ErrUnavailable, io.EOF), serviceUnavailable, 503},
		{"deadline", context.DeadlineExceeded, serviceUnavailable, 503},
		{"Redis is full", fmt.Errorf("accept: %w: %w", store.ErrFull, store.ErrUnavailable), queueFull, 503},
		{"a script of ours is wrong", errors.New("ERR user_script:1: secret"), internalError, 500},
		{"anything else", errors.New("secret"), internalError, 500},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := problemFor(fmt.Errorf("doing: %w", tt.err))
			body := p.body("req_1")
			if p.code != tt.code || body.Status != tt.status || body.Title == "" {
				t.Errorf("%s, status %d, title %q; want %s, %d", p.code, body.Status, body.Title, tt.code, tt.status)
			}
			if strings.Contains(p.detail, "secret") {
				t.Error("the answer repeats the cause")
			}
		})
	}
}

func TestProblemNamesAtMostFiftyErrors(t *testing.T) {
	for _, n := range []int{1, maxErrors, maxErrors + 1, 500} {
		faults := make([]intake.Fault, n)
		b := problemFor(&intake.Invalid{Faults: faults}).body("req_1")
		if len(b.Errors) != min(n, maxErrors) || b.Truncated != (n > maxErrors) {
			t.Errorf("%d faults: %d errors, truncated %v", n, len(b.Errors), b.Truncated)
		}
		if !strings.HasPrefix(b.Detail, fmt.Sprint(n, " member")) {
			t.Errorf("%d faults: %s", n, b.Detail)
		}
	}
}

func TestProblemKinds(t *testing.T) {
	titles := make(map[string]code)
	for c, kind := range problemKinds() {
		if kind.status < 400 || kind.status > 599 || kind.retryable != (kind.status >= 500 || kind.status == 408 || c == rateLimited || c == idempotencyInProgress) {
			t.Errorf("%s: status %d, retryable %v", c, kind.status, kind.retryable)
		}
		if other, twice := titles[kind.title]; twice {
			t.Errorf("%s has the title of %s", c, other)
		}
		titles[kind.title] = c
	}
}

func TestCallerID(t *testing.T) {
	tests := map[string]string{
		"abc-1": "abc-1", "": "", "a b": "", "a\nb": "", "\x1b]0;x": "", "é": "",
		strings.Repeat("x", maxCallerID): strings.Repeat("x", maxCallerID), strings.Repeat("x", maxCallerID+1): "",
	}
	for in, want := range tests {
		if got := callerID(in); got != want {
			t.Errorf("callerID(%.20q) = %.20q", in, got)
		}
	}
}
