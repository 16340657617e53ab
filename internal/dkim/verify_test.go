package dkim

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	msgauth "github.com/emersion/go-msgauth/dkim"
)

// goVerifies says of each signature whether go-msgauth takes it.
func goVerifies(t testing.TB, message []byte, txt map[string]string) []bool {
	t.Helper()
	results, err := msgauth.VerifyWithOptions(bytes.NewReader(message), &msgauth.VerifyOptions{
		LookupTXT: func(name string) ([]string, error) {
			if record, ok := txt[name]; ok {
				return []string{record}, nil
			}
			return nil, errors.New("no such record")
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var valid []bool
	for _, result := range results {
		valid = append(valid, result.Err == nil)
	}
	return valid
}

// pythonVerifies says of each signature of each message whether dkimpy takes it.
func pythonVerifies(t testing.TB, messages [][]byte, txt map[string]string) [][]bool {
	t.Helper()
	var in bytes.Buffer
	encoder := json.NewEncoder(&in)
	for _, message := range messages {
		if err := encoder.Encode(map[string]any{"message": message, "records": txt, "signatures": 2}); err != nil {
			t.Fatal(err)
		}
	}
	// Debian's interpreter is the one that has python3-dkim and python3-nacl.
	cmd := exec.Command("/usr/bin/python3", "testdata/verify.py")
	var complaints bytes.Buffer
	cmd.Stdin, cmd.Stderr = &in, &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("python3 with python3-dkim and python3-nacl is needed to verify: %v\n%s", err, &complaints)
	}
	var all [][]bool
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		var valid []bool
		if err := json.Unmarshal(lines.Bytes(), &valid); err != nil {
			t.Fatal(err)
		}
		all = append(all, valid)
	}
	if len(all) != len(messages) {
		t.Fatalf("dkimpy answered for %d of %d messages\n%s", len(all), len(messages), &complaints)
	}
	return all
}

// TestTwoVerifiersAccept: both signatures, each also without the other.
func TestTwoVerifiersAccept(t *testing.T) {
	messages := samples(t)
	// The first lines of a mail as composed, with what canonicalisation may stumble on.
	head := "From: =?utf-8?q?M=C3=BCller?= <hi@acme.com>\r\nTo: a@example.org,\r\n b@example.org\r\n"
	messages["no line break at the end"] = []byte(head + "\r\nlast line")
	messages["only empty lines"] = []byte(head + "\r\n\r\n\r\n")
	messages["only white space"] = []byte(head + "\r\n \t \r\n\t")
	messages["empty fields"] = []byte(head + "Subject:\r\nReply-To: \r\n\t\r\nCc:\t\r\n\r\nx\r\n")
	messages["several To"] = []byte(head + "To: c@example.org\r\n\r\nx\r\n")
	messages["a colon in the value"] = []byte(head + "Subject: a: b :c\r\n\r\n: x\r\n")
	var names []string
	var signed [][]byte
	for _, name := range slices.Sorted(maps.Keys(messages)) {
		names = append(names, name)
		// SMTP ends the last line, if the message does not.
		onTheWire := bytes.TrimSuffix(sign(t, messages[name]), []byte("\r\n"))
		signed = append(signed, append(onTheWire, "\r\n"...))
	}
	python := pythonVerifies(t, signed, records(t))
	for i, name := range names {
		if got := goVerifies(t, signed[i], records(t)); !slices.Equal(got, []bool{true, true}) {
			t.Errorf("%s: go-msgauth: %v\n%s", name, got, signed[i])
		}
		if !slices.Equal(python[i], []bool{true, true}) {
			t.Errorf("%s: dkimpy: %v\n%s", name, python[i], signed[i])
		}
		for _, key := range testKeys(t) {
			alone, err := Sign(messages[name], []Key{key}, signedAt(), expiresAt())
			if err != nil {
				t.Fatal(err)
			}
			if got := goVerifies(t, alone, records(t)); !slices.Equal(got, []bool{true}) {
				t.Errorf("%s: %s alone: %v", name, key.Selector, got)
			}
		}
	}
}

// TestTampering: what was added or changed breaks both signatures, for both
// verifiers.
func TestTampering(t *testing.T) {
	signed := sign(t, samples(t)["letter"])
	header, body, _ := bytes.Cut(signed, []byte("\r\n\r\n"))
	add := func(line string) []byte {
		return slices.Concat([]byte(line+"\r\n"), header, []byte("\r\n\r\n"), body)
	}
	cases := map[string][]byte{
		"second From":                  add("From: evil@evil.example"),
		"second To":                    add("To: evil@evil.example"),
		"second Cc":                    add("Cc: evil@evil.example"),
		"second Subject":               add("Subject: evil"),
		"second Date":                  add("Date: Mon, 24 Aug 2026 14:05:09 +0000"),
		"second Message-ID":            add("Message-ID: <evil@evil.example>"),
		"second Reply-To":              add("Reply-To: evil@evil.example"),
		"a Sender":                     add("Sender: evil@evil.example"),
		"second MIME-Version":          add("MIME-Version: 1.0"),
		"second Content-Type":          add("Content-Type: text/html"),
		"a Content-Transfer-Encoding":  add("Content-Transfer-Encoding: base64"),
		"second List-Unsubscribe":      add("List-Unsubscribe: <https://evil.example>"),
		"a List-Unsubscribe-Post":      add("List-Unsubscribe-Post: List-Unsubscribe=One-Click"),
		"a Feedback-ID":                add("Feedback-ID: a:b:evil.example:evilevil"),
		"From below the others":        slices.Concat(header, []byte("\r\nFrom: evil@evil.example\r\n\r\n"), body),
		"Subject below the others":     slices.Concat(header, []byte("\r\nSubject: evil\r\n\r\n"), body),
		"changed From":                 bytes.Replace(signed, []byte("hi@acme.com>"), []byte("ho@acme.com>"), 1),
		"Subject gone":                 bytes.Replace(signed, []byte("\r\nSubject:"), []byte("\r\nSubjekt:"), 1),
		"changed References":           bytes.Replace(signed, []byte("\r\nReferences: <a"), []byte("\r\nReferences: <b"), 1),
		"changed body":                 slices.Concat(header, []byte("\r\n\r\n"), bytes.Replace(body, []byte("aus"), []byte("aux"), 1)),
		"body with more at the end":    append(bytes.Clone(signed), "more\r\n"...),
		"body without its last line":   signed[:bytes.LastIndex(signed[:len(signed)-2], []byte("\r\n"))+2],
		"other time of expiry":         bytes.ReplaceAll(signed, []byte("x=4291844645"), []byte("x=4291844646")),
		"other domain":                 bytes.ReplaceAll(signed, []byte("d=acme.com"), []byte("d=acme.org")),
		"h= without the oversigned To": bytes.ReplaceAll(signed, []byte("From:From:To:To"), []byte("From:From:To")),
		"l= put in":                    bytes.ReplaceAll(signed, []byte("v=1;"), []byte("v=1; l=0;")),
	}
	txt := records(t)
	for name, record := range records(t) {
		txt[strings.Replace(name, "acme.com", "acme.org", 1)] = record
	}
	names := slices.Sorted(maps.Keys(cases))
	messages := [][]byte{signed}
	for _, name := range names {
		if bytes.Equal(cases[name], signed) {
			t.Fatalf("%s: nothing was changed", name)
		}
		messages = append(messages, cases[name])
	}
	python := pythonVerifies(t, messages, txt)
	if !slices.Equal(python[0], []bool{true, true}) || !slices.Equal(goVerifies(t, signed, txt), []bool{true, true}) {
		t.Fatal("untouched, it does not verify")
	}
	for i, name := range names {
		t.Run(name, func(t *testing.T) {
			if got := goVerifies(t, cases[name], txt); !slices.Equal(got, []bool{false, false}) {
				t.Errorf("go-msgauth: %v", got)
			}
			if got := python[i+1]; !slices.Equal(got, []bool{false, false}) {
				t.Errorf("dkimpy: %v", got)
			}
		})
	}
}

// TestUnsignedFieldsMayCome: what hops add does no harm.
func TestUnsignedFieldsMayCome(t *testing.T) {
	signed := append([]byte("Received: from a by b; Sun, 23 Aug 2026 14:05:10 +0000\r\nReturn-Path: <b-x@acme.com>\r\n"), sign(t, samples(t)["letter"])...)
	if got := goVerifies(t, signed, records(t)); !slices.Equal(got, []bool{true, true}) {
		t.Errorf("%v", got)
	}
}

// TestRFC6376Example is the example of RFC 6376 3.4.5.
func TestRFC6376Example(t *testing.T) {
	header := relaxedField(nil, []byte("A: X\r\n"))
	header = relaxedField(header, []byte("B : Y\t\r\n\tZ  \r\n"))
	if want := "a:X\r\nb:Y Z\r\n"; string(header) != want {
		t.Errorf("header %q, want %q", header, want)
	}
	var canonical bytes.Buffer
	relaxedBody(&canonical, []byte(" C \r\nD \t E\r\n\r\n\r\n"))
	if want := " C\r\nD E\r\n"; canonical.String() != want {
		t.Errorf("body %q, want %q", &canonical, want)
	}
}

// TestRFC8463Example canonicalises the message of RFC 8463 A.3 and checks the
// Ed25519 signature that is printed there.
func TestRFC8463Example(t *testing.T) {
	unsigned := "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n" +
		" d=football.example.com; i=@football.example.com;\r\n" +
		" q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n" +
		" subject : date : message-id : from : subject : date;\r\n" +
		" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b="
	message := "From: Joe SixPack <joe@football.example.com>\r\nTo: Suzie Q <suzie@shopping.example.net>\r\n" +
		"Subject: Is dinner ready?\r\nDate: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n" +
		"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n\r\n" +
		"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n\r\n"
	signature := "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw=="
	d, err := digest([]byte(message))
	if err != nil {
		t.Fatal(err)
	}
	if want := "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="; d.bodyHash != want {
		t.Errorf("bh=%s, want %s", d.bodyHash, want)
	}
	fields, _, err := split([]byte(message))
	if err != nil {
		t.Fatal(err)
	}
	var input []byte
	for _, f := range fields {
		input = relaxedField(input, f.raw)
	}
	sum := sha256.Sum256(bytes.TrimSuffix(relaxedField(input, []byte(unsigned)), []byte("\r\n")))
	raw, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		t.Fatal(err)
	}
	public := testKeys(t)[1].Signer.Public().(ed25519.PublicKey)
	if !ed25519.Verify(public, sum[:], raw) {
		t.Error("the signature of the RFC does not verify")
	}
}

// FuzzSign: what Sign takes, a verifier takes.
func FuzzSign(f *testing.F) {
	f.Add("Subject: a\r\n b \t\r\n", " x \r\n\t\r\n\r\n")
	f.Add("To : a\r\nTo:b\r\nX:\r\n", "no end")
	f.Add("", "")
	f.Add("Subject: x\r\n\t\r\nList-Id:\r\n", "\r\n\r\n")
	keys, txt := testKeys(f)[1:], records(f)
	f.Fuzz(func(t *testing.T, header, body string) {
		signed, err := Sign([]byte("From: a@acme.com\r\n"+header+"\r\n"+body), keys, signedAt(), expiresAt())
		if err != nil {
			return
		}
		if strings.Contains(strings.ToLower(header), "dkim-signature") {
			return // more signatures than ours
		}
		if got := goVerifies(t, signed, txt); !slices.Equal(got, []bool{true}) {
			t.Fatalf("%v\n%q", got, signed)
		}
	})
}
