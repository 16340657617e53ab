// Command thin is the thin line, the yardstick of the benchmark: HTTP -> asynq ->
// SMTP and nothing else, in one process with the same roles as the service. It
// keeps a mail only as the payload of its task: no record, no events, no states,
// no fence, no idempotency, no checks. It shows what the parts cost that nobody
// can leave out, and is of no other use.
//
//	thin -http 127.0.0.1:8026 -redis 127.0.0.1:6379 -to 127.0.0.1:2500 [-dkim]
package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"postrider/bench/load"
	"postrider/internal/dkim"
)

const queue = "default"

func main() {
	web := flag.String("http", "127.0.0.1:8026", "where mails are posted")
	redisAddr := flag.String("redis", "127.0.0.1:6379", "Redis")
	to := flag.String("to", "127.0.0.1:2500", "SMTP server that takes all mail")
	concurrency := flag.Int("concurrency", 32, "deliveries at once")
	sign := flag.Bool("dkim", false, "sign with RSA-2048")
	flag.Parse()
	if err := run(*web, *redisAddr, &line{to: *to, idle: make(chan *session, *concurrency)}, *concurrency, *sign); err != nil {
		log.Fatal(err)
	}
}

func run(web, redisAddr string, l *line, concurrency int, sign bool) error {
	if sign {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return fmt.Errorf("make a key: %w", err)
		}
		l.keys = []dkim.Key{{Domain: "bench.test", Selector: "thin", Signer: key}}
	}
	rdb := redis.NewClient(&redis.Options{
		Addr: redisAddr, DisableIdentity: true, PoolSize: 64, Protocol: 2, // as the service's
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	l.tasks = asynq.NewClientFromRedisClient(rdb)
	server := asynq.NewServerFromRedisClient(rdb, asynq.Config{
		Concurrency: concurrency, Queues: map[string]int{queue: 1}, TaskCheckInterval: 10 * time.Millisecond,
		LogLevel: asynq.WarnLevel,
	})
	if err := server.Start(asynq.HandlerFunc(l.deliver)); err != nil {
		return fmt.Errorf("start the queue: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /messages", l.accept)
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	return (&http.Server{Addr: web, Handler: mux, ReadHeaderTimeout: 10 * time.Second}).ListenAndServe()
}

// line is the whole service.
type line struct {
	tasks *asynq.Client
	to    string
	keys  []dkim.Key
	idle  chan *session
}

// mail is what is posted, and the payload of the task.
type mail struct {
	ID   string `json:"id"`
	From struct {
		Email, Name string
	} `json:"from"`
	To      []string `json:"to"`
	Subject string   `json:"subject"`
	Text    string   `json:"text"`
}

func (l *line) accept(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var m mail
	if err == nil {
		err = json.Unmarshal(body, &m)
	}
	if err != nil || len(m.To) != 1 {
		http.Error(w, "no mail", http.StatusBadRequest)
		return
	}
	m.ID = "msg_" + uuid.NewString()
	payload, err := json.Marshal(&m)
	if err == nil {
		_, err = l.tasks.EnqueueContext(r.Context(), asynq.NewTask("deliver", payload), asynq.Queue(queue))
	}
	if err != nil {
		http.Error(w, "not kept", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprintf(w, `{"id":"%s"}`, m.ID)
}

func (l *line) deliver(_ context.Context, t *asynq.Task) error {
	var m mail
	if err := json.Unmarshal(t.Payload(), &m); err != nil {
		return err
	}
	now := time.Now()
	raw := fmt.Appendf(make([]byte, 0, len(m.Text)+2048),
		"Date: %s\r\nFrom: %s <%s>\r\nTo: <%s>\r\nSubject: %s\r\nMessage-ID: <%s@bench.test>\r\nMIME-Version: 1.0\r\n"+
			"Content-Type: text/plain; charset=utf-8\r\n\r\n",
		now.UTC().Format(time.RFC1123Z), m.From.Name, m.From.Email, m.To[0], m.Subject, m.ID)
	for one := range strings.Lines(m.Text) {
		raw = append(raw, strings.TrimSuffix(one, "\n")...)
		raw = append(raw, '\r', '\n')
	}
	if len(l.keys) > 0 {
		var err error
		if raw, err = dkim.Sign(raw, l.keys, now, time.Time{}); err != nil {
			return err
		}
	}
	return l.send(load.From, m.To[0], raw)
}
