package webhook

import (
	"context"
	"slices"
	"strings"
	"time"

	"postrider/internal/email"
)

// Show gives the header fields that Post sends with a message in an attempt at a time,
// by name and in lower case. The values that the endpoint's owner gave are replaced:
// they may be secret.
func Show(to Endpoint, m Message, at time.Time) ([]email.Header, error) {
	request, err := newRequest(context.Background(), to, m, at)
	if err != nil {
		return nil, err
	}
	for _, h := range to.Headers {
		if request.Header.Get(h.Name) == h.Value {
			request.Header.Set(h.Name, redacted)
		}
	}
	if request.URL.User != nil {
		request.Header.Set("Authorization", redacted)
	}
	var list []email.Header
	for name := range request.Header {
		list = append(list, email.Header{Name: strings.ToLower(name), Value: request.Header.Get(name)})
	}
	slices.SortFunc(list, func(a, b email.Header) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// ShowHeaders gives the names of static headers without their values.
func ShowHeaders(headers []email.Header) []email.Header {
	list := make([]email.Header, len(headers))
	for i, h := range headers {
		list[i] = email.Header{Name: h.Name, Value: redacted}
	}
	return list
}
