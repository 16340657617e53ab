package email

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// The prefixes of ids.
const (
	MessagePrefix = "msg"
	EventPrefix   = "evt"
	KeyPrefix     = "key"
	DomainPrefix  = "dom"
	RequestPrefix = "req"
	BatchPrefix   = "bat"

	WebhookPrefix     = "wh"
	DeliveryPrefix    = "dlv"
	SuppressionPrefix = "sup"
	TemplatePrefix    = "tpl"
)

// idLength is the number of base32 characters of 16 bytes.
const idLength = 26

// digits are Crockford's base32 in lower case: they sort as their values do, have
// no look-alikes, and survive where case does not.
const digits = "0123456789abcdefghjkmnpqrstvwxyz"

// NewID returns prefix_ and a new UUIDv7: it sorts by time.
func NewID(prefix string) string { return FormatID(prefix, newUUID()) }

// NewMessageID returns a message id whose last byte is its shard.
func NewMessageID(shard uint8) string {
	id := newUUID()
	id[15] = shard
	return FormatID(MessagePrefix, id)
}

// FormatID writes id as prefix_ + 26 characters: the 128 bits as one number, as
// ULIDs are written.
func FormatID(prefix string, id uuid.UUID) string {
	high, low := binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])
	var text [idLength]byte
	for i := idLength - 1; i >= 0; i-- {
		text[i] = digits[low&31]
		low = low>>5 | high<<59
		high >>= 5
	}
	return prefix + "_" + string(text[:])
}

// ParseID reads an id that must have this prefix and be written exactly as
// FormatID writes it.
func ParseID(prefix, s string) (uuid.UUID, error) {
	var id uuid.UUID
	text, ok := strings.CutPrefix(s, prefix+"_")
	if !ok || len(text) != idLength {
		return id, fmt.Errorf("not an id of the form %s_ and %d characters", prefix, idLength)
	}
	var high, low uint64
	for i := range idLength {
		digit := strings.IndexByte(digits, text[i])
		if digit < 0 {
			return id, fmt.Errorf("not an id of the form %s_ and %d characters", prefix, idLength)
		}
		high = high<<5 | low>>59
		low = low<<5 | uint64(digit)
	}
	binary.BigEndian.PutUint64(id[:8], high)
	binary.BigEndian.PutUint64(id[8:], low)
	// Writing it again finds what does not fit into 128 bits.
	if FormatID(prefix, id) != s || id.Version() != 7 {
		return id, fmt.Errorf("not an id of ours")
	}
	return id, nil
}

// Shard reads the shard from a message id.
func Shard(messageID string) (uint8, error) {
	id, err := ParseID(MessagePrefix, messageID)
	return id[15], err
}

// IDTime is the time at which an id was made, to the millisecond.
func IDTime(id uuid.UUID) time.Time {
	ms := int64(id[0])<<40 | int64(id[1])<<32 | int64(id[2])<<24 | int64(id[3])<<16 | int64(id[4])<<8 | int64(id[5])
	return time.UnixMilli(ms).UTC()
}

// IDBound is below every id that was made at a time or later, and above all that
// were made before, to the millisecond: the 26 characters without a prefix. It is no
// id itself.
func IDBound(at time.Time) string {
	var id uuid.UUID
	ms := uint64(max(at.UnixMilli(), 0))
	binary.BigEndian.PutUint64(id[:8], ms<<16)
	return FormatID("", id)[1:]
}

func newUUID() uuid.UUID { return uuid.Must(uuid.NewV7()) }
