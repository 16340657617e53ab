package bounce

// line is one line of a table: when it holds, what it means and why we think so.
type line struct {
	all      []string // parts of the folded text that must all be there; none: any text
	category string
	reason   string
}

// exact reads the enhanced codes that say one thing only. Where a provider is
// known to use one of them for something else, its text decides first.
func exact(enhancedCode, text string) (line, bool) {
	if enhancedCode == "" {
		return line{}, false
	}
	if l, ok := misused(detail(enhancedCode), text); ok {
		return l, true
	}
	for _, t := range []func(string) (line, bool){exactAddress, exactSystem, exactSecurity} {
		if l, ok := t(detail(enhancedCode)); ok {
			return l, true
		}
	}
	return line{}, false
}

// misused lists exact codes that some servers send with another meaning.
func misused(detail, text string) (line, bool) {
	for _, m := range []struct {
		detail string
		line
	}{
		{"4.1", line{[]string{"recipient address rejected", "access denied"}, InvalidRecipient, "Microsoft's edge answers 5.4.1 access denied for recipients not in the directory"}},
		{"5.0", line{[]string{"mailbox unavailable"}, InvalidRecipient, "Outlook.com answers 5.5.0 mailbox unavailable for accounts that do not exist"}},
		{"2.1", line{[]string{"receiving mail at a rate"}, RateLimited, "Gmail answers x.2.1 when one mailbox gets too much mail at once"}},
		{"2.1", line{[]string{"receiving mail too quickly"}, RateLimited, "Gmail answers x.2.1 when one mailbox gets too much mail at once"}},
		{"3.2", line{[]string{"concurrent"}, RateLimited, "Microsoft answers 4.3.2 when too many connections are open"}},
		{"1.1", line{[]string{"greylist"}, Greylisted, "a greylist in front of the address check"}},
		{"2.0", line{[]string{"greylist"}, Greylisted, "Postfix policy servers answer 4.2.0 greylisted"}},
	} {
		if m.detail == detail && m.matches(text) {
			return m.line, true
		}
	}
	return line{}, false
}

// exactAddress: RFC 3463 3.2 and 3.3, addresses and mailboxes.
func exactAddress(detail string) (line, bool) {
	switch detail {
	case "1.1":
		return line{nil, InvalidRecipient, "x.1.1: no such mailbox"}, true
	case "1.2":
		return line{nil, InvalidRecipient, "x.1.2: no such mail domain"}, true
	case "1.3":
		return line{nil, InvalidRecipient, "x.1.3: the server does not accept the address's syntax"}, true
	case "1.6":
		return line{nil, InvalidRecipient, "x.1.6: the mailbox moved and left no address"}, true
	case "1.10":
		return line{nil, InvalidRecipient, "x.1.10: the recipient's domain takes no mail (RFC 7505)"}, true
	case "1.7", "1.8":
		return line{nil, PolicyRejected, "x.1.7, x.1.8: the sender's address is not accepted"}, true
	case "2.1":
		return line{nil, MailboxDisabled, "x.2.1: the mailbox is disabled"}, true
	case "2.2":
		return line{nil, MailboxFull, "x.2.2: the mailbox is full"}, true
	case "2.3":
		return line{nil, MessageTooLarge, "x.2.3: longer than this mailbox allows"}, true
	}
	return line{}, false
}

// exactSystem: RFC 3463 3.4 to 3.7, systems, protocol and content.
func exactSystem(detail string) (line, bool) {
	switch detail {
	case "3.4":
		return line{nil, MessageTooLarge, "x.3.4: larger than the server takes"}, true
	case "4.5":
		return line{nil, RateLimited, "x.4.5: the server is congested"}, true
	case "4.6":
		return line{nil, Other, "x.4.6: a routing loop"}, true
	case "5.3":
		return line{nil, RateLimited, "x.5.3: too many recipients at once"}, true
	case "5.1", "5.2", "5.4":
		return line{nil, ProtocolError, "x.5.1, x.5.2, x.5.4: the server did not accept a command"}, true
	case "6.0", "6.1", "6.3", "6.6", "6.7":
		return line{nil, ContentRejected, "x.6: the server cannot take this content"}, true
	}
	return line{}, false
}

// exactSecurity: RFC 3463 3.8, RFC 7372 and what large providers made of them.
func exactSecurity(detail string) (line, bool) {
	switch detail {
	case "7.2":
		return line{nil, PolicyRejected, "x.7.2: a mailing list or group takes no mail from outside"}, true
	case "7.4", "7.10":
		return line{nil, TLSFailed, "x.7.4, x.7.10: encryption is needed"}, true
	case "7.29":
		return line{nil, TLSFailed, "Gmail 7.29: mail must come over TLS"}, true
	case "7.11":
		return line{nil, TLSFailed, "x.7.11: encryption is needed for the mechanism"}, true
	case "7.20", "7.21", "7.22", "7.23", "7.24", "7.25", "7.26":
		return line{nil, AuthenticationFailed, "RFC 7372: DKIM, SPF or reverse DNS did not pass"}, true
	case "7.27", "7.30", "7.32", "7.40":
		return line{nil, AuthenticationFailed, "Gmail 7.27, 7.30, 7.32, 7.40: SPF, DKIM, alignment or DMARC is missing"}, true
	case "7.509", "7.515":
		return line{nil, AuthenticationFailed, "Microsoft 7.509, 7.515: DMARC did not pass, or is demanded"}, true
	case "7.28":
		return line{nil, RateLimited, "Gmail 7.28: an unusual rate of mail"}, true
	case "7.501", "7.502", "7.503", "7.511", "7.708", "7.750":
		return line{nil, ReputationBlocked, "Microsoft 7.5xx, 7.7xx: sender or address is banned"}, true
	}
	if n, ok := microsoft(detail); ok {
		switch {
		case n >= 606 && n <= 649:
			return line{nil, ReputationBlocked, "Microsoft 7.606 to 7.649: the address is banned"}, true
		case n >= 650 && n <= 749:
			return line{nil, RateLimited, "Microsoft 7.650 to 7.749: the address is rate limited"}, true
		}
	}
	return line{}, false
}

// microsoft reads the three digits of a 7.ddd code.
func microsoft(detail string) (int, bool) {
	if len(detail) != 5 || detail[:2] != "7." {
		return 0, false
	}
	n := 0
	for _, d := range detail[2:] {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = n*10 + int(d-'0')
	}
	return n, true
}

// vague reads what an inexact enhanced code still says, when no text is known.
func vague(enhancedCode string) (line, bool) {
	if enhancedCode == "" {
		return line{}, false
	}
	switch d := detail(enhancedCode); {
	case d[:2] == "7.":
		return line{nil, PolicyRejected, "x.7: refused by policy, without a known reason"}, true
	case d[:2] == "6.":
		return line{nil, ContentRejected, "x.6: something about the content"}, true
	case d[:2] == "5.":
		return line{nil, ProtocolError, "x.5: something about the dialogue"}, true
	case d[:2] == "4.":
		return line{nil, NetworkError, "x.4: the server could not route or reach onwards"}, true
	}
	return line{}, false // x.0, x.1, x.2, x.3 leave the code to speak
}

// vagueCode: RFC 5321 4.2.2 and 4.2.3, when nothing better was found.
func vagueCode(code int) line {
	switch code {
	case 421:
		return line{nil, Other, "421: the server is closing the connection"}
	case 452:
		return line{nil, Other, "452: out of storage, or too many recipients"}
	case 552:
		return line{nil, MailboxFull, "552: storage exceeded (RFC 5321 4.2.3)"}
	case 521:
		return line{nil, InvalidRecipient, "521: the host never takes mail (RFC 7504)"}
	case 556:
		return line{nil, InvalidRecipient, "556: the domain takes no mail (RFC 7504)"}
	case 523:
		return line{nil, MessageTooLarge, "523: larger than the server takes"}
	case 551:
		return line{nil, InvalidRecipient, "551: user not local (RFC 5321 4.2.3)"}
	case 500, 501, 502, 503, 504, 555:
		return line{nil, ProtocolError, "50x, 555: the server did not accept a command or parameter"}
	case 454:
		return line{nil, TLSFailed, "454: TLS is not available now (RFC 3207 4)"}
	case 432, 530, 534, 535, 538:
		return line{nil, AuthenticationFailed, "432, 53x: the server wants other credentials (RFC 4954 6)"}
	}
	return line{nil, Other, "no known code or text"}
}
