package sandbox

import (
	"errors"
	"regexp"
	"strconv"
	"strings"

	"github.com/emersion/go-smtp"
)

// maxSlow is the largest N of slow-N@.
const maxSlow = 60

// Address is one simulator address and what it does, for people.
type Address struct {
	Address string
	Effect  string
}

// Addresses lists the simulator addresses. Each takes a +label.
func Addresses() []Address {
	return []Address{
		{"delivered@" + Domain, "delivered after about a second"},
		{"bounced@" + Domain, "refused for good: 550 5.1.1, no such mailbox"},
		{"soft-bounced@" + Domain, "mailbox full: 452 4.2.2 twice, then 552 5.2.2"},
		{"blocked@" + Domain, "refused by policy: 550 5.7.1"},
		{"deferred@" + Domain, "one 451, then delivered"},
		{"stuck@" + Domain, "451 every time, until it expires"},
		{"failed@" + Domain, "no route: fails without an attempt"},
		{"suppressed@" + Domain, "suppressed when it is accepted, never attempted"},
		{"slow-5@" + Domain, "accepted after that many seconds, at most 60"},
		{"smtp-550-5.7.26@" + Domain, "that reply to RCPT every time: smtp-CODE or smtp-CODE-x.y.z, 400 to 599"},
	}
}

// Simulator reports whether an address is at sandbox.test. If it is but names no
// simulator, err is a sentence for the sender that lists the known ones; it does
// not repeat the address.
func Simulator(address string) (is bool, err error) {
	_, domain, ok := cutAddress(address)
	if !ok || !strings.EqualFold(domain, Domain) {
		return false, nil
	}
	_, err = scriptOf(address)
	return true, err
}

// script is what the server does with one recipient.
type script struct {
	name string // of the simulator: names its provider
	// refusals are given in turn, to one RCPT each; then the recipient is taken,
	// or with forever the last one is given every time.
	refusals []*smtp.SMTPError
	forever  bool
	units    int  // accepted after that many units of Options.Delay
	noRoute  bool // Plan refuses it
}

// remembers reports whether the script has to know how often it was asked.
func (s script) remembers() bool {
	return len(s.refusals) > 1 || len(s.refusals) == 1 && !s.forever
}

var (
	errUnknown = errors.New("no such sandbox address: use delivered@, bounced@, soft-bounced@, blocked@, deferred@, stuck@, failed@, suppressed@, " +
		"slow-N@ or smtp-CODE[-x.y.z]@" + Domain + ", each with an optional +label")
	errLater = errors.New("this sandbox address is not available yet: use delivered@, bounced@, soft-bounced@, blocked@, deferred@, stuck@, failed@, suppressed@, " +
		"slow-N@ or smtp-CODE[-x.y.z]@" + Domain)
	errSlow     = errors.New("slow-N@" + Domain + " takes a whole number of seconds from 0 to 60")
	errCode     = errors.New("smtp-CODE@" + Domain + " takes a reply code from 400 to 599")
	errEnhanced = errors.New("the enhanced code of smtp-CODE-x.y.z@" + Domain + " must be three numbers of at most 3 digits, the first being the first digit of CODE")
)

// RFC 3463 2: class "." subject "." detail, numbers of at most three digits.
var enhancedCode = regexp.MustCompile(`^([245])\.(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})$`)

// scriptOf finds the script of an address at sandbox.test.
func scriptOf(address string) (script, error) {
	local, _, _ := cutAddress(address)
	name, _, _ := strings.Cut(strings.ToLower(local), "+")
	if s, ok := namedScript(name); ok {
		return s, nil
	}
	if seconds, ok := strings.CutPrefix(name, "slow-"); ok {
		return slowScript(seconds)
	}
	if reply, ok := strings.CutPrefix(name, "smtp-"); ok {
		return replyScript(reply)
	}
	switch name {
	case "late-bounced", "complained", "unsubscribed":
		return script{}, errLater
	}
	return script{}, errUnknown
}

func namedScript(name string) (script, bool) {
	s := script{name: name}
	switch name {
	case "delivered":
		s.units = 1
	case "bounced":
		s.refusals, s.forever = refusals(reply(550, smtp.EnhancedCode{5, 1, 1}, "No such mailbox in the sandbox")), true
	case "soft-bounced":
		full := reply(452, smtp.EnhancedCode{4, 2, 2}, "The mailbox is full, try again later")
		s.refusals, s.forever = refusals(full, full, reply(552, smtp.EnhancedCode{5, 2, 2}, "The mailbox is full and stays so")), true
	case "blocked":
		s.refusals, s.forever = refusals(reply(550, smtp.EnhancedCode{5, 7, 1}, "Refused by the sandbox's policy")), true
	case "deferred":
		s.refusals = refusals(reply(451, smtp.EnhancedCode{4, 3, 0}, "Not now, try again"))
	case "stuck":
		s.refusals, s.forever = refusals(reply(451, smtp.EnhancedCode{4, 3, 0}, "Not now, and never")), true
	case "failed":
		// A route exists for other recipients of the same transaction only.
		s.refusals, s.forever, s.noRoute = refusals(reply(550, smtp.EnhancedCode{5, 1, 2}, "No route to this address")), true, true
	case suppressed:
		// Never asked: it is suppressed before.
		s.refusals, s.forever, s.noRoute = refusals(reply(550, smtp.EnhancedCode{5, 1, 1}, "Suppressed")), true, true
	default:
		return script{}, false
	}
	return s, true
}

// suppressed is the name of the simulator that gets no mail at all.
const suppressed = "suppressed"

// Presuppressed reports whether an address at sandbox.test is the simulator of one that
// is suppressed.
func Presuppressed(address string) bool {
	local, domain, ok := cutAddress(address)
	name, _, _ := strings.Cut(strings.ToLower(local), "+")
	return ok && strings.EqualFold(domain, Domain) && name == suppressed
}

func slowScript(seconds string) (script, error) {
	n, err := strconv.ParseUint(seconds, 10, 8)
	if err != nil || n > maxSlow {
		return script{}, errSlow
	}
	return script{name: "slow", units: int(n)}, nil
}

// replyScript reads CODE or CODE-x.y.z.
func replyScript(s string) (script, error) {
	digits, enhanced, hasEnhanced := strings.Cut(s, "-")
	code, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || len(digits) != 3 || code < 400 || code > 599 {
		return script{}, errCode
	}
	// Many real servers give no enhanced code: then neither does this one.
	ec := smtp.NoEnhancedCode
	if hasEnhanced {
		parts := enhancedCode.FindStringSubmatch(enhanced)
		// RFC 2034 4: the class must agree with the first digit of the reply code.
		if parts == nil || parts[1] != digits[:1] {
			return script{}, errEnhanced
		}
		for i := range ec {
			ec[i], _ = strconv.Atoi(parts[i+1]) // the expression admits digits only
		}
	}
	return script{
		name:     "smtp-" + digits,
		refusals: refusals(reply(int(code), ec, "The sandbox replies as it was asked to")),
		forever:  true,
	}, nil
}

func reply(code int, enhanced smtp.EnhancedCode, text string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: text}
}

func refusals(list ...*smtp.SMTPError) []*smtp.SMTPError { return list }

// cutAddress splits at the last @, which a quoted local part may also contain.
func cutAddress(address string) (local, domain string, ok bool) {
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return address, "", false
	}
	return address[:at], address[at+1:], true
}
