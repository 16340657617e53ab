package smtpclient

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"strings"
	"time"
)

// maxTLSSessions is how many hosts are remembered for a short handshake. A session holds
// the host's certificates, which may be huge.
const maxTLSSessions = 128

// Options configure a Transport. Zero members take the defaults given beside them.
type Options struct {
	// Hostname is the EHLO name: the FQDN of the sending address. Empty: an address literal of the local address.
	Hostname        string
	Timeouts        Timeouts
	AllowedNetworks []netip.Prefix // loopback, private and other special networks that MX hosts may have; none
	TLSConfig       *tls.Config    // base (roots, versions); ServerName and verification are set per host
	MaxIdle         time.Duration  // how long a connection is kept between transactions: 2 s. Negative: not at all
	MaxTransactions int            // per connection: 100
	MaxRecipients   int            // per transaction: 100; more are sent in several
	MaxAddresses    int            // dialled per Send: 5; those to which there is no way from here, or that never take such mail, do not count
	MaxGreeted      int            // of those that count, that greeted with 2xx: 2
	// Dial replaces the dialler in tests. The address guard still applies before it.
	Dial  func(ctx context.Context, network, addr string) (net.Conn, error)
	Trace *Trace           // hooks; nil: none
	Now   func() time.Time // for the times in results; deadlines always use the real clock
}

// Timeouts bound the wait for one command, from sending it to the end of its
// reply, however slowly octets trickle in. The defaults are those of RFC 5321
// 4.5.3.2 where it names one.
type Timeouts struct {
	Connect   time.Duration // 30 s
	FallOver  time.Duration // 3 s: instead of Connect, while an address of the host's other IP family is still to be tried
	Greeting  time.Duration // 5 min
	EHLO      time.Duration // 5 min
	STARTTLS  time.Duration // 5 min
	Handshake time.Duration // 1 min: machines do it alone, and what swallows a ClientHello is met by a smaller one
	AUTH      time.Duration // 5 min
	MAIL      time.Duration // 5 min
	RCPT      time.Duration // 5 min
	DATA      time.Duration // 2 min
	Block     time.Duration // 3 min for each block of the body; the body as a whole must also move at 500 octets/s
	Dot       time.Duration // 10 min
	RSET      time.Duration // 20 s: it probes a kept connection, and a new one is soon made
	QUIT      time.Duration // 5 s
	Session   time.Duration // 30 min: the whole Send, all addresses
}

func (t Timeouts) withDefaults() Timeouts {
	return Timeouts{
		Connect:   cmp.Or(t.Connect, 30*time.Second),
		FallOver:  cmp.Or(t.FallOver, 3*time.Second),
		Greeting:  cmp.Or(t.Greeting, 5*time.Minute),
		EHLO:      cmp.Or(t.EHLO, 5*time.Minute),
		STARTTLS:  cmp.Or(t.STARTTLS, 5*time.Minute),
		Handshake: cmp.Or(t.Handshake, time.Minute),
		AUTH:      cmp.Or(t.AUTH, 5*time.Minute),
		MAIL:      cmp.Or(t.MAIL, 5*time.Minute),
		RCPT:      cmp.Or(t.RCPT, 5*time.Minute),
		DATA:      cmp.Or(t.DATA, 2*time.Minute),
		Block:     cmp.Or(t.Block, 3*time.Minute),
		Dot:       cmp.Or(t.Dot, 10*time.Minute),
		RSET:      cmp.Or(t.RSET, 20*time.Second),
		QUIT:      cmp.Or(t.QUIT, 5*time.Second),
		Session:   cmp.Or(t.Session, 30*time.Minute),
	}
}

// of gives the time for the reply of one stage.
func (t *Timeouts) of(s Stage) time.Duration {
	switch s {
	case StageGreeting:
		return t.Greeting
	case StageEHLO:
		return t.EHLO
	case StageSTARTTLS:
		return t.STARTTLS
	case StageAUTH:
		return t.AUTH
	case StageRSET:
		return t.RSET
	case StageMAIL:
		return t.MAIL
	case StageRCPT:
		return t.RCPT
	case StageDATA:
		return t.DATA
	case StageDot:
		return t.Dot
	}
	return t.Block
}

func (o Options) withDefaults() Options {
	o.Hostname = strings.TrimSuffix(o.Hostname, ".")
	o.Timeouts = o.Timeouts.withDefaults()
	o.MaxIdle = cmp.Or(o.MaxIdle, 2*time.Second)
	o.MaxTransactions = cmp.Or(o.MaxTransactions, 100)
	o.MaxRecipients = cmp.Or(o.MaxRecipients, 100)
	o.MaxAddresses = cmp.Or(o.MaxAddresses, 5)
	o.MaxGreeted = cmp.Or(o.MaxGreeted, 2)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.TLSConfig == nil {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if o.TLSConfig.ClientSessionCache == nil {
		o.TLSConfig = o.TLSConfig.Clone()
		o.TLSConfig.ClientSessionCache = tls.NewLRUClientSessionCache(maxTLSSessions)
	}
	return o
}
