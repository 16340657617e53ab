package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func fixed(octet byte) *Secret {
	s, err := Parse(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{octet}, size)))
	if err != nil {
		panic(err)
	}
	return s
}

func TestParse(t *testing.T) {
	whole := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0xfb}, size))
	for _, c := range []struct{ name, in, fault string }{
		{"padded", whole, ""},
		{"unpadded", strings.TrimRight(whole, "="), ""},
		{"line end", whole + "\n", ""},
		{"empty", "", "0 octets"},
		{"short", base64.StdEncoding.EncodeToString(make([]byte, 31)), "31 octets"},
		{"long", base64.StdEncoding.EncodeToString(make([]byte, 33)), "33 octets"},
		{"hex", strings.Repeat("ab", 32), "48 octets"},
		{"no base64", "not-base64-canary!", "not base64"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Parse(c.in)
			if c.fault == "" {
				if err != nil || s.key != [size]byte(bytes.Repeat([]byte{0xfb}, size)) {
					t.Fatalf("Parse: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Fatalf("error %v, want one with %q", err, c.fault)
			}
			if c.in != "" && strings.Contains(err.Error(), c.in) {
				t.Fatalf("error repeats the input: %v", err)
			}
		})
	}
}

func TestSealOpen(t *testing.T) {
	s := fixed(1)
	for _, plain := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("key"), 1000)} {
		got, err := s.Open(s.Seal(plain, "acme.com/a"), "acme.com/a")
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("round trip of %d octets: %v", len(plain), err)
		}
	}
	if bytes.Equal(s.Seal([]byte("x"), "o"), s.Seal([]byte("x"), "o")) {
		t.Fatal("two seals of the same value are equal: the nonce is not random")
	}
}

func TestOpenRefuses(t *testing.T) {
	s := fixed(1)
	sealed := s.Seal([]byte("private"), "acme.com/a")
	if _, err := s.Open(sealed, "acme.com/b"); !errors.Is(err, ErrSealed) {
		t.Errorf("other owner: %v", err)
	}
	if _, err := fixed(2).Open(sealed, "acme.com/a"); !errors.Is(err, ErrOtherKey) {
		t.Errorf("other secret: %v", err)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := s.Open(bad, "acme.com/a"); err == nil {
			t.Errorf("octet %d changed: opened", i)
		}
		if _, err := s.Open(sealed[:i], "acme.com/a"); err == nil {
			t.Errorf("cut to %d octets: opened", i)
		}
	}
}

// Stored values must open in every later version, and derived keys must not move.
func TestStable(t *testing.T) {
	s := fixed(7)
	if got, want := s.Check(), "77afdcf81115ef16733f54fb542191b6"; got != want {
		t.Errorf("Check = %s, want %s", got, want)
	}
	if got, want := fmt.Sprintf("%x", s.Derive("reverse path"))[:16], "f4f5af9387256552"; got != want {
		t.Errorf("Derive = %s, want %s", got, want)
	}
	if got, want := fmt.Sprintf("%x", s.prefix), "019bce2049"; got != want {
		t.Errorf("prefix = %s, want %s", got, want)
	}
}

func TestDeriveIsPerPurposeAndSecret(t *testing.T) {
	seen := map[[32]byte]string{}
	for i, s := range []*Secret{fixed(1), fixed(2)} {
		for _, purpose := range []string{"", "a", "b", "seal", "check", "key id"} {
			for _, key := range [][32]byte{s.Derive(purpose), s.derive(purpose)} {
				if other, ok := seen[key]; ok {
					t.Errorf("secret %d %q gives the key of %s", i, purpose, other)
				}
				seen[key] = fmt.Sprint(i, purpose)
			}
		}
	}
	one, same, other := fixed(1).Check(), fixed(1).Check(), fixed(2).Check()
	if one != same || one == other {
		t.Error("Check does not tell secrets apart")
	}
}

func TestRedacts(t *testing.T) {
	s := fixed('K')
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", s)
		fmt.Fprintf(&out, verb+"\n", struct{ S *Secret }{s})
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("start", "secret", s)
	slog.New(slog.NewTextHandler(&out, nil)).Info("start", "secret", s)
	js, err := json.Marshal(struct{ S *Secret }{s})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(js)
	sealing := s.derive("seal")
	for _, canary := range []string{"KKKK", "75 75 75", "4b4b4b", "0x4b", fmt.Sprintf("%x", sealing[:8])} {
		if strings.Contains(out.String(), canary) {
			t.Errorf("%q leaks in:\n%s", canary, out.String())
		}
	}
	if !strings.Contains(out.String(), redacted) {
		t.Errorf("nothing says %s:\n%s", redacted, out.String())
	}
}

func TestLoadMakesOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "postrider")
	checks := make([]string, 8)
	var group sync.WaitGroup
	for i := range checks {
		group.Go(func() {
			s, err := Load(dir)
			if err != nil {
				t.Error(err)
				return
			}
			checks[i] = s.Check()
		})
	}
	group.Wait()
	for _, c := range checks {
		if c != checks[0] {
			t.Fatalf("starts at the same time got different secrets: %v", checks)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != fileName {
		t.Fatalf("directory holds %v (%v), want only %s", entries, err, fileName)
	}
	info, err := entries[0].Info()
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v (%v), want 0600", info.Mode(), err)
	}
	again, err := Load(dir)
	if err != nil || again.Check() != checks[0] {
		t.Fatalf("loaded again: %v", err)
	}
}

func TestLoadRefuses(t *testing.T) {
	good := base64.StdEncoding.EncodeToString(make([]byte, size))
	for _, c := range []struct {
		name, content string
		mode          os.FileMode
		fault         string
	}{
		{"world-readable", good, 0o644, "chmod 600"},
		{"world-writable", good, 0o602, "chmod 600"},
		{"empty", "", 0o600, "0 octets"},
		{"garbage", "canary-canary", 0o600, "not base64"},
		{"two keys", good + "\n" + good, 0o600, "not base64"},
		{"group-readable", good, 0o640, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, fileName)
			if err := errors.Join(os.WriteFile(path, []byte(c.content), 0o600), os.Chmod(path, c.mode)); err != nil {
				t.Fatal(err)
			}
			_, err := Load(dir)
			if c.fault == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.fault) || strings.Contains(err.Error(), "canary") {
				t.Fatalf("error %v, want one with %q and without the content", err, c.fault)
			}
			if kept, _ := os.ReadFile(path); string(kept) != c.content {
				t.Fatal("the refused file was changed")
			}
		})
	}
	if _, err := Load(""); err == nil {
		t.Fatal("no directory: no error")
	}
}
