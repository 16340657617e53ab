package store

import (
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
	return p.encoder.EncodeAll(raw, nil), nil
}

func (p *packer) unpackContent(packed []byte) (*email.Content, error) {
	raw, err := p.contents.DecodeAll(packed, nil)
	if err != nil {
		return nil, fmt.Errorf("unpack content: %w: %w", ErrBroken, err)
	}
	var c email.Content
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, fmt.Errorf("unpack content: %w: %w", ErrBroken, err)
	}
	return &c, nil
}
