package rig

import "postrider/internal/interop"

// StartPostfix starts a private Postfix with Debian's settings that relays to the sink.
// Its errors say why it cannot be had here.
func (r *Rig) StartPostfix(sink *Sink) (*interop.Server, error) {
	p, err := interop.StartPostfix(sink.SMTP)
	if err != nil {
		return nil, err
	}
	r.atEnd(p.Close)
	return p, nil
}
