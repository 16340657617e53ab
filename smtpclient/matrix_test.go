//go:build unix

package smtpclient_test

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/smtpclient"
	"postrider/smtpclient/smtptest"
)

// expectation is a line of testdata/faults.txt: what comes of one fault at one state.
type expectation struct {
	state, fault string
	pipelining   bool
	a, b         string // outcomes
	saw          string // the server, on the connection of the fault
	kept         bool   // the next Send goes on with the connection
}

func (e expectation) name() string {
	return fmt.Sprintf("%s/%s/pipelining=%v", e.state, e.fault, e.pipelining)
}

func expectations(t *testing.T) []expectation {
	t.Helper()
	file, err := os.Open("testdata/faults.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var list []expectation
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if lines.Text() == "" || strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		f := strings.Split(lines.Text(), "|")
		if len(f) != 7 {
			t.Fatalf("not seven fields: %s", lines.Text())
		}
		for i := range f {
			f[i] = strings.TrimSpace(f[i])
		}
		if f[4] == "=" {
			f[4] = f[3]
		}
		e := expectation{f[0], f[1], true, f[3], f[4], strings.TrimPrefix(f[5], "-"), f[6] == "kept"}
		if f[2] != "one by one" {
			list = append(list, e)
		}
		if e.pipelining = false; f[2] != "together" {
			list = append(list, e)
		}
	}
	return list
}

// TestFaultMatrix lets a server misbehave in every way at every state of the dialogue.
// What is to come of it is said line by line in testdata/faults.txt.
func TestFaultMatrix(t *testing.T) {
	t.Parallel()
	for _, e := range expectations(t) {
		t.Run(e.name(), func(t *testing.T) {
			t.Parallel()
			newScene(t, e).play()
		})
	}
}

// scene is one case: a server with one fault, and a client that sends to it.
type scene struct {
	*testing.T
	want  expectation
	fault fault
	srv   *smtptest.Server
	tr    *smtpclient.Transport
	clock *hurry

	mu    sync.Mutex
	uses  int // of the fault's stage
	where int // the session of its first use, when it is the fault's turn
}

func newScene(t *testing.T, e expectation) *scene {
	s := &scene{T: t, want: e, fault: faultAt(e.state, e.fault), where: -1}
	s.srv = smtptest.New(t, smtptest.Options{
		NoPipelining: !e.pipelining, NoEHLO: e.state == "HELO", STARTTLS: s.secure(),
		Users: map[string]string{"u": "p"}, Handle: s.handle,
	})
	s.clock = &hurry{stalls: e.fault == "stall"}
	s.tr = newTransport(t, func(o *smtpclient.Options) {
		o.Dial = s.clock.dial
		if e.state == "QUIT" {
			o.MaxTransactions = 1
		}
		if e.state == "BODY" && s.fault.action.Endless {
			o.Timeouts.Block = blockTime // neither side reads any more
		}
	})
	return s
}

// secure reports whether the case is under TLS.
func (s *scene) secure() bool {
	return strings.HasSuffix(s.want.state, "TLS") || s.want.state == "HANDSHAKE"
}

// handle commits the fault when its turn has come.
func (s *scene) handle(c smtptest.Command) smtptest.Action {
	if c.Stage != s.fault.stage || s.fault.path != "" && c.Path != s.fault.path {
		return smtptest.Pass()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	turn := s.uses - s.fault.skip
	s.uses++
	if turn < 0 || turn >= s.fault.times {
		return smtptest.Pass()
	}
	if s.where < 0 {
		s.where = c.Session
	}
	return s.fault.action
}

func (s *scene) plan() smtpclient.Plan {
	p := planFor(s.srv)
	if s.secure() {
		p.Hosts[0].TLS = smtpclient.TLSRequired
	}
	if s.want.state == "AUTH" {
		p.Hosts[0].Auth = &smtpclient.Auth{Username: "u", Password: "p"}
	}
	return p
}

func (s *scene) play() {
	s.clock.watch(s.T, s.srv)
	if s.want.state == "RSET" {
		wantFates(s.T, send(s.tr, s.plan(), mailTo("before@b.test")), "250")
	}
	m := mailTo("a@b.test", "b@b.test")
	if s.want.state == "BODY" {
		m.Data = []byte(strings.Repeat(strings.Repeat("x", 76)+"\r\n", 20_000)) // more than the socket buffers hold
	}
	res := send(s.tr, s.plan(), m)
	got := fates(res)
	if !allows(s.want.a, got[0]) || !allows(s.want.b, got[1]) {
		s.Errorf("outcomes %q, want %q and %q\n%s", got, s.want.a, s.want.b, dialogue(res))
	}
	s.wait(s.committed) // QUIT is said when Send has returned
	next := send(s.tr, s.plan(), mailTo("next@b.test"))
	wantFates(s.T, next, "250")
	if next.Reused != s.want.kept {
		s.Errorf("the next mail went on a kept connection: %v, want %v\n%s", next.Reused, s.want.kept, dialogue(res))
	}
	_ = s.tr.Close()
	s.wait(func() bool { return s.srv.Open() == 0 }) // the server reads to the end
	s.wantSeen()
	wantManners(s.T, s.srv)
}

// committed reports whether the fault had its first turn.
func (s *scene) committed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.where >= 0
}

func (s *scene) wait(done func() bool) {
	s.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			s.Fatal("waited in vain")
		}
	}
}

// wantSeen compares what reached the server with what was to.
func (s *scene) wantSeen() {
	s.Helper()
	var saw []string
	for _, c := range s.srv.Sessions()[max(s.where, 0)].Commands {
		verb, _, _ := strings.Cut(c, " ")
		saw = append(saw, verb)
	}
	dots := 0
	for _, m := range s.srv.Mails() {
		if m.To[0] == "a@b.test" || m.To[0] == "b@b.test" {
			dots++
		}
	}
	want, dot := strings.CutSuffix(strings.Replace(s.want.saw, " . QUIT", " QUIT .", 1), " .")
	if s.want.kept && s.want.state != "RSET" {
		want += " RSET MAIL RCPT DATA QUIT"
	}
	if s.want.state == "RSET" {
		dot = true // on the next connection
	}
	if got := strings.Join(saw, " "); got != want {
		s.Errorf("the server saw %q, want %q", got, want)
	}
	if dot != (dots == 1) || dots > 1 {
		s.Errorf("%d ends of data arrived, want one: %v", dots, dot)
	}
}

// allows reports whether an outcome is the one that is wanted, or one of those at the
// stages wanted, as in "temporary mail/rcpt -".
func allows(want, got string) bool {
	w, g := strings.Fields(want), strings.Fields(got)
	if len(w) != 3 || len(g) != 3 {
		return want == got
	}
	for _, stage := range strings.Split(w[1], "/") {
		if stage == g[1] {
			return w[0] == g[0] && w[2] == g[2]
		}
	}
	return false
}

func TestFaultMatrixIsWhole(t *testing.T) {
	seen := make(map[string]bool)
	for _, e := range expectations(t) {
		if seen[e.name()] {
			t.Errorf("%s is there twice", e.name())
		}
		seen[e.name()] = true
	}
	for _, state := range []string{"GREETING", "EHLO", "HELO", "STARTTLS", "HANDSHAKE", "EHLO under TLS", "AUTH", "MAIL", "RCPT a", "RCPT b", "DATA", "BODY", "DOT", "RSET", "QUIT"} {
		for _, fault := range faultNames() {
			for _, pipelining := range []bool{true, false} {
				e := expectation{state: state, fault: fault, pipelining: pipelining}
				// Nothing comes before a greeting, and smtptest says nothing right behind a handshake.
				if !seen[e.name()] && (fault != "early reply" || state != "GREETING" && state != "EHLO under TLS") {
					t.Errorf("%s is missing", e.name())
				}
			}
		}
	}
}
