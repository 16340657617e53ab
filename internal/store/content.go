package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/s2"

	"postrider/internal/email"
)

// What is read back is never larger than this once unpacked: far above what the
// limits of api.md 22 let in, far below what would hurt.
const (
	maxContent = 128 << 20
	maxAttempt = 4 << 20
)

// packer compresses bodies and attempts: a CRC-32C of what was packed, least octet
// first, and an S2 block. S2 packs text a third looser than zstd and costs a fifth of
// its time, which was the largest single part of accepting a message.
type packer struct{ table *crc32.Table }

func newPacker() *packer { return &packer{table: crc32.MakeTable(crc32.Castagnoli)} }

const sumSize = 4

func (p *packer) pack(v any) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return p.compress(raw), nil
}

func (p *packer) compress(raw []byte) []byte {
	// S2 wants room for the worst case, and says so rather than grow.
	packed := make([]byte, sumSize+s2.MaxEncodedLen(len(raw)))
	binary.LittleEndian.PutUint32(packed, crc32.Checksum(raw, p.table))
	return packed[:sumSize+len(s2.Encode(packed[sumSize:], raw))]
}

// decompress undoes compress, for what is at most limit octets.
func (p *packer) decompress(packed string, limit int) ([]byte, error) {
	if len(packed) < sumSize {
		return nil, fmt.Errorf("%w: too short to be packed", ErrBroken)
	}
	sum, block := binary.LittleEndian.Uint32([]byte(packed[:sumSize])), []byte(packed[sumSize:])
	size, err := s2.DecodedLen(block)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	if size > limit {
		return nil, fmt.Errorf("%w: packed are %d octets, more than %d", ErrBroken, size, limit)
	}
	raw, err := s2.Decode(nil, block)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	if crc32.Checksum(raw, p.table) != sum {
		return nil, fmt.Errorf("%w: its checksum is wrong", ErrBroken)
	}
	return raw, nil
}

// contentHead is the first line of a content: how long its parts are. They follow
// as they are, html, text and files: as JSON strings they would cost more to
// write and read than all the rest of a message.
type contentHead struct {
	HTML    int            `json:"h,omitempty"`
	Text    int            `json:"t,omitempty"`
	Headers []email.Header `json:"f,omitempty"`
	Files   []fileHead     `json:"a,omitempty"`
	Raw     int            `json:"r,omitempty"` // a composed mail
	// Calendar lies behind the files.
	Calendar *calendarHead `json:"c,omitempty"`
}

type calendarHead struct {
	Method    string `json:"m"`
	Component string `json:"c"`
	Filename  string `json:"n,omitempty"`
	Size      int    `json:"z"`
}

type fileHead struct {
	Name      string `json:"n"`
	Type      string `json:"t"`
	ContentID string `json:"i,omitempty"`
	Size      int    `json:"z"`
}

func (p *packer) packContent(c *email.Content) ([]byte, error) {
	head, size := contentHead{HTML: len(c.HTML), Text: len(c.Text), Headers: c.Headers, Raw: len(c.Raw)}, len(c.HTML)+len(c.Text)+len(c.Raw)
	for _, a := range c.Attachments {
		head.Files = append(head.Files, fileHead{Name: a.Filename, Type: a.ContentType, ContentID: a.ContentID, Size: len(a.Content)})
		size += len(a.Content)
	}
	var calendar string
	if c.Calendar != nil {
		calendar = c.Calendar.Content
		head.Calendar = &calendarHead{c.Calendar.Method, c.Calendar.Component, c.Calendar.Filename, len(calendar)}
		size += len(calendar)
	}
	line, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	raw := make([]byte, 0, len(line)+1+size)
	raw = append(append(raw, line...), '\n')
	raw = append(append(raw, c.HTML...), c.Text...)
	for _, a := range c.Attachments {
		raw = append(raw, a.Content...)
	}
	return p.compress(append(append(raw, calendar...), c.Raw...)), nil
}

func (p *packer) unpackContent(packed string) (*email.Content, error) {
	raw, err := p.decompress(packed, maxContent)
	if err != nil {
		return nil, fmt.Errorf("unpack content: %w", err)
	}
	line, rest, _ := bytes.Cut(raw, []byte{'\n'})
	var head contentHead
	if err := json.Unmarshal(line, &head); err != nil {
		return nil, fmt.Errorf("unpack content: %w: %w", ErrBroken, err)
	}
	c := &email.Content{Headers: head.Headers}
	ok := true
	take := func(n int) []byte {
		if ok = ok && n >= 0 && n <= len(rest); !ok {
			return nil
		}
		part := rest[:n:n]
		rest = rest[n:]
		return part
	}
	c.HTML, c.Text = string(take(head.HTML)), string(take(head.Text))
	for _, f := range head.Files {
		c.Attachments = append(c.Attachments, email.Attachment{
			Filename: f.Name, ContentType: f.Type, ContentID: f.ContentID, Content: take(f.Size),
		})
	}
	if h := head.Calendar; h != nil {
		c.Calendar = &email.Calendar{Method: h.Method, Component: h.Component, Filename: h.Filename, Content: string(take(h.Size))}
	}
	if head.Raw > 0 {
		c.Raw = take(head.Raw)
	}
	if !ok || len(rest) > 0 {
		return nil, fmt.Errorf("unpack content: %w: its parts are not as long as said", ErrBroken)
	}
	return c, nil
}
