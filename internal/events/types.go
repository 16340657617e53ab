package events

import (
	"fmt"
	"slices"
	"strings"

	"postrider/internal/email"
)

// WebhookTest is the type of an event that only a test call sends.
const WebhookTest email.EventType = "webhook.test"

// kind is one row of api.md 11.
type kind struct {
	name     email.EventType
	standard bool // on for endpoints that name no events
}

// kinds are the types that happen today. Others join when something makes them.
func kinds() []kind {
	return []kind{
		{email.TypeFor(email.Queued), false},
		{email.TypeFor(email.Scheduled), false},
		{email.TypeFor(email.Deferred), true},
		{email.TypeFor(email.Delivered), true},
		{email.TypeFor(email.Bounced), true},
		{email.TypeFor(email.Failed), true},
		{email.TypeFor(email.Suppressed), true},
		{email.TypeFor(email.Canceled), true},
		{email.SuppressionCreated, false},
		{email.SuppressionDeleted, false},
	}
}

// Types lists the types of events that happen, on by default or not.
func Types() []email.EventType {
	var list []email.EventType
	for _, k := range kinds() {
		list = append(list, k.name)
	}
	return list
}

// Default lists the types that an endpoint gets that names none.
func Default() []string {
	var list []string
	for _, k := range kinds() {
		if k.standard {
			list = append(list, string(k.name))
		}
	}
	return list
}

// CheckPattern refuses what Match would never match: a pattern is a type, a group
// such as "message.*", or "*". The error names what there is.
func CheckPattern(pattern string) error {
	for _, k := range kinds() {
		if matches(pattern, k.name) {
			return nil
		}
	}
	var names []string
	for _, t := range Types() {
		names = append(names, string(t))
	}
	return fmt.Errorf("is no event: use %s, message.*, suppression.* or *", strings.Join(names, ", "))
}

// Match reports whether an endpoint with these patterns wants events of a type. No
// patterns stand for Default.
func Match(patterns []string, t email.EventType) bool {
	if len(patterns) == 0 {
		return slices.Contains(Default(), string(t))
	}
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, t) })
}

func matches(pattern string, t email.EventType) bool {
	if group, ok := strings.CutSuffix(pattern, ".*"); ok {
		return group != "" && strings.HasPrefix(string(t), group+".")
	}
	return pattern == "*" || pattern == string(t)
}
