package dkim

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write the golden files anew")
	flag.Parse()
	os.Exit(m.Run())
}

// The verifiers go by the clock: signed long ago, valid for long.
func signedAt() time.Time  { return time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC) }
func expiresAt() time.Time { return time.Date(2106, 1, 2, 3, 4, 5, 0, time.UTC) }

// testKeys are an RSA key made for these tests and the Ed25519 key of RFC 8463 A.1.
func testKeys(t testing.TB) []Key {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("testdata", "rsa2048.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(file)
	rsaKey, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	seed, err := base64.StdEncoding.DecodeString("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
	if err != nil {
		t.Fatal(err)
	}
	return []Key{
		{Domain: "acme.com", Selector: "pr2026a", Signer: rsaKey.(crypto.Signer)},
		{Domain: "acme.com", Selector: "pr2026e", Signer: ed25519.NewKeyFromSeed(seed)},
	}
}

// records are the TXT records of the test keys.
func records(t testing.TB) map[string]string {
	t.Helper()
	keys := testKeys(t)
	der, err := x509.MarshalPKIXPublicKey(keys[0].Signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"pr2026a._domainkey.acme.com": "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der),
		"pr2026e._domainkey.acme.com": "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(keys[1].Signer.Public().(ed25519.PublicKey)),
	}
}

func sign(t testing.TB, message []byte) []byte {
	t.Helper()
	signed, err := Sign(message, testKeys(t), signedAt(), expiresAt())
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// samples are the messages in testdata, by name.
func samples(t testing.TB) map[string][]byte {
	t.Helper()
	messages := map[string][]byte{}
	for _, name := range []string{"text", "letter", "whitespace", "empty"} {
		message, err := os.ReadFile(filepath.Join("testdata", name+".eml"))
		if err != nil {
			t.Fatal(err)
		}
		messages[name] = message
	}
	return messages
}

func TestSignGolden(t *testing.T) {
	for name, message := range samples(t) {
		t.Run(name, func(t *testing.T) {
			signed := sign(t, message)
			golden := filepath.Join("testdata", name+".signed.eml")
			if flag.Lookup("update").Value.String() == "true" {
				if err := os.WriteFile(golden, signed, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(signed)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if !bytes.Equal(signed, sign(t, message)) {
				t.Error("signed twice, two results")
			}
			if !bytes.HasSuffix(signed, message) {
				t.Error("the message was changed")
			}
		})
	}
}

// TestSignatureFields looks at what the fields say and how they are folded.
func TestSignatureFields(t *testing.T) {
	signed := sign(t, samples(t)["letter"])
	fields, _, err := split(signed)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkClean(signed); err != nil {
		t.Error(err)
	}
	for i, algorithm := range []string{"rsa-sha256", "ed25519-sha256"} {
		if fields[i].name != "dkim-signature" {
			t.Fatalf("field %d is %s", i, fields[i].name)
		}
		for line := range strings.SplitSeq(string(fields[i].raw), "\r\n") {
			if len(line) > 78 || strings.HasSuffix(line, " ") {
				t.Errorf("line %q", line)
			}
		}
		tags := regexp.MustCompile(`\s`).ReplaceAllString(string(fields[i].raw), "")
		for _, want := range []string{
			";a=" + algorithm + ";", "v=1;", ";c=relaxed/relaxed;", ";d=acme.com;", ";t=1767323045;", ";x=4291844645;",
			";h=From:From:To:To:Cc:Cc:Subject:Subject:Date:Date:Message-ID:Message-ID:Reply-To:Reply-To:Sender:MIME-Version:MIME-Version:" +
				"Content-Type:Content-Type:Content-Transfer-Encoding:List-Unsubscribe:List-Unsubscribe:List-Unsubscribe-Post:Feedback-ID:References;",
		} {
			if !strings.Contains(tags, want) {
				t.Errorf("no %s in %s", want, tags)
			}
		}
		if strings.Contains(tags, ";l=") {
			t.Errorf("l= in %s", tags)
		}
	}
	if fields[2].name == "dkim-signature" {
		t.Error("more signatures than keys")
	}
}

func TestSignWithoutExpiry(t *testing.T) {
	signed, err := Sign(samples(t)["text"], testKeys(t), signedAt(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(signed, []byte(" x=")) {
		t.Errorf("x= in\n%s", signed)
	}
}

func TestSignWithoutKeys(t *testing.T) {
	message := samples(t)["text"]
	signed, err := Sign(message, nil, signedAt(), expiresAt())
	if err != nil || !bytes.Equal(signed, message) {
		t.Errorf("%v\n%s", err, signed)
	}
}

func TestSignRefuses(t *testing.T) {
	good := "From: a@b\r\nTo: c@d\r\n\r\nbody\r\n"
	keys := testKeys(t)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	with := func(change func(k *Key)) []Key {
		key := keys[1]
		change(&key)
		return []Key{keys[0], key}
	}
	cases := map[string]struct {
		message string
		keys    []Key
		expires time.Time
	}{
		"8-bit":              {strings.Replace(good, "body", "b\xc3\xb6dy", 1), keys, expiresAt()},
		"NUL":                {strings.Replace(good, "body", "b\x00dy", 1), keys, expiresAt()},
		"bare LF":            {strings.Replace(good, "body\r", "body", 1), keys, expiresAt()},
		"bare CR":            {strings.Replace(good, "body", "bo\rdy", 1), keys, expiresAt()},
		"CR at the end":      {good + "\r", keys, expiresAt()},
		"no From":            {strings.Replace(good, "From", "Fram", 1), keys, expiresAt()},
		"two Froms":          {"from : x@y\r\n" + good, keys, expiresAt()},
		"no body":            {"From: a@b\r\n", keys, expiresAt()},
		"nothing":            {"", keys, expiresAt()},
		"no colon":           {"From: a@b\r\nrubbish\r\n\r\n", keys, expiresAt()},
		"space before colon": {strings.Replace(good, "To:", "To :", 1), keys, expiresAt()},
		"starts folded":      {" x\r\n" + good, keys, expiresAt()},
		"weak RSA":           {good, with(func(k *Key) { k.Signer = weak }), expiresAt()},
		"other curve":        {good, with(func(k *Key) { k.Signer = curve }), expiresAt()},
		"no key":             {good, with(func(k *Key) { k.Signer = nil }), expiresAt()},
		"no domain":          {good, with(func(k *Key) { k.Domain = "" }), expiresAt()},
		"domain with a tag":  {good, with(func(k *Key) { k.Domain = "acme.com; l=0" }), expiresAt()},
		"selector with CRLF": {good, with(func(k *Key) { k.Selector = "a\r\nBcc:x" }), expiresAt()},
		"expires at once":    {good, keys, signedAt()},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			if signed, err := Sign([]byte(test.message), test.keys, signedAt(), test.expires); err == nil {
				t.Errorf("signed:\n%s", signed)
			}
		})
	}
	if _, err := Sign([]byte(good), keys, time.Time{}, expiresAt()); err == nil {
		t.Error("signed without a time")
	}
}

func BenchmarkSign(b *testing.B) {
	line := "This is a line of plain text, about as long as mail has them.\r\n"
	message := append(bytes.TrimSuffix(samples(b)["text"], []byte("Hi\r\n")), strings.Repeat(line, 160)...)
	keys := testKeys(b)
	for name, keys := range map[string][]Key{"RSA2048": keys[:1], "Ed25519": keys[1:], "both": keys} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Sign(message, keys, signedAt(), expiresAt()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
