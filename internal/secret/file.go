package secret

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// fileName is the secret's file in the data directory.
const fileName = "secret.key"

// maxFile bounds what is read: base64 of 32 octets is 44 characters.
const maxFile = 1024

// Load reads the secret from dir/secret.key, or makes it there once (mode 0600;
// dir is made too). Of several processes that start at once all get the same
// one. A file that everybody can read, or that holds no secret, is an error and
// is left as it is: a new secret would not open what the old one sealed.
func Load(dir string) (*Secret, error) {
	if dir == "" {
		return nil, errors.New("load secret: no data directory")
	}
	path := filepath.Join(dir, fileName)
	s, err := read(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := create(dir, path); err != nil {
			return nil, fmt.Errorf("make secret: %w", err)
		}
		s, err = read(path)
	}
	if err != nil {
		return nil, fmt.Errorf("load secret: %w", err)
	}
	return s, nil
}

// Has reports whether dir holds a secret's file, whatever is in it.
func Has(dir string) (bool, error) {
	_, err := os.Lstat(filepath.Join(dir, fileName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func read(path string) (*Secret, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	// The group may read it: volume mounts of some platforms set that.
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return nil, fmt.Errorf("%s has mode %04o: everybody on this machine has access to it (chmod 600 %s)", path, mode, path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, err
	}
	s, err := Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// create writes a new secret under a temporary name and links it into place: the
// file is whole from the moment it has its name, and the first of several wins.
func create(dir, path string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, fileName+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	key := New().key
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(key[:]) + "\n")
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(dir)
}

// syncDir makes the new name last over a power failure.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
