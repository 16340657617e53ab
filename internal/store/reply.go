package store

import (
	"encoding/json"
	"fmt"

	"postrider/internal/email"
)

// reply is the last word of a server about one recipient.
type reply struct {
	Code     int    `json:"c"`
	Enhanced string `json:"e,omitempty"`
	Text     string `json:"t,omitempty"`
	Stage    string `json:"s,omitempty"`
	MXHost   string `json:"h,omitempty"`
	MXIP     string `json:"i,omitempty"`
	TLS      string `json:"v,omitempty"`
	At       int64  `json:"a,omitempty"`
}

func toReply(r *email.Reply) *reply {
	if r == nil {
		return nil
	}
	return &reply{
		Code: r.Code, Enhanced: r.EnhancedCode, Text: r.Text, Stage: r.Stage,
		MXHost: r.MXHost, MXIP: r.MXIP, TLS: r.TLSVersion, At: toMS(r.At),
	}
}

func fromReply(r *reply) *email.Reply {
	if r == nil {
		return nil
	}
	return &email.Reply{
		Code: r.Code, EnhancedCode: r.Enhanced, Text: r.Text, Stage: r.Stage,
		MXHost: r.MXHost, MXIP: r.MXIP, TLSVersion: r.TLS, At: fromMS(r.At),
	}
}

func decodeReply(raw string) (*email.Reply, error) {
	if raw == "" {
		return nil, nil
	}
	var r reply
	if err := json.Unmarshal([]byte(raw), &r); err != nil {
		return nil, fmt.Errorf("%w: a reply: %w", ErrBroken, err)
	}
	return fromReply(&r), nil
}
