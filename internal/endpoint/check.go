package endpoint

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"postrider/internal/email"
	"postrider/internal/events"
	"postrider/internal/intake"
	"postrider/internal/store"
	"postrider/internal/webhook"
)

// Limits of what an endpoint has.
const (
	MaxURL         = 2048
	MaxDescription = 255
	MaxEvents      = 50 // more than there are
)

// CheckURL says what is wrong with where an endpoint is; nil: nothing. That it passes
// does not mean that it can be reached: what its name stands for is seen at each attempt.
func CheckURL(raw string, poster *webhook.Poster) *intake.Fault {
	if len(raw) > MaxURL {
		return &intake.Fault{Code: intake.TooLong, Detail: fmt.Sprintf("has more than %d characters", MaxURL)}
	}
	if err := poster.CheckURL(raw); err != nil {
		return &intake.Fault{Code: intake.InvalidFormat, Detail: err.Error()}
	}
	return nil
}

// CheckEvents says what is wrong with how many events an endpoint wants; nil: nothing.
func CheckEvents(n int) *intake.Fault {
	switch {
	case n == 0:
		return &intake.Fault{Code: intake.Required, Detail: "names no event"}
	case n > MaxEvents:
		return &intake.Fault{Code: intake.TooMany, Detail: fmt.Sprintf("has more than %d elements", MaxEvents)}
	}
	return nil
}

// CheckEvent says what is wrong with one of them, a type or a pattern; nil: nothing.
func CheckEvent(pattern string) *intake.Fault {
	if slices.Contains(Later(), pattern) {
		return &intake.Fault{Code: intake.UnsupportedFeature, Detail: "is not produced by this version"}
	}
	if err := events.CheckPattern(pattern); err != nil {
		return &intake.Fault{Code: intake.InvalidFormat, Detail: err.Error()}
	}
	return nil
}

// Later are the types of api.md 11 that nothing makes yet.
func Later() []string {
	return []string{
		"message.complained", "message.unsubscribed", "message.opened", "message.clicked",
		"domain.verified", "domain.degraded", "domain.failed", "domain.*",
	}
}

// CheckDescription says what is wrong with a text for people; nil: nothing.
func CheckDescription(s string) *intake.Fault {
	switch {
	case utf8.RuneCountInString(s) > MaxDescription:
		return &intake.Fault{Code: intake.TooLong, Detail: fmt.Sprintf("has more than %d characters", MaxDescription)}
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || 0x7f <= r && r < 0xa0 }):
		return &intake.Fault{Code: intake.InvalidFormat, Detail: "holds control characters"}
	}
	return nil
}

// CheckWhole says what of an endpoint excludes something else of it. *intake.Invalid.
func CheckWhole(h *store.Webhook) error {
	authorized := slices.ContainsFunc(h.Headers, func(f email.Header) bool { return strings.EqualFold(f.Name, "Authorization") })
	if u, err := url.Parse(h.URL); authorized && err == nil && u.User != nil {
		return &intake.Invalid{Faults: []intake.Fault{{
			Pointer: "#/headers/Authorization", Code: intake.MutuallyExclusive,
			Detail: "cannot be sent beside the user and password of the URL",
		}}}
	}
	return nil
}
