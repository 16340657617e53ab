// Command inject posts mails to one or more services over kept connections and
// writes down every 202. It is a load generator and no client to copy: it speaks
// HTTP by hand, so that the machine's time goes to the service.
//
//	inject -urls http://127.0.0.1:8025 -key pr_live_... -n 5000 -connections 16 -promises FILE
//
// With -insist a POST that failed (no connection, no answer, 5xx) is sent again
// with the same Idempotency-Key, to the next of the services, as an app should.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"postrider/bench/ledger"
	"postrider/bench/load"
)

// options are the flags.
type options struct {
	urls        []string
	key         string
	series      string
	n           int
	connections int
	size        int
	lifetime    int
	rate        float64
	pause       time.Duration
	insist      time.Duration
	promises    string
	progress    bool
}

func main() {
	var o options
	var urls string
	flag.StringVar(&urls, "urls", "http://127.0.0.1:8025", "services, separated by commas")
	flag.StringVar(&o.key, "key", "", "API key")
	flag.StringVar(&o.series, "series", "n", "first letters of the recipients: one for each run")
	flag.IntVar(&o.n, "n", 1000, "mails")
	flag.IntVar(&o.connections, "connections", 16, "connections")
	flag.IntVar(&o.size, "size", 10<<10, "octets of text per mail")
	flag.IntVar(&o.lifetime, "lifetime", 0, "ttl_seconds of the mails; 0: not given")
	flag.Float64Var(&o.rate, "rate", 0, "mails per second at most; 0: as fast as it goes")
	flag.DurationVar(&o.pause, "pause", 0, "rest between two mails of a connection, up to half more at random")
	flag.DurationVar(&o.insist, "insist", 0, "how long a POST is tried again; 0: a failure ends the run")
	flag.StringVar(&o.promises, "promises", "", "file for the ledger of promises")
	flag.BoolVar(&o.progress, "progress", false, "say every few seconds how far it is")
	flag.Parse()
	o.urls = strings.Split(urls, ",")
	if err := run(&o); err != nil {
		log.Fatal(err)
	}
}

// run posts all mails and writes the ledger.
func run(o *options) error {
	promises := make([]ledger.Promise, o.n)
	mails := load.New(o.size)
	nonce := fmt.Sprintf("%016x", rand.Uint64())
	start := time.Now()
	var next, answered atomic.Int64
	var group sync.WaitGroup
	failed := make(chan error, o.connections)
	for i := range o.connections {
		group.Go(func() {
			p := &poster{o: o, mails: mails, nonce: nonce, at: i % len(o.urls)}
			defer p.hangUp()
			for {
				n := int(next.Add(1)) - 1
				if n >= o.n || len(failed) > 0 {
					return
				}
				if o.rate > 0 {
					time.Sleep(time.Until(start.Add(time.Duration(float64(n) / o.rate * float64(time.Second)))))
				}
				if err := p.post(n, &promises[n]); err != nil {
					failed <- fmt.Errorf("mail %d: %w", n, err)
					return
				}
				answered.Add(1)
				if o.pause > 0 {
					time.Sleep(o.pause + rand.N(o.pause/2))
				}
			}
		})
	}
	stop := watch(o, &answered)
	group.Wait()
	stop()
	if len(failed) > 0 {
		return <-failed
	}
	return write(o.promises, promises)
}

// watch says how far it is.
func watch(o *options, answered *atomic.Int64) (stop func()) {
	if !o.progress {
		return func() {}
	}
	ticker, done := time.NewTicker(5*time.Second), make(chan struct{})
	go func() {
		for {
			select {
			case <-ticker.C:
				fmt.Fprintf(os.Stderr, "  %d of %d mails answered\n", answered.Load(), o.n)
			case <-done:
				return
			}
		}
	}()
	return func() { ticker.Stop(); close(done) }
}

func write(path string, promises []ledger.Promise) (err error) {
	if path == "" {
		return nil
	}
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write promises: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	out := bufio.NewWriter(file)
	for _, p := range promises {
		if err := ledger.WritePromise(out, p); err != nil {
			return fmt.Errorf("write promises: %w", err)
		}
	}
	return out.Flush()
}
