package compose

import (
	"errors"
	"fmt"
	"maps"
	"mime"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"postrider/internal/email"
)

const (
	// maxPlain is the longest parameter value in one quoted-string. A longer one is
	// split by RFC 2231 3.
	maxPlain = 200
	// maxFallback is the longest file name for readers without RFC 2231.
	maxFallback = 60
	// maxFilename is the longest file name, in octets; file systems take 255.
	maxFilename = 1000
	// RFC 6838 4.2: type and subtype have at most 127 characters each.
	maxMediaType = 127 + 1 + 127
	maxKey       = 40
	octetStream  = "application/octet-stream"
)

// mediaType is a Content-Type that may be sent as it is.
type mediaType struct {
	name   string
	params []param // sorted by key
}

type param struct{ key, value string }

// fileNode makes a leaf of an attachment. A content type that cannot be parsed, or
// that base64 may not stand with, becomes application/octet-stream.
func fileNode(a *email.Attachment) (node, error) {
	for _, s := range []string{a.Filename, a.ContentType} {
		if strings.ContainsAny(s, "\r\n\x00") {
			return node{}, errors.New("file name or content type has CR, LF or NUL")
		}
	}
	if len(a.Filename) > maxFilename {
		return node{}, fmt.Errorf("file name has more than %d octets", maxFilename)
	}
	if a.ContentID != "" && !isMsgID(a.ContentID) {
		return node{}, errors.New("content id has a character that none may have")
	}
	return node{file: a, mime: parseMediaType(a.ContentType)}, nil
}

// parseMediaType reads a content type. RFC 2045 6.4 and RFC 2046 5.2.1 forbid
// base64 for multipart/* and for message/rfc822 and its kin: such a file is sent as
// mere octets, so that it arrives unchanged.
func parseMediaType(s string) mediaType {
	name, params, err := mime.ParseMediaType(s)
	kind, subtype, _ := strings.Cut(name, "/")
	if err != nil || len(name) > maxMediaType || !isToken(kind) || !isToken(subtype) ||
		kind == "multipart" || kind == "message" {
		return mediaType{name: octetStream}
	}
	t := mediaType{name: name}
	for _, key := range slices.Sorted(maps.Keys(params)) {
		value := params[key]
		if checkText(value) != nil || len(key) > maxKey || len(value) > maxWord || !isToken(key) {
			return mediaType{name: octetStream}
		}
		if key != "name" {
			t.params = append(t.params, param{key, strings.ToValidUTF8(value, "\uFFFD")})
		}
	}
	return t
}

// isToken: RFC 2045 5.1, without the characters that RFC 2231 gives a meaning.
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' || strings.IndexByte(`()<>@,;:\"/[]?=*'%`, s[i]) >= 0 {
			return false
		}
	}
	return s != ""
}

// param writes one parameter on the field that was begun.
func (w *writer) param(key, value string) {
	if !isASCII(value) || len(value) > maxPlain {
		w.extended(key, value)
		return
	}
	if !isToken(value) {
		value = quoted(value)
	}
	w.buf = append(w.buf, ';')
	w.word(key + "=" + value)
}

// extended writes a parameter by RFC 2231 4, in segments (RFC 2231 3) if it is too
// long for a line. No character is split between two segments.
func (w *writer) extended(key, value string) {
	const charset = "utf-8''"
	if word := key + "*=" + charset + percentEncoded(value); len(word) < maxLine-2 {
		w.buf = append(w.buf, ';')
		w.word(word)
		return
	}
	for section := 0; value != ""; section++ {
		word := key + "*" + strconv.Itoa(section) + "*="
		if section == 0 {
			word += charset
		}
		for value != "" {
			_, size := utf8.DecodeRuneInString(value)
			char := percentEncoded(value[:size])
			if len(word)+len(char) >= maxLine-1 {
				break
			}
			word += char
			value = value[size:]
		}
		w.buf = append(w.buf, ';')
		w.word(word)
	}
}

// percentEncoded: RFC 2231 7, a subset of attribute-char as it is.
func percentEncoded(s string) string {
	b := make([]byte, 0, 3*len(s))
	for i := 0; i < len(s); i++ {
		if isAlphanumeric(s[i]) || s[i] == '-' || s[i] == '.' || s[i] == '_' {
			b = append(b, s[i])
		} else {
			b = append(b, '%', hexDigit(s[i]>>4), hexDigit(s[i]&15))
		}
	}
	return string(b)
}

// filename neutralises what a name must not do where it is shown or stored: leave
// its directory, hide its extension, or be empty. RFC 2183 2.3 and 5 warn of it.
func filename(s string) string {
	s = strings.Map(func(r rune) rune {
		// Cc and Cf hold the controls, among them those of direction; Zl and Zp are
		// line breaks to some readers. A joiner only joins.
		switch {
		case r == '/' || r == '\\' || r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp):
			return '_'
		case unicode.Is(unicode.Cf, r) && r != '\u200c' && r != '\u200d':
			return '_'
		}
		return r
	}, s)
	// Some readers decode an encoded-word even here, after all else.
	s = strings.TrimSpace(strings.ReplaceAll(s, "=?", "=_"))
	if s == "" {
		return "attachment"
	}
	if strings.Trim(s, ".") == "" {
		return strings.Repeat("_", len(s))
	}
	return s
}

// isPlainName tells whether filename= alone carries the name.
func isPlainName(s string) bool {
	return isASCII(s) && len(s) <= maxPlain
}

// fallbackName is the name for readers without RFC 2231: ASCII and not long, with
// its extension.
func fallbackName(s string) string {
	if isPlainName(s) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if r > '~' {
			return '_'
		}
		return r
	}, s)
	if len(s) <= maxFallback {
		return s
	}
	extension := path.Ext(s)
	if len(extension) > 10 {
		extension = ""
	}
	return s[:maxFallback-len(extension)] + extension
}
