// Command sink is a minimal fast SMTP sink: it takes every mail, keeps nothing of
// it but a line in its ledger (recipient, message id, time), and never touches a
// disk. It is no mail server: it checks no addresses and no order of commands.
//
//	sink -smtp 127.0.0.1:2500 -http 127.0.0.1:2501
//	curl 127.0.0.1:2501/count      how many mails came
//	curl 127.0.0.1:2501/ledger     one line each, see package ledger
//	curl -X POST 127.0.0.1:2501/reset
package main

import (
	"bufio"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"postrider/bench/ledger"
)

func main() {
	smtp := flag.String("smtp", "127.0.0.1:2500", "where mail is taken")
	web := flag.String("http", "127.0.0.1:2501", "where the ledger is asked for")
	think := flag.Duration("think", 0, "time before a final reply at most, random")
	flag.Parse()
	if err := run(*smtp, *web, *think); err != nil {
		log.Fatal(err)
	}
}

func run(smtp, web string, think time.Duration) error {
	listener, err := net.Listen("tcp", smtp)
	if err != nil {
		return fmt.Errorf("listen for mail: %w", err)
	}
	b := &book{think: think}
	server := &http.Server{Addr: web, Handler: b.pages(), ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 2)
	go func() { failed <- server.ListenAndServe() }()
	go func() { failed <- b.take(listener) }()
	return <-failed
}

// book is what came.
type book struct {
	think time.Duration

	mu       sync.Mutex
	arrivals []ledger.Arrival
}

func (b *book) add(recipients []string, id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for _, r := range recipients {
		b.arrivals = append(b.arrivals, ledger.Arrival{Recipient: r, ID: id, At: now})
	}
}

func (b *book) all() []ledger.Arrival {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.arrivals[:len(b.arrivals):len(b.arrivals)]
}

func (b *book) pages() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /count", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, len(b.all()))
	})
	mux.HandleFunc("GET /ledger", func(w http.ResponseWriter, _ *http.Request) {
		out := bufio.NewWriter(w)
		defer out.Flush()
		for _, a := range b.all() {
			if ledger.WriteArrival(out, a) != nil {
				return // whoever asked has gone
			}
		}
	})
	mux.HandleFunc("POST /reset", func(http.ResponseWriter, *http.Request) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.arrivals = nil
	})
	return mux
}

func (b *book) take(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return fmt.Errorf("take mail: %w", err)
		}
		go newSession(b, conn).run()
	}
}
