package interop

import (
	_ "embed"
	"fmt"
	"os"
)

//go:embed relay.py
var relayScript string

// python is Debian's own, which knows Debian's packages.
const python = "/usr/bin/python3"

// StartAiosmtpd starts an aiosmtpd that relays to an address.
func StartAiosmtpd(relay string) (*Server, error) {
	s, err := newServer("aiosmtpd")
	if err == nil {
		if _, err = os.Stat(python); err == nil {
			if err = s.run(nil, python, "-c", relayScript, s.Addr, relay); err == nil {
				return s, nil
			}
		}
		s.Close()
	}
	return nil, fmt.Errorf("start aiosmtpd (tools/test-tools.sh brings it): %w", err)
}
