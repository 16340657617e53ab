package bounce

import (
	"strings"
	"testing"

	"postrider/internal/email"
)

// sample is one reply as a server writes it.
type sample struct {
	name     string
	stage    string
	code     int
	enhanced string
	text     string
	category string
	typ      string
	suppress bool
	pace     Pace
}

func gmailSamples() []sample {
	return []sample{
		{"gmail no account", "rcpt", 550, "5.1.1", "The email account that you tried to reach does not exist. Please try\n5.1.1 double-checking the recipient's email address", InvalidRecipient, Hard, true, Normal},
		{"gmail disabled", "rcpt", 550, "5.2.1", "The email account that you tried to reach is disabled.", MailboxDisabled, Hard, true, Normal},
		{"gmail rate of one mailbox, temporary", "rcpt", 450, "4.2.1", "The user you are trying to contact is receiving mail at a rate that\n4.2.1 prevents additional messages", RateLimited, Soft, false, Slow},
		{"gmail rate of one mailbox, permanent", "rcpt", 550, "5.2.1", "The user you are trying to contact is receiving mail at a rate that", RateLimited, Soft, false, Slow},
		{"gmail over quota, temporary", "rcpt", 452, "4.2.2", "The recipient's inbox is out of storage space.", MailboxFull, Soft, false, Full},
		{"gmail over quota, permanent", "rcpt", 552, "5.2.2", "The email account that you tried to reach is over quota.", MailboxFull, Soft, false, Full},
		{"gmail spam", "data", 550, "5.7.1", "[192.0.2.1] Gmail has detected that this message is\n5.7.1 likely unsolicited mail.", SpamRejected, Block, false, Normal},
		{"gmail broken over lines", "dot", 550, "5.7.1", "Our system has detected that this message is likely\n5.7.1 suspicious due to the very low reputation of the sending domain", ReputationBlocked, Block, false, Slow},
		{"gmail unusual rate", "dot", 421, "4.7.28", "Our system has detected an unusual rate of unsolicited mail", RateLimited, Soft, false, Slow},
		{"gmail unauthenticated", "dot", 550, "5.7.26", "This mail has been blocked because the sender is unauthenticated.", AuthenticationFailed, Block, false, Normal},
		{"gmail unauthenticated, temporary", "dot", 421, "4.7.26", "This mail has been rate limited because it is unauthenticated", AuthenticationFailed, Block, false, Slow},
		{"gmail no PTR", "dot", 550, "5.7.25", "The IP address sending this message does not have a PTR record", AuthenticationFailed, Block, false, Normal},
		{"gmail TLS", "dot", 421, "4.7.29", "Mail must be sent over TLS", TLSFailed, Block, false, Slow},
		{"gmail dangerous attachment", "dot", 552, "5.7.0", "This message was blocked because its content presents a potential security issue.", ContentRejected, Block, false, Normal},
		{"gmail too large", "mail", 552, "5.3.4", "Your message exceeded Google's message size limits.", MessageTooLarge, Block, false, Normal},
	}
}

func microsoftSamples() []sample {
	return []sample{
		{"outlook.com no mailbox", "rcpt", 550, "5.5.0", "Requested action not taken: mailbox unavailable (S2017062302).", InvalidRecipient, Hard, true, Normal},
		{"outlook.com block list", "mail", 550, "5.7.1", "Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3140).", ReputationBlocked, Block, false, Slow},
		{"outlook.com authentication demanded", "dot", 550, "5.7.515", "Access denied, sending domain acme.com does not meet the required authentication level.", AuthenticationFailed, Block, false, Normal},
		{"microsoft rate limited", "mail", 451, "4.7.650", "The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation.", RateLimited, Soft, false, Slow},
		{"microsoft banned address", "rcpt", 550, "5.7.606", "Access denied, banned sending IP [192.0.2.1].", ReputationBlocked, Block, false, Slow},
		{"microsoft banned sender", "dot", 550, "5.7.501", "Access denied, spam abuse detected from sender", ReputationBlocked, Block, false, Slow},
		{"microsoft directory edge", "rcpt", 550, "5.4.1", "Recipient address rejected: Access denied. [x.prod.protection.example]", InvalidRecipient, Hard, true, Normal},
		{"exchange recipient not found", "rcpt", 550, "5.1.10", "RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup", InvalidRecipient, Hard, true, Normal},
		{"exchange store connections", "rcpt", 432, "4.3.2", "STOREDRV; mailbox server is too busy, concurrent connections exceeded", RateLimited, Soft, false, Slow},
		{"exchange quota", "rcpt", 554, "5.2.2", "mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException", MailboxFull, Soft, false, Full},
		{"exchange inside only", "rcpt", 550, "5.7.133", "RESOLVER.RST.SenderNotAuthenticatedForGroup", PolicyRejected, Block, false, Normal},
		{"exchange no relay", "rcpt", 550, "5.7.54", "SMTP; Unable to relay recipient in non-accepted domain", PolicyRejected, Block, false, Normal},
		{"microsoft connections", "greeting", 421, "4.3.2", "The maximum number of concurrent server connections has exceeded a limit, closing transmission channel", RateLimited, Soft, false, Slow},
		{"microsoft tenant", "rcpt", 451, "4.7.700", "Tenant limit", RateLimited, Soft, false, Slow},
		{"microsoft DMARC", "dot", 550, "5.7.509", "Access denied, sending domain does not pass DMARC verification", AuthenticationFailed, Block, false, Normal},
	}
}

func yahooSamples() []sample {
	return []sample{
		{"yahoo complaints", "mail", 421, "4.7.0", "[TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints", ReputationBlocked, Block, false, Slow},
		{"yahoo block list", "greeting", 553, "5.7.1", "[BL21] Connections will not be accepted from 192.0.2.1, because the ip is in Spamhaus's list", ReputationBlocked, Block, false, Slow},
		{"yahoo disabled", "dot", 554, "", "30 Sorry, your message cannot be delivered. This mailbox is disabled (554.30).", MailboxDisabled, Hard, false, Normal},
		{"yahoo no account", "dot", 554, "", "delivery error: dd This user doesn't have a yahoo.com account", InvalidRecipient, Hard, false, Normal},
		{"yahoo policy", "dot", 554, "5.7.9", "Message not accepted for policy reasons.", PolicyRejected, Block, false, Normal},
		{"yahoo mailbox not found", "rcpt", 552, "", "1 Requested mail action aborted, mailbox not found", InvalidRecipient, Hard, true, Normal},
	}
}

func postfixSamples() []sample {
	return []sample{
		{"postfix unknown user", "rcpt", 550, "5.1.1", "Recipient address rejected: User unknown in local recipient table", InvalidRecipient, Hard, true, Normal},
		{"postfix unverified yet", "rcpt", 450, "4.1.1", "Recipient address rejected: unverified address", InvalidRecipient, Hard, false, Normal},
		{"postfix greylist", "rcpt", 450, "4.2.0", "Recipient address rejected: Greylisted, see http://postgrey.example/help", Greylisted, Soft, false, Normal},
		{"postfix greylist with 4.7.1", "rcpt", 451, "4.7.1", "Greylisting in action, please come back later", Greylisted, Soft, false, Normal},
		{"greylist hidden behind 4.1.1", "rcpt", 450, "4.1.1", "Greylisted for 5 minutes", Greylisted, Soft, false, Normal},
		{"postfix no relay", "rcpt", 554, "5.7.1", "Relay access denied", PolicyRejected, Block, false, Normal},
		{"postfix block list", "rcpt", 554, "5.7.1", "Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", ReputationBlocked, Block, false, Slow},
		{"postfix no PTR", "rcpt", 450, "4.7.25", "Client host rejected: cannot find your hostname, [192.0.2.1]", AuthenticationFailed, Block, false, Slow},
		{"postfix no PTR, no enhanced code", "rcpt", 550, "", "Client host rejected: cannot find your reverse hostname", AuthenticationFailed, Block, false, Normal},
		{"postfix disk full", "mail", 452, "4.3.1", "Insufficient system storage", Other, Undetermined, false, Normal},
		{"postfix size", "mail", 552, "5.3.4", "Message size exceeds fixed limit", MessageTooLarge, Block, false, Normal},
		{"postfix sender domain", "rcpt", 450, "4.1.8", "Sender address rejected: Domain not found", PolicyRejected, Block, false, Normal},
		{"postfix errors", "rcpt", 421, "4.7.0", "mx.example.net Error: too many errors", PolicyRejected, Block, false, Slow},
		{"postfix quota", "rcpt", 452, "4.2.2", "Mailbox full", MailboxFull, Soft, false, Full},
		{"too many recipients", "rcpt", 452, "4.5.3", "Error: too many recipients", RateLimited, Soft, false, Slow},
		{"postfix milter", "dot", 550, "5.7.1", "Blocked by SpamAssassin: classified as SPAM", SpamRejected, Block, false, Normal},
	}
}

func eximSamples() []sample {
	return []sample{
		{"exim unrouteable", "rcpt", 550, "", "Unrouteable address", InvalidRecipient, Hard, true, Normal},
		{"exim unknown user", "rcpt", 550, "", "Unknown user", InvalidRecipient, Hard, true, Normal},
		{"exim verify", "rcpt", 550, "", "Verification failed for <b-x@r.example>\nSender verify failed", PolicyRejected, Block, false, Normal},
		{"exim relay", "rcpt", 550, "", "relay not permitted", PolicyRejected, Block, false, Normal},
		{"exim prohibition", "rcpt", 550, "", "Administrative prohibition", PolicyRejected, Block, false, Normal},
		{"exim junk", "rcpt", 550, "", "JunkMail rejected - host [192.0.2.1] is in an RBL", ReputationBlocked, Block, false, Slow},
		{"exim spam", "dot", 550, "", "This message was classified as SPAM and may not be delivered", SpamRejected, Block, false, Normal},
		{"exim concurrency", "greeting", 421, "", "Too many concurrent SMTP connections; please try again later.", RateLimited, Soft, false, Slow},
		{"exim hops", "dot", 550, "", "Too many hops - likely a mail loop", Other, Undetermined, false, Normal},
		{"qmail rcpthosts", "rcpt", 553, "", "sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", Other, Undetermined, false, Normal},
		{"virus", "dot", 554, "", "Your message contains a virus", ContentRejected, Block, false, Normal},
	}
}

func bareSamples() []sample {
	return []sample{
		{"bare 550 says nothing of the mailbox", "rcpt", 550, "", "", Other, Undetermined, false, Normal},
		{"5.0.0 says nothing", "rcpt", 550, "5.0.0", "No", Other, Undetermined, false, Normal},
		{"bare 5.7.1", "rcpt", 550, "5.7.1", "No", PolicyRejected, Block, false, Normal},
		{"bare 4.7.1 is slow", "rcpt", 451, "4.7.1", "Try later", PolicyRejected, Block, false, Slow},
		{"bare 421", "data", 421, "", "closing", Other, Undetermined, false, Slow},
		{"bare 450", "rcpt", 450, "", "busy", Other, Undetermined, false, Normal},
		{"bare 552", "dot", 552, "", "", MailboxFull, Soft, false, Full},
		{"551", "rcpt", 551, "", "try elsewhere", InvalidRecipient, Hard, true, Normal},
		{"500", "mail", 500, "", "what?", ProtocolError, Undetermined, false, Normal},
		{"x.5 without detail", "mail", 501, "5.5.9", "what?", ProtocolError, Undetermined, false, Normal},
		{"x.4 without detail", "dot", 451, "4.4.2", "timeout", NetworkError, Soft, false, Normal},
		{"x.6 without detail", "dot", 554, "5.6.9", "cannot", ContentRejected, Block, false, Normal},
		{"congested", "mail", 451, "4.4.5", "busy", RateLimited, Soft, false, Slow},
		{"454", "starttls", 454, "", "not now", TLSFailed, Block, false, Normal},
		{"535", "auth", 535, "5.7.8", "no", PolicyRejected, Block, false, Normal},
		{"530", "mail", 530, "", "log in", AuthenticationFailed, Block, false, Normal},
		{"521", "greeting", 521, "", "this host does not accept mail", InvalidRecipient, Hard, false, Normal},
		{"521 of a block list", "greeting", 521, "5.7.1", "blocked by DNSBL", ReputationBlocked, Block, false, Slow},
		{"556", "rcpt", 556, "", "null MX", InvalidRecipient, Hard, true, Normal},
		{"5.1.1 to MAIL does not suppress", "mail", 550, "5.1.1", "no such user", InvalidRecipient, Hard, false, Normal},
		{"5.1.1 to the dot does not suppress", "dot", 550, "5.1.1", "no such user", InvalidRecipient, Hard, false, Normal},
		{"enhanced code of another class is not read", "rcpt", 450, "5.1.1", "wait", Other, Undetermined, false, Normal},
		{"nonsense for an enhanced code", "rcpt", 550, "5..1x", "no such user", InvalidRecipient, Hard, true, Normal},
		{"unknown Microsoft number", "rcpt", 550, "5.7.999", "", PolicyRejected, Block, false, Normal},
		{"no code at all", "rcpt", 0, "", "", Other, Undetermined, false, Normal},
	}
}

func samples() []sample {
	var all []sample
	for _, s := range [][]sample{gmailSamples(), microsoftSamples(), yahooSamples(), postfixSamples(), eximSamples(), bareSamples()} {
		all = append(all, s...)
	}
	return all
}

func TestClassify(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			got := Classify(s.stage, email.Reply{Code: s.code, EnhancedCode: s.enhanced, Text: s.text})
			if got.Reason == "" {
				t.Error("the class gives no reason")
			}
			got.Reason = ""
			want := Class{Category: s.category, Type: s.typ, Suppress: s.suppress, Pace: s.pace}
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestTooManyRecipients(t *testing.T) {
	for _, c := range []struct {
		name string
		r    email.Reply
		want bool
	}{
		{"by enhanced code", email.Reply{Code: 452, EnhancedCode: "4.5.3"}, true},
		{"by text", email.Reply{Code: 552, Text: "Too many recipients"}, true},
		{"a full mailbox", email.Reply{Code: 552, EnhancedCode: "5.2.2"}, false},
		{"nothing known", email.Reply{Code: 452}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := TooManyRecipients(c.r); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

// Each known text is folded as replies are, gives a reason, and is not hidden by
// an earlier line of another category.
func TestTextsAreFoldedAndReachable(t *testing.T) {
	for _, l := range texts() {
		whole := strings.Join(l.all, " ")
		if fold(whole) != whole || whole == "" || l.reason == "" {
			t.Errorf("line %q: not folded, empty or without a reason", whole)
		}
		if got := find(550, "", whole); got.category != l.category {
			t.Errorf("line %q: read as %s, want %s", whole, got.category, l.category)
		}
	}
}

func TestHostileTextIsBounded(t *testing.T) {
	long := strings.Repeat("a", 10<<20) + " user unknown"
	if got := Classify("rcpt", email.Reply{Code: 550, Text: long}); got.Category != Other {
		t.Errorf("read past the first KiB: %+v", got)
	}
	if n := len(fold(strings.Repeat("5.1.1 x\n", 1<<20))); n > maxText {
		t.Errorf("folded to %d octets", n)
	}
}

func FuzzClassify(f *testing.F) {
	for _, s := range samples() {
		f.Add(s.stage, s.code, s.enhanced, s.text)
	}
	f.Add("rcpt", 550, "5.1.1.1", "\x00\xff\r\n5.")
	f.Add("rcpt", -5, "\xff.1.1", strings.Repeat("4.4.4 ", 300))
	f.Fuzz(func(t *testing.T, stage string, code int, enhanced, text string) {
		c := Classify(stage, email.Reply{Code: code, EnhancedCode: enhanced, Text: text})
		if c.Category == "" || c.Type == "" || c.Reason == "" {
			t.Errorf("incomplete class %+v", c)
		}
		if c.Suppress && (code/100 != 5 || stage != "rcpt" || c.Type != Hard) {
			t.Errorf("suppresses from %d at %q: %+v", code, stage, c)
		}
	})
}
