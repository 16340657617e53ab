package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// mirror is what this machine knows of the store: the only thing that this
// package keeps outside of Redis, since it is there to notice that Redis forgot.
type mirror struct {
	ID        string            `json:"id"`
	Positions map[string]string `json:"positions,omitempty"` // stream -> id of its last entry
}

// mirrorFile is its name in the data directory.
const mirrorFile = "epoch.json"

var errMirror = errors.New("the mirror of the epoch cannot be read")

// readMirror reads the mirror, nil if there is none.
func readMirror(dir string) (*mirror, error) {
	if dir == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(filepath.Join(dir, mirrorFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the mirror: %w", err)
	}
	var m mirror
	if err := json.Unmarshal(raw, &m); err != nil || m.ID == "" {
		return nil, fmt.Errorf("%w: %s", errMirror, filepath.Join(dir, mirrorFile))
	}
	return &m, nil
}

// writeMirror replaces the mirror as a whole: a crash leaves the old or the new one.
func writeMirror(dir string, m *mirror) error {
	if dir == "" {
		return nil
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("write the mirror: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("write the mirror: %w", err)
	}
	f, err := os.CreateTemp(dir, mirrorFile+".*")
	if err != nil {
		return fmt.Errorf("write the mirror: %w", err)
	}
	_, err = f.Write(raw)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, mirrorFile))
	}
	if err != nil {
		return fmt.Errorf("write the mirror: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}
