package rig

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"postrider/internal/app"
	"postrider/internal/config"
	"postrider/internal/domains"
	"postrider/smtpclient/dns"
)

// underTest is the command whose serve is under test.
const underTest = "./cmd/postrider"

// SendingDomain is the domain of the From address of all mail.
const SendingDomain = "bench.test"

// Setup is one installation of the service: what its processes share.
type Setup struct {
	Key string // an API key
	env []string
	rig *Rig
}

// Install prepares an installation on a Redis, with an API key and, to sign, a
// verified sending domain.
func (r *Rig) Install(ctx context.Context, redis *Redis, sink *Sink, sign bool) (*Setup, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails: crypto/rand ends the program instead
	c := config.Config{RedisURL: redis.URL(), SecretKey: base64.StdEncoding.EncodeToString(key), ReturnPathDomain: "bounces." + SendingDomain}
	zone := &dns.Zone{Names: map[string]dns.Name{}, TTL: time.Second}
	server, err := zone.Listen("127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("install: %w", err)
	}
	r.atEnd(func() { _ = server.Close() })
	c.DNS = server.Addr()
	s := &Setup{rig: r, env: []string{
		"POSTRIDER_REDIS_URL=" + c.RedisURL, "POSTRIDER_SECRET_KEY=" + c.SecretKey, "POSTRIDER_DNS=" + c.DNS,
		"POSTRIDER_RETURN_PATH_DOMAIN=" + c.ReturnPathDomain, "POSTRIDER_RELAY=smtp://" + sink.SMTP,
		"POSTRIDER_HOSTNAME=mail." + SendingDomain, "POSTRIDER_ALLOW_RESERVED_DOMAINS=true",
		fmt.Sprintf("POSTRIDER_REQUIRE_VERIFIED_DOMAINS=%v", sign), "POSTRIDER_LOG_FORMAT=json",
		"POSTRIDER_RATE_LIMIT=0", // one key is all apps of a benchmark
		"POSTRIDER_DATA_DIR=" + filepath.Join(redis.dir, "data"),
	}}
	if s.Key, err = s.Command(ctx, "keys", "create", "--name", "bench"); err != nil {
		return nil, fmt.Errorf("install: %w", err)
	}
	if sign {
		if err := verify(ctx, c, zone); err != nil {
			return nil, fmt.Errorf("install: %w", err)
		}
	}
	return s, nil
}

// Command runs one command on the installation and returns what it prints.
func (s *Setup) Command(ctx context.Context, words ...string) (string, error) {
	command := exec.CommandContext(ctx, s.rig.Program(filepath.Base(underTest)), words...)
	command.Env = append(s.rig.environ(), s.env...)
	out, err := command.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		err = fmt.Errorf("%s: %w\n%s%s", words[0], err, out, failed.Stderr)
	}
	return strings.TrimSpace(string(out)), err
}

// verify makes keys for the sending domain, publishes them, and has them seen.
func verify(ctx context.Context, c config.Config, zone *dns.Zone) error {
	a, err := app.Administer(ctx, c)
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }()
	d := a.Domains
	_, records, err := d.Add(ctx, SendingDomain)
	if err != nil {
		return err
	}
	for _, r := range records {
		if r.Purpose == "dkim" {
			zone.Set(r.FQDN, dns.Name{TXT: []string{r.Value}})
		}
	}
	domain, _, err := d.Check(ctx, SendingDomain)
	if err == nil && domain.Status != domains.Verified {
		err = errors.New("the sending domain is not verified")
	}
	return err
}

// Service is one process of the service.
type Service struct {
	*Proc
	Roles string // such as api,worker
	URL   string
	addr  string
	setup *Setup
}

// Set changes a setting of the processes started from now on.
func (s *Setup) Set(name, value string) { s.env = append(s.env, name+"="+value) }

// Start starts one process with the roles given; Await waits until it serves.
func (s *Setup) Start(roles string) (*Service, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	service := &Service{Roles: roles, setup: s, addr: addr, URL: "http://" + addr}
	return service, service.Restart()
}

// Restart starts it anew, at the same address, after it has ended.
func (s *Service) Restart() (err error) {
	s.Proc, err = s.setup.rig.Start(strings.ReplaceAll(s.Roles, ",", "-"),
		append(slices.Clone(s.setup.env), "POSTRIDER_HTTP_ADDR="+s.addr),
		s.setup.rig.Program(filepath.Base(underTest)), "serve", "--roles", s.Roles)
	return err
}

// Await waits until it serves.
func (s *Service) Await() error { return AwaitHTTP(s.Proc, s.URL+"/healthz") }
