package interop_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"postrider/internal/interop"
	"postrider/smtpclient"
	"postrider/smtpclient/mx"
	"postrider/smtpclient/smtptest"
)

// site is a mail server and the sink that it relays to.
type site struct {
	*interop.Server
	t    *testing.T
	sink *smtptest.Server
}

func sites() map[string]func(relay string) (*interop.Server, error) {
	return map[string]func(string) (*interop.Server, error){
		"Postfix": interop.StartPostfix, "Exim": interop.StartExim, "aiosmtpd": interop.StartAiosmtpd,
	}
}

func newSite(t *testing.T, start func(relay string) (*interop.Server, error)) *site {
	t.Helper()
	sink := smtptest.New(t, smtptest.Options{Keywords: []string{"SMTPUTF8"}})
	server, err := start(sink.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return &site{Server: server, t: t, sink: sink}
}

// await gives what came to the sink once that is complete.
func (s *site) await(complete func(arrived []smtptest.Mail) bool) []smtptest.Mail {
	s.t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		arrived := s.sink.Mails()
		if complete(arrived) {
			return arrived
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: %d mails arrived, and not all of them within five minutes:\n%s", s.Name, len(arrived), s.Log())
		}
	}
}

// TestComposedMails sends 2,000 mails of many shapes through each server, a tenth of them
// internationalized: all are accepted, and behind the server's own trace fields they
// arrive octet by octet.
func TestComposedMails(t *testing.T) {
	list := mails(t, 2000)
	byRule := 0
	for _, m := range list {
		if !isASCII(m.from + strings.Join(m.to, "") + string(m.raw)) {
			byRule++
		}
	}
	if byRule != len(list)/10 {
		t.Fatalf("%d of %d mails are internationalized", byRule, len(list))
	}
	for name, start := range sites() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, start)
			began := time.Now()
			s.sendAll(list)
			accepted := time.Since(began)
			byID := make(map[string]mail)
			total := 0
			for _, m := range list {
				byID[m.id] = m
				total += len(m.to)
			}
			arrived := s.await(func(arrived []smtptest.Mail) bool {
				n := 0
				for _, m := range arrived {
					n += len(m.To)
				}
				return n >= total
			})
			t.Logf("accepted in %v, arrived in %v", accepted.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
			got := make(map[string][]string)
			for _, a := range arrived {
				id := checkMail(t, byID, a)
				got[id] = append(got[id], a.To...)
				if from := byID[id].from; a.From != from {
					t.Errorf("%s came from %q, want %q", id, a.From, from)
				}
			}
			for _, m := range list {
				if want := mailboxes(m.to); !slices.Equal(mailboxes(got[m.id]), want) {
					t.Errorf("%s went to %q, want %q", m.id, got[m.id], want)
				}
			}
		})
	}
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}

// mailboxes sorts addresses without their quotes, which are not part of a mailbox: aiosmtpd
// leaves out those that it can do without.
func mailboxes(addresses []string) []string {
	var list []string
	for _, a := range addresses {
		list = append(list, strings.NewReplacer(`"`, "", `\\`, `\`, `\`, "").Replace(a))
	}
	slices.Sort(list)
	return list
}

// sendAll sends the mails over a few connections.
func (s *site) sendAll(list []mail) {
	tr := smtpclient.NewTransport(smtpclient.Options{Hostname: "client.test", MaxIdle: time.Minute})
	defer tr.Close()
	plan := mx.Fixed(s.Name+".test", netip.MustParseAddrPort(s.Addr))
	next := make(chan mail)
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			for m := range next {
				res := tr.Send(s.t.Context(), plan, &smtpclient.Mail{From: m.from, To: m.to, Data: m.raw})
				for i, r := range res.Recipients {
					if r.Err != nil {
						s.t.Errorf("%s to %s: %v\n%v", m.id, m.to[i], r.Err, res.Transcript)
					}
				}
			}
		})
	}
	for _, m := range list {
		next <- m
	}
	close(next)
	group.Wait()
}

// checkMail compares what arrived with what was composed, and gives its id.
func checkMail(t *testing.T, sent map[string]mail, a smtptest.Mail) string {
	t.Helper()
	id := messageID(a.Data)
	m, ok := sent[id]
	if !ok {
		t.Errorf("nobody sent %q:\n%.2000q", id, a.Data)
		return id
	}
	trace, ok := bytes.CutSuffix(a.Data, m.raw)
	if !ok {
		t.Errorf("%s was changed:\nsent    %.3000q\narrived %.3000q", id, m.raw, a.Data)
	}
	if !regexp.MustCompile(`^(Received: [^\r\n]*\r\n([ \t][^\r\n]*\r\n)*)*$`).Match(trace) {
		t.Errorf("%s arrived with more than trace fields before it: %q", id, trace)
	}
	return id
}

func messageID(raw []byte) string {
	match := regexp.MustCompile(`(?mi)^Message-ID:\s+<(msg_[^@]+)@`).FindSubmatch(raw)
	if match == nil {
		return fmt.Sprintf("none of %d octets", len(raw))
	}
	return string(match[1])
}
