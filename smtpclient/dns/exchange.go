package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	wire "github.com/miekg/dns"
)

const (
	// udpSize is what we ask servers to send at most in one datagram: no
	// fragments on any usual path. udpRead tolerates those that send more.
	udpSize = 1232
	udpRead = 4096
)

// ask puts one question to the servers in order. A server that is silent is
// asked again in a second round; one that answered with a failure is not.
func (c *Client) ask(ctx context.Context, q question) (*wire.Msg, error) {
	refused := make([]bool, len(c.servers))
	var faults []error
	for range rounds {
		for i, server := range c.servers {
			if refused[i] || ctx.Err() != nil {
				continue
			}
			m, err := c.exchange(ctx, server, q)
			if err != nil {
				faults = append(faults, fmt.Errorf("%s: %w", server, err))
				continue
			}
			refused[i] = true
			switch {
			case m.Rcode == wire.RcodeSuccess && len(m.Answer) == 0 && refers(m.Ns):
				faults = append(faults, fmt.Errorf("%s: %w", server, errReferral))
				continue
			case m.Rcode == wire.RcodeSuccess || m.Rcode == wire.RcodeNameError:
				return m, nil
			}
			faults = append(faults, fmt.Errorf("%s: %s", server, rcode(m.Rcode)))
		}
	}
	if err := ctx.Err(); err != nil && len(faults) == 0 {
		faults = append(faults, err)
	}
	return nil, errors.Join(faults...)
}

// exchange puts one question to one server: by UDP, by TCP if the answer did not
// fit (RFC 7766 5), and without EDNS0 if the server does not know it (RFC 6891 7).
func (c *Client) exchange(ctx context.Context, server string, q question) (*wire.Msg, error) {
	m, err := c.roundTrip(ctx, "udp", server, request(q, true))
	if err == nil && (m.Rcode == wire.RcodeFormatError || m.Rcode == wire.RcodeNotImplemented) {
		m, err = c.roundTrip(ctx, "udp", server, request(q, false))
	}
	if err == nil && m.Truncated {
		m, err = c.roundTrip(ctx, "tcp", server, request(q, true))
		if err == nil && m.Truncated {
			return nil, errors.New("answer is truncated over TCP")
		}
	}
	return m, err
}

func request(q question, edns bool) *wire.Msg {
	m := new(wire.Msg)
	m.SetQuestion(wire.Fqdn(q.name), q.qtype) // with a random id and RD
	if edns {
		m.SetEdns0(udpSize, false)
	}
	return m
}

// roundTrip sends one request from a port of its own and waits for the reply to
// it. Datagrams that are not that reply are ignored: they may be forged.
func (c *Client) roundTrip(ctx context.Context, network, server string, req *wire.Msg) (*wire.Msg, error) {
	deadline := time.Now().Add(c.timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	var dialer net.Dialer
	raw, err := dialer.DialContext(ctx, network, server)
	if err != nil {
		return nil, fault(err)
	}
	defer raw.Close()
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	if err := raw.SetDeadline(deadline); err != nil {
		return nil, err
	}
	conn := &wire.Conn{Conn: raw, UDPSize: udpRead}
	if err := conn.WriteMsg(req); err != nil {
		return nil, fault(err)
	}
	for {
		m, err := conn.ReadMsg()
		if m == nil && !errors.Is(err, wire.ErrShortRead) {
			return nil, fault(err)
		}
		if m != nil && answers(m, req, err) {
			if err != nil {
				return nil, errors.New("malformed answer")
			}
			return m, nil
		}
		if network == "tcp" {
			return nil, errors.New("answer to another question")
		}
	}
}

// answers reports whether m is the reply to req (RFC 5452 9.1). Of a reply that
// could not be read to its end only the header may be there.
func answers(m, req *wire.Msg, unpack error) bool {
	if m.Id != req.Id || !m.Response || m.Opcode != wire.OpcodeQuery {
		return false
	}
	if len(m.Question) != 1 {
		// A server may leave the question out of a FORMERR.
		return unpack != nil || len(m.Question) == 0 && m.Rcode == wire.RcodeFormatError
	}
	got, want := m.Question[0], req.Question[0]
	return strings.EqualFold(got.Name, want.Name) && got.Qtype == want.Qtype && got.Qclass == want.Qclass
}

// fault leaves out of a network error what changes from one try to the next.
func fault(err error) error {
	var network net.Error
	if errors.As(err, &network) && network.Timeout() || errors.Is(err, net.ErrClosed) {
		return errors.New("no answer in time")
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return fmt.Errorf("%s: %w", op.Op, op.Err)
	}
	return err
}

func rcode(code int) string {
	if name, ok := wire.RcodeToString[code]; ok {
		return name
	}
	return fmt.Sprintf("code %d", code)
}
