package intake

import (
	"mime"
	"strconv"
	"strings"
)

// A composed mail has its options as header fields of their own, one for each (api.md
// 18). They are removed before it goes out.
const (
	optionPrefix   = "x-postrider-"
	metadataOption = optionPrefix + "metadata-"
)

// optionFields are the header fields of options by the member that they stand for.
func optionFields() map[string]string {
	return map[string]string{
		"tags": "X-Postrider-Tag", "metadata": "X-Postrider-Metadata", "stream": "X-Postrider-Stream",
		"scheduled_at": "X-Postrider-Scheduled-At", "ttl_seconds": "X-Postrider-TTL", "store_content": "X-Postrider-Store-Content",
		"supersede": "X-Postrider-Supersede",
	}
}

// option reads one into the draft.
func (m *rawMail) option(name, value string) {
	if decoded, err := new(mime.WordDecoder).DecodeHeader(value); err == nil {
		value = decoded
	}
	draft, lower := m.c.draft, strings.ToLower(name)
	once := func(into **string) {
		if *into != nil {
			m.fault(name, TooMany, "may be there once")
			return
		}
		*into = &value
	}
	switch {
	case lower == optionPrefix+"tag":
		draft.Tags = append(draft.Tags, value)
	case strings.HasPrefix(lower, metadataOption) && len(lower) > len(metadataOption):
		key := name[len(metadataOption):]
		if _, twice := draft.Metadata[key]; twice {
			m.fault(name, TooMany, "may be there once")
			return
		}
		if draft.Metadata == nil {
			draft.Metadata = make(map[string]string)
		}
		draft.Metadata[key] = value
	case lower == optionPrefix+"stream":
		once(&draft.Stream)
	case lower == optionPrefix+"scheduled-at":
		once(&draft.ScheduledAt)
	case lower == optionPrefix+"supersede":
		once(&draft.Supersede)
	case lower == optionPrefix+"ttl":
		once(&m.ttl)
	case lower == optionPrefix+"store-content":
		once(&m.storeContent)
	default:
		m.fault(name, HeaderNotAllowed, "is no option: those are X-Postrider-Tag, -Metadata-KEY, -Stream, -Scheduled-At, -TTL, -Supersede and -Store-Content")
	}
}

// options checks them as the members of any other message, and names their fields.
func (m *rawMail) options() {
	c := m.c
	if m.ttl != nil {
		seconds, err := strconv.ParseInt(*m.ttl, 10, 64)
		if err != nil {
			m.fault(optionFields()["ttl_seconds"], InvalidFormat, "is not a number of seconds")
		} else {
			c.draft.TTLSeconds = &seconds
		}
	}
	if m.storeContent != nil {
		switch strings.ToLower(*m.storeContent) {
		case "true":
		case "false":
			c.msg.DropContent = true
		default:
			m.fault(optionFields()["store_content"], InvalidFormat, "must be true or false")
		}
	}
	before := len(c.faults.found)
	c.tags()
	c.metadata()
	c.scheduledAt()
	c.ttlSeconds()
	c.stream()
	c.supersede()
	for i := range c.faults.found[before:] {
		f := &c.faults.found[before+i]
		member, key, _ := strings.Cut(strings.TrimPrefix(f.Pointer, "#/"), "/")
		f.Pointer, f.Header = "", optionFields()[member]
		if member == "metadata" && key != "" {
			f.Header += "-" + key
		}
	}
}
