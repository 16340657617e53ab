package api

import (
	"fmt"
	"slices"
	"time"

	"postrider/internal/apikey"
	"postrider/internal/intake"
)

// readKey reads the body of POST (whole) or PATCH /api-keys. In a PATCH null is a value:
// no bound. Errors: *intake.Invalid of what is not of the right type; the rest is
// package apikey's to judge.
func readKey(doc *document, whole bool) (draft apikey.Draft, live *bool, err error) {
	var dec decoder
	switch {
	case doc.root.kind != objectKind:
		dec.wrongType("#", "an object")
	case doc.crowded:
		dec.fault("#", intake.TooMany, fmt.Sprintf("has more than %d values", maxValues))
	default:
		for _, m := range doc.root.children {
			switch {
			case m.name == "livemode" && whole && m.given():
				live = dec.boolean(m, "#/livemode")
			case m.given():
				dec.keyMember(&draft, m)
			case !whole && slices.Contains(apikey.Liftable(), m.name):
				draft.Lift = append(draft.Lift, m.name)
			}
		}
	}
	return draft, live, dec.invalid()
}

// keyMember reads one member of a key.
func (d *decoder) keyMember(draft *apikey.Draft, m *node) {
	at := member("#", m.name)
	switch m.name {
	case "name":
		draft.Name = d.str(m, at)
	case "scopes":
		draft.Scopes = d.texts(m, at)
	case "allowed_from_domains":
		draft.FromDomains = d.texts(m, at)
	case "allowed_ips":
		draft.Networks = d.texts(m, at)
	case "expires_at":
		var t time.Time
		d.time(m, at, &t)
		if !t.IsZero() {
			draft.ExpiresAt = &t
		}
	case "requests_per_second":
		draft.RequestsPerSecond = d.integer(m, at)
	case "recipients_per_day":
		draft.RecipientsPerDay = d.integer(m, at)
	case "sending_paused":
		draft.SendingPaused = d.boolean(m, at)
	default:
		d.fault(at, intake.UnknownMember, "is not a member of this object")
	}
}

// texts reads an array of strings. It is not nil.
func (d *decoder) texts(n *node, at string) []string {
	out := []string{}
	if n.kind != arrayKind {
		d.wrongType(at, "an array of strings")
		return out
	}
	for i, m := range n.children {
		if s := d.str(m, element(at, i)); s != nil {
			out = append(out, *s)
		}
	}
	return out
}

// ofExcess is the answer to a key that asks for more than it has.
func ofExcess(e *apikey.Excess) *problem {
	p := &problem{}
	switch e.Member {
	case "scopes":
		p.code, p.requiredScope, p.detail = insufficientScope, e.Scope, "This API key lacks "+e.Scope+", so it cannot give it to another."
	case "allowed_from_domains":
		p.code, p.detail = fromDomainNotAllowed, "This API key may not send from all of these domains, so it cannot allow them to another."
	case "allowed_ips":
		p.code, p.detail = ipNotAllowed, "This API key may not be used from all of these networks, so it cannot allow them to another."
	case "livemode":
		p.code, p.detail = livemodeMismatch, "A key of one world cannot make a key of the other."
	default:
		p = invalidBody([]fault{{Pointer: "#/" + e.Member, Code: intake.OutOfRange, Detail: "goes beyond the bound of the key that asks"}})
	}
	if e.Standing {
		return ofStanding(e)
	}
	if p.errors == nil {
		at := "#/" + e.Member
		if e.Index >= 0 {
			at = element(at, e.Index)
		}
		p.errors = []fault{{Pointer: at, Code: string(p.code), Detail: "is more than the key that asks has"}}
	}
	return p
}

// ofStanding is the answer to a key that would change one that reaches further.
func ofStanding(e *apikey.Excess) *problem {
	p := &problem{code: insufficientScope, requiredScope: e.Scope, detail: "That API key may do more than this one, which therefore cannot change it."}
	if p.requiredScope == "" {
		p.requiredScope, p.detail = apikey.KeysWrite, "That API key has a wider "+e.Member+" than this one, which therefore cannot change it."
	}
	return p
}
