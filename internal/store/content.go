package store

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"postrider/internal/email"
)

// What is read back is never larger than this once unpacked: far above what the
// limits of api.md 22 let in, far below what would hurt.
const (
	maxContent = 128 << 20
	maxAttempt = 4 << 20
)

// packer compresses bodies and attempts. It is safe for concurrent use.
type packer struct {
	encoder  *zstd.Encoder
	contents *zstd.Decoder
	attempts *zstd.Decoder
}

func newPacker() *packer {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(true))
	if err != nil {
		panic(err) // constant options: cannot be refused
	}
	return &packer{encoder: encoder, contents: newDecoder(maxContent), attempts: newDecoder(maxAttempt)}
}

func newDecoder(limit uint64) *zstd.Decoder {
	// 0: as many at once as there are processors.
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(limit))
	if err != nil {
		panic(err) // constant options: cannot be refused
	}
	return d
}

func (p *packer) pack(v any) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return p.compress(raw), nil
}

func (p *packer) compress(raw []byte) []byte {
	return p.encoder.EncodeAll(raw, make([]byte, 0, len(raw)/2+64))
}

// contentHead is the first line of a content: how long its parts are. They follow
// as they are, html, text and files: as JSON strings they would cost more to
// write and read than all the rest of a message.
type contentHead struct {
	HTML    int            `json:"h,omitempty"`
	Text    int            `json:"t,omitempty"`
	Headers []email.Header `json:"f,omitempty"`
	Files   []fileHead     `json:"a,omitempty"`
}

type fileHead struct {
	Name      string `json:"n"`
	Type      string `json:"t"`
	ContentID string `json:"i,omitempty"`
	Size      int    `json:"z"`
}

func (p *packer) packContent(c *email.Content) ([]byte, error) {
	head, size := contentHead{HTML: len(c.HTML), Text: len(c.Text), Headers: c.Headers}, len(c.HTML)+len(c.Text)
	for _, a := range c.Attachments {
		head.Files = append(head.Files, fileHead{Name: a.Filename, Type: a.ContentType, ContentID: a.ContentID, Size: len(a.Content)})
		size += len(a.Content)
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
	return p.compress(raw), nil
}

func (p *packer) unpackContent(packed []byte) (*email.Content, error) {
	raw, err := p.contents.DecodeAll(packed, nil)
	if err != nil {
		return nil, fmt.Errorf("unpack content: %w: %w", ErrBroken, err)
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
	if !ok || len(rest) > 0 {
		return nil, fmt.Errorf("unpack content: %w: its parts are not as long as said", ErrBroken)
	}
	return c, nil
}
