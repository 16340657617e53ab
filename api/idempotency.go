package api

import "strings"

const idempotencyHeader = "Idempotency-Key"

// maxIdempotencyKey is the longest key, in octets.
const maxIdempotencyKey = 255

// idempotencyKey reads the header: empty if it was not sent. A value in double quotes is
// a string of RFC 8941 3.3.3, any other stands for itself. Errors: *problem.
func (c *call) idempotencyKey() (string, error) {
	values := c.Request.Header.Values(idempotencyHeader)
	if len(values) == 0 {
		return "", nil
	}
	if len(values) == 1 {
		if key, ok := parseIdempotencyKey(values[0]); ok {
			return key, nil
		}
	}
	return "", &problem{
		code: invalidIdempotencyKey, header: idempotencyHeader,
		detail: "Idempotency-Key must be sent once: 1 to 255 characters of visible ASCII, spaces only inside.",
	}
}

// parseIdempotencyKey reads one value of the header.
func parseIdempotencyKey(value string) (key string, ok bool) {
	key = value
	if strings.HasPrefix(value, `"`) {
		if key, ok = unquote(value); !ok {
			return "", false
		}
	}
	return key, validIdempotencyKey(key)
}

func validIdempotencyKey(key string) bool {
	if key == "" || len(key) > maxIdempotencyKey || strings.Trim(key, " ") != key {
		return false
	}
	for i := range len(key) {
		if key[i] < ' ' || key[i] > '~' {
			return false
		}
	}
	return true
}

// unquote reads a string of RFC 8941 3.3.3 and nothing after it.
func unquote(value string) (string, bool) {
	var b strings.Builder
	for i := 1; i < len(value); i++ {
		switch value[i] {
		case '"':
			return b.String(), i == len(value)-1
		case '\\':
			i++
			if i == len(value) || value[i] != '"' && value[i] != '\\' {
				return "", false
			}
		}
		b.WriteByte(value[i])
	}
	return "", false
}
