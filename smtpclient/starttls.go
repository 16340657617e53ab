package smtpclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// errInjected: octets came in clear behind the reply to STARTTLS. They were to be
// taken for the server's words under TLS.
var errInjected = fmt.Errorf("%w: data behind the reply to STARTTLS", ErrProtocol)

// What a handshake failed of.
var (
	errHandshake   = errors.New("handshake failed")
	errCertificate = errors.New("certificate")
)

// secure does what the host's TLS policy says once EHLO is answered.
func (a *attempt) secure(ctx context.Context, c *conn, h *Host, f footing) *Error {
	switch {
	case h.TLS == TLSImplicit:
		return nil
	case h.TLS == TLSNone:
		c.tlsReason = h.reason()
		return nil
	case f.clear != "":
		c.tlsReason = f.clear
		return nil
	case !c.ext.startTLS && h.TLS.mandatory():
		return c.tlsFailed(h, nil, errors.New("STARTTLS is not offered"))
	case !c.ext.startTLS:
		c.tlsReason = "not offered"
		return nil
	}
	r, err := c.ask(StageSTARTTLS, "STARTTLS")
	if err != nil && err.Reply != nil {
		return c.tlsFailed(h, err.Reply, nil)
	}
	if err != nil {
		return c.tlsFailed(h, nil, fmt.Errorf("STARTTLS: %w", err.Err))
	}
	if r.class() == 3 {
		return c.tlsFailed(h, nil, c.botched(StageSTARTTLS, r).Err)
	}
	if r.class() != 2 {
		return c.tlsFailed(h, &r, nil)
	}
	// RFC 3207 6: nothing received in clear may count once TLS is on.
	if !c.silent() {
		return c.tlsFailed(h, nil, c.lost(StageSTARTTLS, errInjected).Err)
	}
	if err := a.handshake(ctx, c, h, f.small); err != nil {
		return err
	}
	// RFC 3207 4.2: all that was learnt before is discarded, and EHLO comes again.
	return a.hello(c, h)
}

// handshake puts TLS on the connection. One handshake serves every policy: the
// certificate is always judged, but only some policies insist.
func (a *attempt) handshake(ctx context.Context, c *conn, h *Host, small bool) *Error {
	ctx, cancel := context.WithTimeout(ctx, c.timeouts.Handshake)
	defer cancel()
	began := time.Now()
	info := &TLSInfo{}
	_ = c.raw.SetDeadline(time.Time{}) // ctx bounds the handshake
	c.raw.patience = 0
	tc := tls.Client(c.raw, a.tlsConfig(h, info, small))
	err := tc.HandshakeContext(ctx)
	cs := tc.ConnectionState()
	if err == nil {
		info.Version, info.Cipher, info.Resumed = versionName(cs.Version), tls.CipherSuiteName(cs.CipherSuite), cs.DidResume
	} else {
		err = handshakeError(err)
	}
	c.trace.secured(c, *info, began, err)
	if err != nil {
		return c.tlsFailed(h, nil, c.lost(StageSTARTTLS, err).Err)
	}
	c.nc, c.tls, c.tlsReason = tc, info, h.reason()
	c.replies = newReplyReader(tc)
	c.spoke = time.Now()
	verified := "certificate verified"
	if !info.Verified {
		verified = "certificate not verified"
	}
	c.log.note("%s %s, %s", info.Version, info.Cipher, verified)
	return nil
}

// tlsConfig is for one handshake, whose certificate is judged into info. A small
// ClientHello fits one packet: without the key of a post-quantum exchange (1.2 KB), over
// which some servers and the boxes before them stumble.
func (a *attempt) tlsConfig(h *Host, info *TLSInfo, small bool) *tls.Config {
	cfg := a.t.o.TLSConfig.Clone()
	cfg.ServerName = h.Name
	if small {
		cfg.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384}
		cfg.ClientSessionCache = nil
	}
	cfg.InsecureSkipVerify = true // VerifyConnection does it, on a resumed session too
	cfg.VerifyPeerCertificate = nil
	cfg.DynamicRecordSizingDisabled = true // a mail is of use as a whole only: no small records that each cost a packet
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		err := verify(cfg, cs, h.Name)
		info.Verified = err == nil
		if h.TLS == TLSVerified || h.TLS == TLSImplicit {
			return err
		}
		return nil
	}
	return cfg
}

// handshakeFailed reports whether the two sides did not come to TLS, for a reason that
// is not the certificate.
func handshakeFailed(e *Error) bool {
	return e.Stage == StageSTARTTLS && errors.Is(e, errHandshake) && !errors.Is(e, errCertificate)
}

// verify judges the certificate chain for the host's name. Its errors hold nothing
// of the certificate's text, which may be huge and is the server's to choose.
func verify(cfg *tls.Config, cs tls.ConnectionState, name string) error {
	if len(cs.PeerCertificates) == 0 {
		return fmt.Errorf("%w: there is none", errCertificate)
	}
	opts := x509.VerifyOptions{Roots: cfg.RootCAs, DNSName: name, Intermediates: x509.NewCertPool()}
	if cfg.Time != nil {
		opts.CurrentTime = cfg.Time()
	}
	for _, cert := range cs.PeerCertificates[1:] {
		opts.Intermediates.AddCert(cert)
	}
	_, err := cs.PeerCertificates[0].Verify(opts)
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(x509.HostnameError)):
		return fmt.Errorf("%w is not valid for %s", errCertificate, name)
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return fmt.Errorf("%w is signed by an unknown authority", errCertificate)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("%w has expired or is not yet valid", errCertificate)
	}
	return fmt.Errorf("%w is not valid", errCertificate)
}

// handshakeError bounds what a failed handshake says, and keeps what it is.
func handshakeError(err error) error {
	switch {
	case errors.Is(err, errCertificate):
		return fmt.Errorf("%w: %w", errHandshake, err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", errHandshake, context.DeadlineExceeded)
	}
	return fmt.Errorf("%w: %s", errHandshake, printable(err.Error(), 200))
}

func versionName(v uint16) string {
	switch v {
	case tls.VersionTLS10:
		return "TLS1.0"
	case tls.VersionTLS11:
		return "TLS1.1"
	case tls.VersionTLS12:
		return "TLS1.2"
	case tls.VersionTLS13:
		return "TLS1.3"
	}
	return fmt.Sprintf("TLS 0x%04x", v)
}

// reason is why the host has its policy.
func (h *Host) reason() string {
	if h.Reason != "" {
		return h.Reason
	}
	return h.TLS.String()
}

// clearReason says why an opportunistic connection may be tried again in clear
// text, on a new connection; empty if it may not. Whoever injects data gets nothing.
func clearReason(h *Host, e *Error) string {
	switch {
	case h.TLS != TLSOpportunistic || e.Stage != StageSTARTTLS || errors.Is(e, errInjected):
		return ""
	case e.Reply == nil:
		return printable(e.Err.Error(), 300)
	case e.Reply.Code == 421:
		return ""
	}
	return fmt.Sprintf("STARTTLS refused: %d", e.Reply.Code)
}
