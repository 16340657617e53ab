package intake

import "time"

// Limits of api.md 22. Zero members are the default.
type Limits struct {
	Recipients    int           // to, cc and bcc together
	ReplyTo       int           // mailboxes
	Subject       int           // characters
	Body          int           // octets, of html and of text
	Attachments   int           // files
	Headers       int           // header fields of the caller's
	Tags          int           //
	MetadataKeys  int           //
	MetadataBytes int           // octets of all keys and values
	ScheduleAhead time.Duration // how far ahead scheduled_at may lie
	MinTTL        time.Duration // of ttl_seconds
	MaxTTL        time.Duration
	DefaultTTL    time.Duration
	MessageBytes  int64 // octets of the composed mail
	// Batch is how many messages a batch may have, BatchRecipients how many recipients.
	Batch, BatchRecipients int
	// ForbiddenExtensions are refused at the end of a file name: lower case, without
	// the dot. Nil: [ForbiddenExtensions]; empty: none.
	ForbiddenExtensions []string
}

// The limits that are not for operators to change: they follow from formats.
const (
	maxFilename      = 255  // characters; what file systems take
	maxFilenameBytes = 1000 // octets; what the composer writes
	maxContentID     = 128
	maxContentType   = 255
	maxHeaderName    = 76      // characters: with its colon within RFC 5322 2.1.1's 78
	maxHeaderValue   = 8 << 10 // octets; the composer folds it
	// maxStructuredWord is how much of a structured field may have no place to fold:
	// with the name it must go on a line of 998 octets (RFC 5322 2.1.1).
	maxStructuredWord = 900
	// maxWritten is how many times the limit of recipients each of to, cc and bcc may
	// hold as written: only different ones count, and these must be told apart first.
	maxWritten       = 4
	maxTag           = 64
	maxSupersede     = 255 // characters
	maxMetadataKey   = 64
	maxMetadataValue = 512 // characters
	// pastTolerance is how far in the past scheduled_at may lie, as clocks differ.
	pastTolerance = time.Minute
)

// DefaultLimits are those of api.md 22.
func DefaultLimits() Limits {
	return Limits{
		Recipients: 50, ReplyTo: 10, Subject: 998, Body: 5 << 20, Attachments: 20, Headers: 30, Tags: 10,
		MetadataKeys: 20, MetadataBytes: 4 << 10, ScheduleAhead: 90 * 24 * time.Hour,
		MinTTL: time.Minute, MaxTTL: 7 * 24 * time.Hour, DefaultTTL: 3 * 24 * time.Hour, MessageBytes: 20 << 20,
		Batch: 500, BatchRecipients: 5000,
		ForbiddenExtensions: ForbiddenExtensions(),
	}
}

func (l Limits) orDefaults() Limits {
	d := DefaultLimits()
	fill(&l.Recipients, d.Recipients)
	fill(&l.ReplyTo, d.ReplyTo)
	fill(&l.Subject, d.Subject)
	fill(&l.Body, d.Body)
	fill(&l.Attachments, d.Attachments)
	fill(&l.Headers, d.Headers)
	fill(&l.Tags, d.Tags)
	fill(&l.MetadataKeys, d.MetadataKeys)
	fill(&l.MetadataBytes, d.MetadataBytes)
	fill(&l.ScheduleAhead, d.ScheduleAhead)
	fill(&l.MinTTL, d.MinTTL)
	fill(&l.MaxTTL, d.MaxTTL)
	fill(&l.DefaultTTL, d.DefaultTTL)
	fill(&l.MessageBytes, d.MessageBytes)
	fill(&l.Batch, d.Batch)
	fill(&l.BatchRecipients, d.BatchRecipients)
	if l.ForbiddenExtensions == nil {
		l.ForbiddenExtensions = d.ForbiddenExtensions
	}
	return l
}

// fill gives *v the value d if it has none.
func fill[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// ForbiddenExtensions are those of programs, scripts, installers and disk images
// that the large mailbox providers refuse anyway.
func ForbiddenExtensions() []string {
	return []string{
		"ade", "adp", "apk", "app", "appx", "appxbundle", "bat", "cab", "chm", "cmd", "com", "cpl", "diagcab", "dll", "dmg",
		"ex", "ex_", "exe", "gadget", "hta", "img", "inf", "ins", "iso", "isp", "jar", "jnlp", "js", "jse", "lib", "lnk", "mde",
		"mjs", "msc", "msh", "msi", "msix", "msixbundle", "msp", "mst", "nsh", "pif", "ps1", "ps1xml", "ps2", "psc1", "psm1",
		"reg", "scf", "scr", "sct", "shb", "sys", "url", "vb", "vbe", "vbs", "vhd", "vhdx", "vxd", "ws", "wsc", "wsf", "wsh", "xll",
	}
}
