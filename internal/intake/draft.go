package intake

import "postrider/internal/email"

// Draft is a message as a caller wrote it: well-formed, but not checked. An element
// of a list that could not be decoded keeps its place, empty, and has a fault in
// [Request.Faults]; the pointers of the elements after it depend on that. Only a
// mailbox may be left out, as each carries its own pointer.
type Draft struct {
	From        *Mailbox
	To, Cc, Bcc []Mailbox
	ReplyTo     []Mailbox
	Subject     *string
	HTML, Text  *string
	Template    *TemplateDraft
	Attachments []Attachment
	Calendar    *Calendar
	Unsubscribe *Unsubscribe
	Headers     []email.Header // in the caller's order
	Tags        []string
	Metadata    map[string]string
	ScheduledAt *string // RFC 3339, unparsed
	TTLSeconds  *int64
	Stream      *string
	Supersede   *string
	// StoreContent false: the content goes with the last final state.
	StoreContent *bool
}

// Mailbox is an address in either form: Text ("Name <a@b>"), or Email and Name if
// Object. Pointer is where it stands, "#/to/0", or "#/to" if it stands alone; empty:
// its member and position.
type Mailbox struct {
	Text, Email, Name string
	Object            bool
	Pointer           string
}

// Attachment is a file as a caller wrote it. Content is base64 as given.
type Attachment struct {
	Filename, Content, ContentType, ContentID string
	HasFilename, HasContent                   bool
}
