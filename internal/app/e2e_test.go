package app_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postrider/internal/compose"
	"postrider/internal/email"
	"postrider/internal/redistest"
	"postrider/smtpclient/dns"
	"postrider/smtpclient/smtptest"
)

// fate is what must become of the mail to one domain.
type fate struct {
	domain   string
	messages int
	to       []string       // local parts; %d is the message's number
	status   []email.Status // of each recipient
	reason   string
	code     int  // of the first recipient's last reply; 0: none
	attempts int  // of the first recipient, at least
	unknown  bool // an attempt is listed with an unknown outcome, and the mail may come twice
}

func fates() []fate {
	one := []string{"user%d"}
	return []fate{
		{domain: "plain.test", messages: 500, to: one, status: []email.Status{email.Delivered}, code: 250, attempts: 1},
		{domain: "grey.test", messages: 100, to: one, status: []email.Status{email.Delivered}, code: 250, attempts: 2},
		{domain: "nobody.test", messages: 100, to: one, status: []email.Status{email.Bounced}, code: 550, attempts: 1},
		{
			domain: "three.test", messages: 60, to: []string{"a%d", "gone%d", "c%d"},
			status: []email.Status{email.Delivered, email.Bounced, email.Delivered}, code: 250, attempts: 1,
		},
		{domain: "leaves.test", messages: 60, to: one, status: []email.Status{email.Delivered}, code: 250, attempts: 2},
		{domain: "dead.test", messages: 60, to: one, status: []email.Status{email.Delivered}, code: 250, attempts: 1},
		{domain: "null.test", messages: 40, to: one, status: []email.Status{email.Failed}, reason: email.ReasonNoRoute},
		{domain: "missing.test", messages: 20, to: one, status: []email.Status{email.Failed}, reason: email.ReasonNoRoute},
		{domain: "flaky.test", messages: 30, to: one, status: []email.Status{email.Delivered}, code: 250},
		{domain: "reset.test", messages: 30, to: one, status: []email.Status{email.Delivered}, code: 250, attempts: 2, unknown: true},
	}
}

// buildInternet makes the hosts and records that the fates speak of.
func buildInternet(t *testing.T) *internet {
	net := newInternet(t)
	net.mx("mx.plain.test", smtptest.Options{STARTTLS: true})
	net.mx("mx.grey.test", smtptest.Options{Handle: firstTime("RCPT", smtptest.Reply("450 4.2.0 greylisted, try again"))})
	net.mx("mx.nobody.test", smtptest.Options{NoPipelining: true, Script: smtptest.Script{"RCPT": {smtptest.Reply("550 5.1.1 no such user")}}})
	net.mx("mx.three.test", smtptest.Options{Handle: refuse("gone")})
	net.mx("mx.leaves.test", smtptest.Options{Handle: firstTime("RCPT", smtptest.ReplyClose("421 4.3.2 shutting down"))})
	net.mx("mx2.dead.test", smtptest.Options{NoEHLO: true})
	net.mx("mx.flaky.test", smtptest.Options{})
	net.mx("mx.reset.test", smtptest.Options{Handle: firstTime("DOT", smtptest.Reset())})
	for _, d := range []string{"plain.test", "grey.test", "nobody.test", "three.test", "leaves.test", "reset.test"} {
		net.domain(d, "mx."+d)
	}
	net.zone.Set("mx1.dead.test", dns.Name{A: []string{"127.0.9.9"}}) // nobody listens there
	net.domain("dead.test", "mx1.dead.test", "mx2.dead.test")
	net.zone.Set("null.test", dns.Name{MX: []dns.MX{{Host: "."}}})
	net.zone.Set("flaky.test", dns.Name{
		MX: []dns.MX{{Host: "mx.flaky.test", Pref: 10}}, Fault: dns.Fault{ServFail: 3},
	})
	return net
}

// firstTime does something the first time that a stage comes for a recipient.
func firstTime(stage string, what smtptest.Action) func(smtptest.Command) smtptest.Action {
	var mu sync.Mutex
	seen := make(map[string]bool)
	return func(c smtptest.Command) smtptest.Action {
		if c.Stage != stage {
			return smtptest.Pass()
		}
		who := c.Path
		if who == "" {
			who = strings.Join(c.To, " ")
		}
		mu.Lock()
		defer mu.Unlock()
		if seen[who] {
			return smtptest.Pass()
		}
		seen[who] = true
		return what
	}
}

func refuse(prefix string) func(smtptest.Command) smtptest.Action {
	return func(c smtptest.Command) smtptest.Action {
		if c.Stage == "RCPT" && strings.HasPrefix(c.Path, prefix) {
			return smtptest.Reply("550 5.1.1 user unknown")
		}
		return smtptest.Pass()
	}
}

// request is the n-th of many different mails.
func request(f fate, n int) map[string]any {
	to := make([]string, len(f.to))
	for i, local := range f.to {
		to[i] = fmt.Sprintf(local, n) + "@" + f.domain
	}
	r := map[string]any{
		"from": map[string]string{"email": "hi@acme.test", "name": "Añejo \"& Söhne\" 👋"},
		"to":   to, "subject": fmt.Sprintf("Receipt %d für Zoë: %s", n, strings.Repeat("long ", n%30)),
		"text": fmt.Sprintf(".leading dot %d\n..two\n%s\nTrailing \nFrom here", n, strings.Repeat("x", n%3000)),
		"tags": []string{"e2e", f.domain}, "metadata": map[string]string{"n": fmt.Sprint(n)},
	}
	if n%2 == 0 {
		r["html"] = fmt.Sprintf("<h1>Zoë %d</h1><img src=\"cid:logo\"><p>%s</p>", n, strings.Repeat("é ", n%500))
	}
	if n%3 == 0 {
		attachments := []map[string]string{{
			"filename": "Rechnung №7.bin", "content": base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0, '\r', '.', '\n', 255}, n)),
		}}
		if n%2 == 0 {
			attachments = append(attachments, map[string]string{
				"filename": "logo.png", "content": "iVBORw0KGgo=", "content_id": "logo",
			})
		}
		r["attachments"] = attachments
	}
	return r
}

// TestEndToEnd sends a thousand messages through the whole service to MX hosts
// that behave in every way, on a real redis-server.
func TestEndToEnd(t *testing.T) { endToEnd(t, redistest.Server(t), false, 1) }

// TestEndToEndInProcess is the same at a tenth of the size, on the Redis of dev.
func TestEndToEndInProcess(t *testing.T) { endToEnd(t, redistest.InProcess(t), true, 10) }

func endToEnd(t *testing.T, redisURL string, inProcess bool, part int) {
	net := buildInternet(t)
	s := startService(t, redisURL, inProcess, net)
	keys := s.verifyDomain("acme.test", net)

	type sent struct {
		fate fate
		id   string
	}
	var all []sent
	for _, f := range fates() {
		for range f.messages / part {
			all = append(all, sent{fate: f})
		}
	}
	each(len(all), func(i int) {
		var answer struct{ ID string }
		s.call("POST", "/messages", request(all[i].fate, i), &answer)
		all[i].id = answer.ID
	})
	if t.Failed() {
		t.FailNow()
	}
	for _, one := range all {
		s.await(one.id)
	}
	for _, one := range all {
		s.checkFate(one.fate, one.id)
	}

	mails := collect(net)
	ids := make(map[string]fate)
	for _, one := range all {
		ids[one.id] = one.fate
	}
	checkOnce(t, ids, mails)
	s.checkBytes(mails)
	verifySignatures(t, mails, keys)
	for _, server := range net.mxs {
		if list := server.Violations(); len(list) > 0 {
			t.Errorf("manners: %q", list[:min(len(list), 5)])
		}
	}
}

// await waits until every recipient of a message is final.
func (s *service) await(id string) {
	s.t.Helper()
	deadline := time.Now().Add(3 * time.Minute)
	for {
		m, err := s.Store.Messages.Get(s.t.Context(), email.Live, id)
		if err != nil {
			s.t.Fatal(err)
		}
		if !m.CompletedAt.IsZero() {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s is still %s: %+v %+v", id, m.Status(), m.Recipients, m.Envelopes)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (s *service) checkFate(f fate, id string) {
	s.t.Helper()
	m, err := s.Store.Messages.Get(s.t.Context(), email.Live, id)
	if err != nil {
		s.t.Fatal(err)
	}
	for i, want := range f.status {
		if got := m.Recipients[i].State.Status; got != want {
			s.t.Errorf("%s: recipient %d of %s is %s, want %s", f.domain, i, id, got, want)
		}
	}
	first, code := m.Recipients[0].State, 0
	if first.LastReply != nil {
		code = first.LastReply.Code
	}
	if first.Reason != f.reason || code != f.code || first.Attempts < f.attempts {
		s.t.Errorf("%s: reason %q, code %d, %d attempts; want %q, %d, at least %d", f.domain, first.Reason, code, first.Attempts, f.reason, f.code, f.attempts)
	}
	if unknown := first.Unknowns > 0; unknown != f.unknown {
		s.t.Errorf("%s: unknown outcome %v, want %v", f.domain, unknown, f.unknown)
	}
	s.checkEvents(m)
}

// checkEvents sees that each recipient's events count up without a gap and end
// in its state.
func (s *service) checkEvents(m *email.Message) {
	s.t.Helper()
	events, _, err := s.Store.Messages.Events(s.t.Context(), m.World, m.ID, 0, 1000)
	if err != nil {
		s.t.Fatal(err)
	}
	seq, last := make([]int, len(m.Recipients)), make([]email.Status, len(m.Recipients))
	for _, e := range events {
		if seq[e.Recipient]++; e.Seq != seq[e.Recipient] || e.Previous != last[e.Recipient] {
			s.t.Errorf("%s: event %+v after %d events in state %q", m.ID, e, seq[e.Recipient]-1, last[e.Recipient])
		}
		last[e.Recipient] = e.Status
	}
	for i, r := range m.Recipients {
		if r.State.Status != last[i] || r.State.Seq != seq[i] {
			s.t.Errorf("%s: recipient %d is %s at %d, its events end %s at %d", m.ID, i, r.State.Status, r.State.Seq, last[i], seq[i])
		}
	}
}

// collect gathers what the MX hosts took, by our message id.
func collect(net *internet) map[string][]smtptest.Mail {
	mails := make(map[string][]smtptest.Mail)
	for _, server := range net.mxs {
		for _, m := range server.Mails() {
			_, rest, _ := bytes.Cut(m.Data, []byte("Message-ID: <"))
			id, _, _ := bytes.Cut(rest, []byte("@"))
			mails[string(id)] = append(mails[string(id)], m)
		}
	}
	return mails
}

// checkOnce counts the copies of each mail: one, none if nobody was to get it,
// and two for an outcome listed as unknown, the second with the same bytes.
func checkOnce(t *testing.T, ids map[string]fate, mails map[string][]smtptest.Mail) {
	t.Helper()
	for id, f := range ids {
		want := 0
		for _, status := range f.status {
			if status == email.Delivered {
				want = 1
			}
		}
		copies := mails[id]
		if f.unknown {
			want = 2
			if len(copies) == 2 && !bytes.Equal(copies[0].Data, copies[1].Data) {
				t.Errorf("%s: the retry of %s has other bytes", f.domain, id)
			}
		}
		if len(copies) != want {
			t.Errorf("%s: %s came %d times, want %d", f.domain, id, len(copies), want)
		}
	}
	for id := range mails {
		if _, ok := ids[id]; !ok {
			t.Errorf("a mail came that nobody sent: %q", id)
		}
	}
}

// checkBytes compares what came, behind its signatures, with what is composed
// from the store.
func (s *service) checkBytes(mails map[string][]smtptest.Mail) {
	s.t.Helper()
	for id, copies := range mails {
		m, err := s.Store.Messages.Get(s.t.Context(), email.Live, id)
		if err != nil {
			s.t.Fatal(err)
		}
		content, err := s.Store.Messages.Content(s.t.Context(), email.Live, id)
		if err != nil || content == nil {
			s.t.Fatalf("content of %s: %v", id, err)
		}
		composed, err := compose.Message(m, content)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, c := range copies {
			signatures, ok := bytes.CutSuffix(c.Data, composed)
			if !ok || !bytes.HasPrefix(signatures, []byte("DKIM-Signature:")) {
				s.t.Errorf("%s came otherwise than composed (-composed +came):\n%s", id, cmp.Diff(string(composed), string(c.Data)))
				return
			}
			if !strings.HasPrefix(c.From, "b-") || len(c.From) != 49+len("@bounces.acme.test") {
				s.t.Errorf("%s: reverse-path %q", id, c.From)
			}
		}
	}
}

// verifySignatures has another implementation verify what came.
func verifySignatures(t *testing.T, mails map[string][]smtptest.Mail, keys map[string]string) {
	t.Helper()
	if len(keys) != 2 {
		t.Fatalf("%d DKIM records, want an RSA and an Ed25519 one", len(keys))
	}
	dir, count := t.TempDir(), 0
	for id, copies := range mails {
		for n, c := range copies {
			count++
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s.%d.eml", id, n)), c.Data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	records, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "keys.json"), records, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("/usr/bin/python3", "testdata/verify_dkim.py", dir, "2", filepath.Join(dir, "keys.json")).CombinedOutput()
	if got := strings.TrimSpace(string(out)); err != nil || got != fmt.Sprint(2*count) {
		t.Errorf("python3-dkim verified %s of %d signatures: %v", got, 2*count, err)
	}
}
