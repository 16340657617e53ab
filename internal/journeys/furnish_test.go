package journeys

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"postrider/internal/app"
	"postrider/internal/email"
	"postrider/internal/signin"
	"postrider/internal/starters"
	"postrider/internal/store"
	"postrider/smtpclient/dns"
	"postrider/smtpclient/smtptest"
)

// furnished is a house in which everything has happened that a page can show, and the
// paths of its pages.
type furnished struct {
	*house
	net *dns.Zone

	Bounced, Deferred, Delivered, Scheduled, Held, Caught string // messages
	Failing, Healthy                                      string // webhooks
	Delivery                                              string // a path
	Template                                              string // one with a draft
}

// openFurnished starts one whose mail goes to mail servers as DNS names them.
func openFurnished(t *testing.T) *furnished {
	f := &furnished{net: &dns.Zone{Names: map[string]dns.Name{}, TTL: time.Second}}
	resolver, err := f.net.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resolver.Close() })
	port := uint16(0)
	for i, c := range []struct {
		domain, host string
		refusals     map[string]string
	}{
		{"lovelace.example", "mx.lovelace.example", map[string]string{"gone": "550 5.1.1 Nobody of this name lives here"}},
		{"bigmail.example", "mx1.bigmail.example", map[string]string{"grace": "421 4.7.0 Too much mail from you today, come back in an hour"}},
		{"smallhost.example", "mail.smallhost.example", map[string]string{"full": "452 4.2.2 The mailbox is full"}},
	} {
		ip := fmt.Sprintf("127.0.2.%d", i+1)
		s := smtptest.New(t, smtptest.Options{Addr: fmt.Sprintf("%s:%d", ip, port), Hostname: c.host, STARTTLS: true, Handle: func(at smtptest.Command) smtptest.Action {
			for name, reply := range c.refusals {
				if at.Stage == "RCPT" && at.Path == name+"@"+c.domain {
					return smtptest.Reply(reply)
				}
			}
			return smtptest.Pass()
		}})
		port = s.Addr().Port()
		f.net.Set(c.host, dns.Name{A: []string{ip}})
		f.net.Set(c.domain, dns.Name{MX: []dns.MX{{Host: c.host, Pref: 10}}})
	}
	f.house = openHouse(t, nil, func(o *app.Options) {
		o.Config.DNS, o.Config.MXPort, o.Config.Streams = resolver.Addr(), port, []string{"transactional=default", "bulk=bulk"}
	})
	f.history()
	f.domains()
	f.mails()
	f.webhooks()
	f.people()
	return f
}

// history counts mail of the last 30 days, as a shop would have sent it.
func (f *furnished) history() {
	now := time.Now().UTC()
	tally := store.NewTally()
	count := func(at time.Time, n int) {
		for i := range n {
			s := store.Sample{At: at, Status: email.Queued, Stream: "transactional", Tags: []string{[]string{"receipt", "sign-in", "alert"}[i%3]}}
			tally.Count(s, "")
			s.Previous, s.Status, s.Due, s.MXHost = email.Queued, email.Delivered, at.Add(-time.Duration(80+40*(i*i%29))*time.Millisecond), "mx.lovelace.example"
			provider := []string{"lovelace.example", "bigmail.example", "smallhost.example"}[i*i%3]
			switch (i*7 + at.Minute()) % 29 {
			case 0:
				s.Status = email.Bounced
			case 1, 2:
				s.Status = email.Deferred
				tally.Count(s, "bigmail.example")
				continue
			case 3:
				s.Due = at.Add(-9 * time.Second)
			}
			tally.Count(s, provider)
		}
	}
	for minute := 1; minute < 60; minute++ {
		at := now.Add(-time.Duration(minute) * time.Minute)
		count(at, 14+int(9*math.Sin(float64(minute)/6)+3*math.Cos(float64(minute)*2.3)))
	}
	for hour := 1; hour < 24*30; hour += 1 + hour/24 {
		count(now.Add(-time.Duration(hour)*time.Hour-30*time.Minute), 60+int(40*math.Sin(float64(hour)/3.8)))
	}
	// Counted as by a follower who read nothing new.
	part, err := f.Store.Deliveries.Unfollowed(f.t.Context(), email.Live, 0, 1)
	f.must(err)
	part.Tally = tally
	counted, err := f.Store.Deliveries.Follow(f.t.Context(), part, "0-0", nil, now)
	if f.must(err); !counted {
		f.t.Fatal("the history was not counted")
	}
}

func (f *furnished) domains() {
	for _, name := range []string{"acme.example", "news.acme.example", "acme-labs.example"} {
		_, records, err := f.Domains.Add(f.t.Context(), name)
		f.must(err)
		for _, r := range records {
			switch {
			case name == "acme-labs.example":
			case r.Type == "TXT" && (r.Purpose == "dkim" || name == "acme.example"):
				f.net.Set(r.FQDN, dns.Name{TXT: []string{r.Value}})
			}
		}
		if name != "acme-labs.example" {
			_, _, err = f.Domains.Check(f.t.Context(), name)
			f.must(err)
		}
	}
}

const shop = "Acme Books <orders@acme.example>"

// mails sends some of each kind.
func (f *furnished) mails() {
	letters, err := starters.All()
	f.must(err)
	for _, w := range []email.World{email.Live, email.Test} {
		for _, s := range letters {
			f.call(w, http.MethodPost, "/v1/templates", map[string]any{
				"alias": s.Name, "name": s.Title, "from": shop, "subject": s.Subject, "html": s.HTML, "text": s.Text, "variables": declared(f.t, s),
			}, nil)
			f.call(w, http.MethodPost, "/v1/templates/"+s.Name+"/publish", map[string]any{}, nil)
		}
	}
	of := func(name string, m mail) mail {
		for _, s := range letters {
			if s.Name == name {
				m["template"] = map[string]any{"id": name, "variables": json.RawMessage(s.Sample)}
				delete(m, "text")
				delete(m, "subject")
			}
		}
		return m
	}
	fromTemplate := func(w email.World, name, to string, more mail) string {
		m := of(name, mail{"from": shop, "to": to})
		for k, v := range more {
			m[k] = v
		}
		var accepted struct{ ID string }
		f.call(w, http.MethodPost, "/v1/messages", m, &accepted)
		return accepted.ID
	}
	var edited struct{ ID string }
	f.call(email.Live, http.MethodPatch, "/v1/templates/receipt", map[string]any{"subject": "Your receipt, with thanks"}, &edited)
	f.Template = edited.ID
	f.Bounced = fromTemplate(email.Live, "sign-in-code", "gone@lovelace.example", mail{"tags": []string{"sign-in"}})
	f.Delivered = fromTemplate(email.Live, "receipt", "Ada Lovelace <ada@lovelace.example>", mail{"tags": []string{"receipt"}, "metadata": map[string]string{"order": "10042"}, "attachments": []mail{
		{"filename": "receipt-10042.pdf", "content_type": "application/pdf", "content": base64.StdEncoding.EncodeToString([]byte("%PDF-1.7 a receipt"))},
	}})
	f.Deferred = fromTemplate(email.Live, "password-reset", "grace@bigmail.example", mail{"tags": []string{"sign-in"}})
	fromTemplate(email.Live, "alert", "full@smallhost.example", mail{"tags": []string{"alert"}})
	f.Scheduled = f.send(email.Live, mail{"from": shop, "to": "ada@lovelace.example", "subject": "Your books arrive tomorrow", "scheduled_at": time.Now().Add(26 * time.Hour)})
	f.send(email.Live, mail{"from": shop, "to": []string{"ada@lovelace.example", "gone@lovelace.example", "mary@smallhost.example"}, "subject": "We open a second shop", "tags": []string{"news"}})
	fromTemplate(email.Live, "welcome", "suppressed@sandbox.test", nil)
	for _, to := range []string{"mary@smallhost.example", "edith@lovelace.example", "joan@smallhost.example"} {
		fromTemplate(email.Live, "invitation", to, mail{"tags": []string{"team"}})
	}
	// On a phone its sender and recipient just fill a line.
	f.send(email.Test, mail{"to": "ada@example.org", "from": "Acme <hi@acme.com>", "subject": "Your code"})
	for _, s := range letters {
		f.Caught = fromTemplate(email.Test, s.Name, "ada@lovelace.example", nil)
	}
	f.send(email.Test, mail{"to": "bounced@sandbox.test", "from": shop, "subject": "Nobody gets this"})
	f.await(email.Live, f.Bounced, email.Bounced)
	f.await(email.Live, f.Delivered, email.Delivered)
	f.await(email.Live, f.Deferred, email.Deferred)
	f.await(email.Test, f.Caught, email.Delivered)
	f.hold()
	f.pause("ada@lovelace.example", "mary@smallhost.example", "joan@smallhost.example")
}

// pause lets the first bulk mail through, and has the rest wait.
func (f *furnished) pause(to ...string) {
	for i, r := range to {
		id := f.send(email.Live, mail{"from": shop, "to": r, "subject": "New in November", "stream": "bulk"})
		if i == 0 {
			f.await(email.Live, id, email.Delivered)
			f.must(f.Queue.Pause(f.t.Context(), "bulk"))
		}
	}
}

// declared are the variables of a starter as the API takes them, its sample their examples.
func declared(t *testing.T, s starters.Starter) (out []mail) {
	var sample map[string]any
	if err := json.Unmarshal(s.Sample, &sample); err != nil {
		t.Fatal(err)
	}
	for _, v := range s.Variables {
		m := mail{"key": v.Key, "type": v.Type, "required": v.Required, "description": v.Description}
		if v.Default != nil {
			m["default"] = v.Default
		}
		if example, ok := found(sample, v.Key); ok {
			m["example"] = example
		}
		out = append(out, m)
	}
	return out
}

// found follows the dots of a name into data.
func found(data map[string]any, name string) (any, bool) {
	first, rest, deeper := strings.Cut(name, ".")
	value, ok := data[first]
	if !deeper {
		return value, ok
	}
	inner, _ := value.(map[string]any)
	return found(inner, rest)
}

// hold quarantines a message, as a worker that cannot do it does.
func (f *furnished) hold() {
	now := time.Now().UTC()
	f.Held = f.send(email.Live, mail{"from": shop, "to": "linus@smallhost.example", "subject": "The picture that was too much", "scheduled_at": now.Add(3 * time.Hour)})
	start, err := f.Store.Messages.Begin(f.t.Context(), email.Live, f.Held, 0, 0, "w_1", now.Add(4*time.Hour))
	f.must(err)
	_, err = f.Store.Messages.Quarantine(f.t.Context(), store.Claim{World: email.Live, Message: f.Held, Fence: start.Fence}, "five workers in a row ended while they composed it", now)
	f.must(err)
}

func (f *furnished) webhooks() {
	well, ill := newEndpoint(f.t, http.StatusOK, `{"ok":true}`), newEndpoint(f.t, http.StatusServiceUnavailable, "The orders service is being deployed. Try again in a minute.")
	f.Healthy = f.hook(email.Live, well.URL+"/hooks/mail", "message.*")
	f.Failing = f.hook(email.Live, ill.URL+"/hooks/orders", "message.delivered", "message.bounced")
	for _, to := range []string{"ada@lovelace.example", "gone@lovelace.example", "mary@smallhost.example"} {
		f.send(email.Live, mail{"from": shop, "to": to, "subject": "Your order 10043 is on its way", "tags": []string{"receipt"}})
	}
	f.Delivery = "/ui/webhooks/" + f.Failing + "/deliveries/" + f.failed(f.Failing)
}

// people makes users, keys, suppressions, and something that somebody did.
func (f *furnished) people() {
	ctx := f.t.Context()
	for name, s := range map[string]string{"checkout": "messages:send", "reports": "stats:read"} {
		f.call(email.Live, http.MethodPost, "/v1/api-keys", map[string]any{"name": name, "scopes": []string{s}}, nil)
	}
	now := time.Now().UTC()
	_, err := f.Store.Suppressions.Add(ctx, email.Live, []email.Suppression{
		{ID: email.NewID(email.SuppressionPrefix), Email: "tired@bigmail.example", Reason: "complaint", Stream: "bulk", CreatedAt: now.Add(-50 * time.Hour)},
		{ID: email.NewID(email.SuppressionPrefix), Email: "test@smallhost.example", Reason: "manual", Note: "asked by phone", CreatedAt: now.Add(-3 * time.Hour)},
	}, now)
	f.must(err)
	desk := signin.New(signin.Options{Store: f.Store})
	for name, role := range map[string]store.Role{"grace": store.RoleOperator, "mary": store.RoleViewer} {
		_, link, err := desk.Invite(ctx, "user:"+adminName, name, signin.Draft{Role: role, ReadsMail: role == store.RoleOperator})
		f.must(err)
		if role == store.RoleOperator {
			_, err = desk.Redeem(ctx, link, "", "another good password", signin.Place{Network: "198.51.100.7", Browser: "Safari on iPhone"})
			f.must(err)
		}
	}
}

// admit is house.admit, of somebody who is signed in elsewhere too.
func (f *furnished) admit(t *testing.T, b *browser) {
	t.Helper()
	f.house.admit(t, b)
	desk := signin.New(signin.Options{Store: f.Store})
	_, err := desk.SignIn(t.Context(), adminName, adminPassword, signin.Place{Network: "198.51.100.7", Browser: "Safari on iPhone"})
	f.must(err)
}
