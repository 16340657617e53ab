package journeys

import (
	"encoding/base64"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postrider/internal/app"
	"postrider/internal/email"
	"postrider/internal/store"
	"postrider/smtpclient/smtptest"
)

// payload is one text of testdata/payloads.txt.
type payload struct{ technique, text string }

// payloads are those texts; port is where they would have a reader's browser go, each on
// an address of its own, so that who came tells which.
func payloads(t *testing.T, port int) (list []payload) {
	t.Helper()
	raw, err := os.ReadFile("testdata/payloads.txt")
	if err != nil {
		t.Fatal(err)
	}
	techniques := make(map[string]bool)
	for line := range strings.Lines(string(raw)) {
		technique, text, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if strings.HasPrefix(line, "#") {
			continue
		}
		if !ok {
			t.Fatalf("no technique: %s", line)
		}
		host := fmt.Sprintf("127.9.0.%d:%d", len(list), port)
		text = strings.ReplaceAll(strings.ReplaceAll(text, "RUN", fmt.Sprintf("xss(%d)", len(list))), "HOST", host)
		list, techniques[technique] = append(list, payload{technique, text}), true
	}
	if len(list) < 150 || len(techniques) < 15 {
		t.Fatalf("only %d payloads of %d techniques", len(list), len(techniques))
	}
	return list
}

// trap is a server that nobody must come to, not even to connect.
type trap struct {
	*httptest.Server
	mu   sync.Mutex
	came []string
}

func newTrap(t *testing.T) *trap {
	tr := &trap{}
	note := func(s string) {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		tr.came = append(tr.came, s)
	}
	tr.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { note(r.URL.String()) }))
	tr.Config.ConnState = func(c net.Conn, s http.ConnState) {
		if s == http.StateNew {
			note("a connection to " + c.LocalAddr().String())
		}
	}
	everywhere, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	tr.Listener.Close()
	tr.Listener = everywhere
	tr.Start()
	t.Cleanup(tr.Close)
	return tr
}

// TestNothingForeignComesAlive: no text that a stranger wrote runs, loads or leads
// anywhere, wherever a page shows it.
func TestNothingForeignComesAlive(t *testing.T) {
	tr := newTrap(t)
	list := payloads(t, tr.Listener.Addr().(*net.TCPAddr).Port)
	h := openHouse(t, sayingAll(t, list), func(o *app.Options) {
		o.Pace.Notify.Trip = 1 << 20 // it fails on purpose
		o.Pace.Notify.Delays = make([]time.Duration, 7)
		for i := range o.Pace.Notify.Delays {
			o.Pace.Notify.Delays[i] = time.Millisecond
		}
	})
	answering, webhook := h.answerAll(list)
	ids := h.sendAll(list)
	posted, stored := h.posted(webhook, answering, len(list)), h.stored(list)

	b := startBrowser(t, h.URL())
	h.admit(t, b)
	var pages, letters []string
	for i, id := range ids[email.Live] {
		pages = append(pages, "/ui/messages/"+id)
		if i%3 == 0 { // some of each technique, as pages of their own; all are in the frames above
			letters = append(letters, "/ui/messages/"+id+"/html")
		}
	}
	spoken := 0
	for _, p := range list {
		if strings.Contains(p.text, "xss(") {
			spoken++
		}
	}
	t.Run("messages", func(t *testing.T) { b.do(t, "hostile.pages", args{"paths": pages, "least": 4 * spoken}, nil) })
	t.Run("mails", func(t *testing.T) { b.do(t, "hostile.pages", args{"paths": letters}, nil) })
	t.Run("lists", func(t *testing.T) {
		b.do(t, "hostile.pages", args{"paths": []string{"/", "/ui/messages", "/ui/suppressions", "/ui/settings", "/ui/templates"}, "least": 2 * spoken}, nil)
	})
	t.Run("inbox", func(t *testing.T) {
		b.do(t, "hostile.pages", args{"paths": []string{"/ui/inbox"}, "least": 2 * spoken}, nil)
	})
	t.Run("caught", func(t *testing.T) {
		var some []string
		for i := 0; i < len(list); i += 5 {
			some = append(some, "/ui/messages/"+ids[email.Test][i])
		}
		b.do(t, "hostile.pages", args{"paths": some, "least": len(some)}, nil)
	})
	t.Run("answers of webhooks", func(t *testing.T) {
		b.do(t, "hostile.pages", args{"paths": posted, "least": spoken}, nil)
	})
	t.Run("templates", func(t *testing.T) {
		b.do(t, "hostile.pages", args{"paths": stored, "least": len(stored)}, nil)
	})
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if len(tr.came) > 0 {
		t.Errorf("somebody came to the host of the payloads: %q", tr.came)
	}
	t.Logf("%d payloads, %d pages", len(list), len(pages)+len(letters)+len(posted)+len(stored))
}

// sayingAll is a relay that refuses recipient pN with payload N.
func sayingAll(t *testing.T, list []payload) *smtptest.Server {
	return smtptest.New(t, smtptest.Options{Handle: func(c smtptest.Command) smtptest.Action {
		name, _, _ := strings.Cut(c.Path, "@")
		if n, err := strconv.Atoi(strings.TrimPrefix(name, "p")); c.Stage == "RCPT" && err == nil {
			return smtptest.Reply([]string{"550 5.1.1 ", "451 4.2.1 ", "550 "}[n%3] + list[n].text)
		}
		return smtptest.Pass()
	}})
}

// answerAll makes a webhook to an app that answers with each payload, again and again.
func (h *house) answerAll(list []payload) (answers *atomic.Int64, webhook string) {
	answers = &atomic.Int64{}
	e := newEndpoint(h.t, 0, "")
	e.answer = func(w http.ResponseWriter, _ *http.Request) {
		n := answers.Add(1) - 1
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, list[n%int64(len(list))].text)
	}
	var made struct{ ID string }
	h.call(email.Live, http.MethodPost, "/v1/webhooks", map[string]any{
		"url": e.URL + "/x", "events": []string{"message.bounced", "message.deferred"}, "tags_filter": []string{"told"}, "deferred": "all",
	}, &made)
	return answers, made.ID
}

// sendAll sends a mail for each payload in both worlds: in every field that takes it.
func (h *house) sendAll(list []payload) map[email.World][]string {
	ids := map[email.World][]string{email.Live: make([]string, len(list)), email.Test: make([]string, len(list))}
	for i, p := range list {
		to := fmt.Sprintf("p%d@hostile.test", i)
		m := mail{
			"from": mail{"email": "hi@acme.test", "name": p.text}, "to": []mail{{"email": to, "name": p.text}},
			"reply_to": mail{"email": "hi@acme.test", "name": p.text},
			"subject":  p.text, "html": p.text, "text": p.text, "metadata": mail{"note": p.text},
			"headers":     mail{"X-Note": p.text},
			"attachments": []mail{{"filename": strings.NewReplacer("/", "|", `\`, "|").Replace(p.text), "content": base64.StdEncoding.EncodeToString([]byte(p.text)), "content_type": "text/html"}},
		}
		if i%4 == 0 {
			m["tags"] = []string{"told"}
		}
		ids[email.Live][i], ids[email.Test][i] = h.send(email.Live, m), h.sendRaw(to, p.text)
		h.call(email.Live, http.MethodPost, "/v1/templates", mail{"alias": fmt.Sprintf("t%d", i), "name": p.text, "subject": "x", "text": "x", "html": "<p>x</p>"}, nil)
	}
	for i := range list {
		want := email.Bounced
		if i%3 == 1 {
			want = email.Deferred
		}
		h.await(email.Live, ids[email.Live][i], want)
		h.await(email.Test, ids[email.Test][i], email.Delivered)
	}
	return ids
}

// sendRaw sends a composed mail of the test world, in which a file may have any name.
func (h *house) sendRaw(to, text string) string {
	h.t.Helper()
	word, folded := mime.BEncoding.Encode("utf-8", text+"ü"), wrapped(base64.StdEncoding.EncodeToString([]byte(text)))
	data := "From: " + word + " <hi@acme.test>\r\nTo: " + word + " <" + to + ">\r\nSubject: " + word + "\r\nX-Note: " + word +
		"\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n" + folded +
		"\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n" + folded +
		"\r\n--b\r\nContent-Type: application/x\r\nContent-Disposition: attachment; filename*=utf-8''" + strings.ReplaceAll(url.QueryEscape(text), "+", "%20") + "\r\n\r\nx\r\n--b--\r\n"
	request, err := http.NewRequest(http.MethodPost, h.URL()+"/v1/messages/raw", strings.NewReader(data))
	h.must(err)
	request.Header.Set("Authorization", "Bearer "+h.keys[email.Test])
	request.Header.Set("Content-Type", "message/rfc822")
	var accepted struct{ ID string }
	h.answer(request, &accepted)
	return accepted.ID
}

// wrapped breaks what is encoded into lines.
func wrapped(encoded string) string {
	var lines []string
	for line := range slices.Chunk([]byte(encoded), 76) {
		lines = append(lines, string(line))
	}
	return strings.Join(lines, "\r\n")
}

// posted waits until every payload was an answer, and gives the pages of the deliveries.
func (h *house) posted(webhook string, answers *atomic.Int64, n int) (paths []string) {
	for end := time.Now().Add(30 * time.Second); answers.Load() < int64(n); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatalf("only %d answers of webhooks", answers.Load())
		}
	}
	hook, err := h.Store.Webhooks.Get(h.t.Context(), email.Live, webhook)
	h.must(err)
	list, _, err := h.Store.Deliveries.List(h.t.Context(), hook, store.DeliveryFilter{}, "", 100)
	h.must(err)
	paths = []string{"/ui/webhooks", "/ui/webhooks/" + webhook}
	for _, d := range list {
		paths = append(paths, "/ui/webhooks/"+webhook+"/deliveries/"+d.ID)
	}
	return paths
}
