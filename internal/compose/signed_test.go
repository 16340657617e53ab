package compose

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	msgauth "github.com/emersion/go-msgauth/dkim"

	"postrider/internal/dkim"
)

// TestSignaturesOfAllShapes: both signatures of every shape are good for two verifiers
// each, and so is the one Feedback-ID in them.
func TestSignaturesOfAllShapes(t *testing.T) {
	keys, records := signingKeys(t)
	signed := make([][]byte, 0, shapes)
	for seed := range uint64(shapes) {
		m, c, _ := shape(seed)
		mail, err := dkim.Sign(compose(t, m, c), keys, time.Now().Add(-time.Minute), time.Now().Add(time.Hour))
		if err != nil {
			t.Fatalf("shape %d: %v", seed, err)
		}
		signed = append(signed, mail)
	}
	python, perl := verifyWithPython(t, signed, records), verifyWithPerl(t, signed, records)
	for seed, mail := range signed {
		if !python[seed] {
			t.Errorf("shape %d: dkimpy takes not both signatures\n%s", seed, mail)
		}
		if perl[seed] != "pass" {
			t.Errorf("shape %d: Mail::DKIM says %q of the RSA signature\n%s", seed, perl[seed], mail)
		}
		if valid := verifyWithGo(t, mail, records); !slices.Equal(valid, []bool{true, true}) {
			t.Errorf("shape %d: go-msgauth: %v\n%s", seed, valid, mail)
		}
	}
	// A verifier that takes everything would have passed until here.
	tampered := bytes.Replace(signed[0], []byte("\r\nSubject:"), []byte("\r\nSubject: x"), 1)
	feedback := append([]byte("Feedback-ID: a:b:c:another\r\n"), signed[0]...)
	for name, mail := range map[string][]byte{"subject": tampered, "second Feedback-ID": feedback} {
		if got := verifyWithPerl(t, [][]byte{mail}, records)[0]; got == "pass" {
			t.Errorf("%s: Mail::DKIM takes it", name)
		}
		if verifyWithPython(t, [][]byte{mail}, records)[0] {
			t.Errorf("%s: dkimpy takes it", name)
		}
	}
}

// signingKeys makes a key of each kind, and their records in DNS.
func signingKeys(t *testing.T) ([]dkim.Key, map[string]string) {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKIXPublicKey(rsaKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	var keys []dkim.Key
	for selector, signer := range map[string]crypto.Signer{"r": rsaKey, "e": edKey} {
		keys = append(keys, dkim.Key{Domain: "acme.com", Selector: selector, Signer: signer})
	}
	return keys, map[string]string{
		"r._domainkey.acme.com": "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(encoded),
		"e._domainkey.acme.com": "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public),
	}
}

func verifyWithGo(t *testing.T, mail []byte, records map[string]string) (valid []bool) {
	t.Helper()
	results, err := msgauth.VerifyWithOptions(bytes.NewReader(mail), &msgauth.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
		if record, ok := records[name]; ok {
			return []string{record}, nil
		}
		return nil, errors.New("no such record")
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, result := range results {
		valid = append(valid, result.Err == nil)
	}
	return valid
}

// verifyWithPython says of each mail whether dkimpy takes both signatures.
func verifyWithPython(t *testing.T, mails [][]byte, records map[string]string) (valid []bool) {
	t.Helper()
	var in bytes.Buffer
	encoder := json.NewEncoder(&in)
	for _, mail := range mails {
		if err := encoder.Encode(map[string]any{"message": mail, "records": records, "signatures": 2}); err != nil {
			t.Fatal(err)
		}
	}
	for line := range strings.Lines(verifier(t, &in, pythonInterpreter(), "../dkim/testdata/verify.py")) {
		valid = append(valid, strings.TrimSpace(line) == "[true, true]")
	}
	if len(valid) != len(mails) {
		t.Fatalf("dkimpy answered for %d of %d mails", len(valid), len(mails))
	}
	return valid
}

// verifyWithPerl says what Mail::DKIM thinks of the RSA signature of each mail.
func verifyWithPerl(t *testing.T, mails [][]byte, records map[string]string) []string {
	t.Helper()
	var in bytes.Buffer
	if err := json.NewEncoder(&in).Encode(records); err != nil {
		t.Fatal(err)
	}
	for _, mail := range mails {
		in.WriteString(base64.StdEncoding.EncodeToString(mail) + "\n")
	}
	results := strings.Split(strings.TrimSuffix(verifier(t, &in, "/usr/bin/perl", "testdata/verify.pl"), "\n"), "\n")
	if len(results) != len(mails) {
		t.Fatalf("Mail::DKIM answered for %d of %d mails", len(results), len(mails))
	}
	return results
}

func verifier(t *testing.T, in *bytes.Buffer, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	var complaints bytes.Buffer
	cmd.Stdin, cmd.Stderr = in, &complaints
	out, err := cmd.Output()
	if err != nil {
		_, _ = os.Stderr.Write(complaints.Bytes())
		t.Fatalf("%s is needed to verify signatures (make test-tools): %v", program, err)
	}
	return string(out)
}
