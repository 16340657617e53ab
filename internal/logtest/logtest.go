// Package logtest has a log that a test reads while it is written: a bytes.Buffer for
// several goroutines. It knows nothing of formats.
//
//	var log logtest.Buffer
//	o.Log = slog.New(slog.NewJSONHandler(&log, nil))
//	...
//	if !strings.Contains(log.String(), `"level":"ERROR"`) {
package logtest

import (
	"bytes"
	"sync"
)

// Buffer keeps what is written. Its zero value is empty.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer. It never fails.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// String is all that was written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
