// Package load makes the mails of the benchmark, the same for every subject: one
// recipient, a text of a given size, different from mail to mail and about as
// compressible as prose.
package load

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

// Domain is where all mail goes, From is who it is from.
const (
	Domain = "sink.test"
	From   = "hi@bench.test"
)

// texts are so many different ones; the subject differs in every mail.
const texts = 64

const (
	vocabulary = 2000
	lineLength = 72
	// skew makes some words as frequent as "the" and "and" are.
	skew = 1.1
)

// Mails makes mails of one size.
type Mails struct{ texts, encoded []string }

// New makes the texts, each of size octets.
func New(size int) *Mails {
	random := rand.New(rand.NewPCG(1, 2)) // the same in every run
	words := make([]string, vocabulary)
	for i := range words {
		letters := make([]byte, 2+random.IntN(8))
		for j := range letters {
			letters[j] = byte('a' + random.IntN(26))
		}
		words[i] = string(letters)
	}
	frequency := rand.NewZipf(random, skew, 2, vocabulary-1)
	m := &Mails{}
	for range texts {
		var b strings.Builder
		for line := 0; b.Len() < size; {
			word := words[frequency.Uint64()]
			if line += len(word) + 1; line > lineLength {
				b.WriteByte('\n')
				line = len(word)
			} else if b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(word)
		}
		text := strings.TrimRight(b.String()[:size-1], " \n") + "\n"
		m.texts = append(m.texts, text)
		encoded, err := json.Marshal(text)
		if err != nil {
			panic(err) // a string can always be encoded
		}
		m.encoded = append(m.encoded, string(encoded))
	}
	return m
}

// Recipient is the address of the n-th mail of a series.
func Recipient(series string, n int) string { return fmt.Sprintf("%s%d@%s", series, n, Domain) }

// JSON appends the n-th mail as the body of POST /messages. Without a lifetime in
// seconds (0) it has the default one.
func (m *Mails) JSON(dst []byte, series string, n, lifetime int) []byte {
	dst = fmt.Appendf(dst, `{"from":{"email":"%s","name":"Bench"},"to":["%s"],"subject":"Receipt %s %d","tags":["bench"],`,
		From, Recipient(series, n), series, n)
	if lifetime > 0 {
		dst = fmt.Appendf(dst, `"ttl_seconds":%d,`, lifetime)
	}
	dst = append(dst, `"text":`...)
	dst = append(dst, m.encoded[n%texts]...)
	return append(dst, '}')
}

// RFC5322 appends the n-th mail as it goes over the wire, without the final dot.
func (m *Mails) RFC5322(dst []byte, series string, n int) []byte {
	dst = fmt.Appendf(dst, "Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nFrom: Bench <%s>\r\nTo: <%s>\r\nSubject: Receipt %s %d\r\n"+
		"Message-ID: <%s-%d@bench.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n",
		From, Recipient(series, n), series, n, series, n)
	for line := range strings.Lines(m.texts[n%texts]) {
		dst = append(dst, line[:len(line)-1]...)
		dst = append(dst, '\r', '\n')
	}
	return dst
}
