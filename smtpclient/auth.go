package smtpclient

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// authenticate proves who we are, by PLAIN or else LOGIN. Every failure is
// temporary: it is about our account, not about the mail.
func (c *conn) authenticate(a *Auth) *Error {
	if !c.key.addr.Addr().Unmap().IsLoopback() && (c.tls == nil || !c.tls.Verified) {
		return c.fault(StageAUTH, fmt.Errorf("%w: no credentials without a verified certificate", ErrTLSRequired))
	}
	// RFC 4616 2: NUL separates the parts, so it cannot be in one.
	if strings.ContainsRune(a.Username, 0) || strings.ContainsRune(a.Password, 0) {
		return c.fault(StageAUTH, errors.New("credentials hold a NUL"))
	}
	user, password := encode(a.Username), encode(a.Password)
	plain := encode("\x00" + a.Username + "\x00" + a.Password)
	for _, secret := range []string{plain, password, a.Password} {
		if secret != "" {
			c.secrets = append(c.secrets, secret)
		}
	}
	switch {
	case slices.Contains(c.ext.auth, "PLAIN") && len("AUTH PLAIN ")+len(plain)+2 > 512:
		return c.exchange("AUTH PLAIN", "", plain) // RFC 4954 4: too long to go with the command
	case slices.Contains(c.ext.auth, "PLAIN"):
		return c.exchange("AUTH PLAIN "+plain, "AUTH PLAIN [redacted]")
	case slices.Contains(c.ext.auth, "LOGIN"):
		return c.exchange("AUTH LOGIN", "", user, password)
	}
	return c.fault(StageAUTH, errors.New("server offers neither AUTH PLAIN nor AUTH LOGIN"))
}

// exchange sends the AUTH command and then, for each 334, the next answer.
func (c *conn) exchange(line, shown string, answers ...string) *Error {
	for {
		if err := c.queue(StageAUTH, line, shown); err != nil {
			return err
		}
		if err := c.flush(StageAUTH); err != nil {
			return err
		}
		r, err := c.reply(StageAUTH)
		switch {
		case err != nil:
			return err
		case r.class() == 2 && len(answers) == 0:
			return nil
		case r.class() == 3 && len(answers) > 0:
			line, shown, answers = answers[0], "[redacted]", answers[1:]
		case r.class() == 2 || r.class() == 3:
			return c.botched(StageAUTH, r)
		default:
			e := c.refused(StageAUTH, r)
			e.Temporary = true
			return e
		}
	}
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
