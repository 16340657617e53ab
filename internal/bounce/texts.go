package bounce

import "strings"

// texts lists what servers are known to write, folded to lower case. The first
// line that matches decides, so the exact ones stand before the broad ones.
func texts() []line {
	groups := [][]line{gmailTexts(), microsoftTexts(), yahooTexts(), greylistTexts(), reputationTexts(), contentTexts(), mailboxTexts(), rateTexts()}
	var all []line
	for _, g := range groups {
		all = append(all, g...)
	}
	return all
}

func (l line) matches(text string) bool {
	for _, part := range l.all {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}

// says makes the line of one part.
func says(part, category, reason string) line { return line{[]string{part}, category, reason} }

func gmailTexts() []line {
	return []line{
		says("likely unsolicited mail", SpamRejected, "Gmail: taken for spam"),
		says("likely suspicious due to the very low reputation", ReputationBlocked, "Gmail: low reputation of domain or address"),
		says("unusual rate of unsolicited mail", ReputationBlocked, "Gmail: much spam from this address"),
		says("potential security issue", ContentRejected, "Gmail: an attachment or link it does not allow"),
		says("email account that you tried to reach does not exist", InvalidRecipient, "Gmail: no such account"),
		says("email account that you tried to reach is over quota", MailboxFull, "Gmail: mailbox full"),
		says("email account that you tried to reach is disabled", MailboxDisabled, "Gmail: account disabled"),
		says("email account that you tried to reach is inactive", MailboxDisabled, "Gmail: account inactive"),
		says("recipient's inbox is out of storage", MailboxFull, "Gmail: mailbox full"),
		says("sender is unauthenticated", AuthenticationFailed, "Gmail: neither SPF nor DKIM passed"),
		says("unauthenticated email", AuthenticationFailed, "Gmail: DMARC did not pass"),
		says("receiving mail at a rate", RateLimited, "Gmail: this mailbox gets too much mail at once"),
	}
}

func microsoftTexts() []line {
	return []line{
		says("part of their network is on our block list", ReputationBlocked, "Outlook.com S3140, S3150: address blocked"),
		says("(s3140)", ReputationBlocked, "Outlook.com S3140: address blocked"),
		says("banned send", ReputationBlocked, "Microsoft: sender or sending address banned"),
		says("due to ip reputation", RateLimited, "Microsoft: slowed down by the address's reputation"),
		says("temporarily rate limited", RateLimited, "Microsoft: rate limited"),
		says("spam abuse detected", ReputationBlocked, "Microsoft: sender banned for abuse"),
		says("required authentication level", AuthenticationFailed, "Microsoft: SPF, DKIM and DMARC are demanded"),
		says("recipientnotfound", InvalidRecipient, "Exchange: RESOLVER.ADR.RecipientNotFound"),
		says("recipnotfound", InvalidRecipient, "Exchange: RESOLVER.ADR.ExRecipNotFound"),
		says("quotaexceeded", MailboxFull, "Exchange: STOREDRV quota exceeded"),
		says("submission quota exceeded", RateLimited, "Exchange: too much from one sender"),
		says("recipthreshold", RateLimited, "Exchange: the mailbox gets too much mail at once"),
		says("restrictedtorecipientspermission", PolicyRejected, "Exchange: the recipient takes mail from some senders only"),
		says("authrequired", PolicyRejected, "Exchange: the recipient takes mail from inside only"),
	}
}

func yahooTexts() []line {
	return []line{
		says("[tss", ReputationBlocked, "Yahoo TSS: deferred for volume or complaints"),
		says("[ts0", ReputationBlocked, "Yahoo TS: deferred for volume or complaints"),
		says("user complaints", ReputationBlocked, "Yahoo: deferred for complaints"),
		says("[bl2", ReputationBlocked, "Yahoo BL: the address is on a block list"),
		says("mailbox is disabled", MailboxDisabled, "Yahoo 554.30: mailbox disabled"),
		{[]string{"doesn't have a", "account"}, InvalidRecipient, "Yahoo: no such account"},
		{[]string{"not accepted for policy reasons"}, PolicyRejected, "Yahoo: policy"},
	}
}

func greylistTexts() []line {
	return []line{
		says("greylist", Greylisted, "says greylist"),
		says("graylist", Greylisted, "says graylist"),
		says("grey-list", Greylisted, "says grey-list"),
		says("grey list", Greylisted, "says grey list"),
		says("postgrey", Greylisted, "points to Postgrey's help page"),
	}
}

func reputationTexts() []line {
	return []line{
		says("spamhaus", ReputationBlocked, "listed at Spamhaus"),
		says("spamcop", ReputationBlocked, "listed at SpamCop"),
		says("barracudacentral", ReputationBlocked, "listed at Barracuda"),
		says("dnsbl", ReputationBlocked, "on a DNS block list"),
		says("blocklist", ReputationBlocked, "on a block list"),
		says("block list", ReputationBlocked, "on a block list"),
		says("blacklist", ReputationBlocked, "on a block list"),
		{[]string{"client host", "blocked using"}, ReputationBlocked, "Postfix: address on a block list"},
		says("poor reputation", ReputationBlocked, "reputation"),
		says("low reputation", ReputationBlocked, "reputation"),
		says("cannot find your hostname", AuthenticationFailed, "Postfix: no reverse DNS for our address"),
		says("cannot find your reverse hostname", AuthenticationFailed, "Postfix: no reverse DNS for our address"),
		says("reverse dns", AuthenticationFailed, "no reverse DNS for our address"),
		says("ptr record", AuthenticationFailed, "no reverse DNS for our address"),
		says("dmarc", AuthenticationFailed, "DMARC did not pass"),
		says("spf check", AuthenticationFailed, "SPF did not pass"),
		says("spf fail", AuthenticationFailed, "SPF did not pass"),
		{[]string{"dkim", "fail"}, AuthenticationFailed, "DKIM did not pass"},
		says("starttls", TLSFailed, "wants STARTTLS"),
	}
}

func contentTexts() []line {
	return []line{
		says("virus", ContentRejected, "taken for malware"),
		says("malware", ContentRejected, "taken for malware"),
		says("attachment", ContentRejected, "about an attachment"),
		says("junkmail rejected", ReputationBlocked, "Exim: address on a block list"),
		says("classified as spam", SpamRejected, "taken for spam"),
		says("looks like spam", SpamRejected, "taken for spam"),
		says("spam message", SpamRejected, "taken for spam"),
		says("spam content", SpamRejected, "taken for spam"),
		says("detected as spam", SpamRejected, "taken for spam"),
		says("considered spam", SpamRejected, "taken for spam"),
		says("unsolicited", SpamRejected, "taken for spam"),
		says("message size exceeds", MessageTooLarge, "too large"),
		says("message too large", MessageTooLarge, "too large"),
		says("message too big", MessageTooLarge, "too large"),
		says("size limit", MessageTooLarge, "too large"),
		says("sender verify failed", PolicyRejected, "Exim: our reverse-path was not verified"),
		says("sender address rejected", PolicyRejected, "Postfix: our reverse-path is not accepted"),
		says("relay access denied", PolicyRejected, "Postfix: not a domain of this server"),
		says("relay not permitted", PolicyRejected, "Exim: not a domain of this server"),
		says("relaying denied", PolicyRejected, "Sendmail: not a domain of this server"),
		says("administrative prohibition", PolicyRejected, "Exim: policy without a reason"),
		says("too many hops", Other, "a mail loop"),
	}
}

func mailboxTexts() []line {
	return []line{
		says("mailbox full", MailboxFull, "mailbox full"),
		says("mailbox is full", MailboxFull, "mailbox full"),
		says("over quota", MailboxFull, "mailbox full"),
		says("overquota", MailboxFull, "mailbox full"),
		says("quota exceeded", MailboxFull, "mailbox full"),
		says("exceeded storage", MailboxFull, "mailbox full"),
		says("insufficient system storage", Other, "the server's disk is full, not the mailbox"),
		says("account disabled", MailboxDisabled, "account disabled"),
		says("account is disabled", MailboxDisabled, "account disabled"),
		says("account has been disabled", MailboxDisabled, "account disabled"),
		says("mailbox disabled", MailboxDisabled, "mailbox disabled"),
		says("account suspended", MailboxDisabled, "account suspended"),
		says("account inactive", MailboxDisabled, "account inactive"),
		says("user unknown", InvalidRecipient, "no such user"),
		says("unknown user", InvalidRecipient, "no such user"),
		says("no such user", InvalidRecipient, "no such user"),
		says("no such recipient", InvalidRecipient, "no such user"),
		says("no such mailbox", InvalidRecipient, "no such mailbox"),
		says("no mailbox here", InvalidRecipient, "no such mailbox"),
		says("user not found", InvalidRecipient, "no such user"),
		says("mailbox not found", InvalidRecipient, "no such mailbox"),
		says("unknown recipient", InvalidRecipient, "no such recipient"),
		says("recipient unknown", InvalidRecipient, "no such recipient"),
		says("invalid recipient", InvalidRecipient, "no such recipient"),
		says("invalid mailbox", InvalidRecipient, "no such mailbox"),
		says("recipient not found", InvalidRecipient, "no such recipient"),
		says("user doesn't exist", InvalidRecipient, "no such user"),
		says("user does not exist", InvalidRecipient, "no such user"),
		says("account does not exist", InvalidRecipient, "no such account"),
		says("unrouteable address", InvalidRecipient, "Exim: no router takes the address"),
		says("unroutable address", InvalidRecipient, "no route inside the server"),
	}
}

func rateTexts() []line {
	return []line{
		says("too many connections", RateLimited, "too many connections"),
		says("too many concurrent", RateLimited, "too many connections"),
		says("concurrent server connections", RateLimited, "Microsoft: too many connections"),
		says("concurrent connections", RateLimited, "too many connections"),
		says("too many recipients", RateLimited, "too many recipients at once"),
		says("too many messages", RateLimited, "too many messages"),
		says("too much mail", RateLimited, "too much mail"),
		says("rate limit", RateLimited, "rate limit"),
		says("ratelimit", RateLimited, "rate limit"),
		says("rate-limit", RateLimited, "rate limit"),
		says("throttl", RateLimited, "throttled"),
		says("message rate", RateLimited, "rate limit"),
		says("sending rate", RateLimited, "rate limit"),
		says("exceeded the maximum number", RateLimited, "rate limit"),
		says("unexpected volume", RateLimited, "rate limit"),
	}
}
