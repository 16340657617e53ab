package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"postrider/internal/config"
	"postrider/internal/domains"
	"postrider/internal/secret"
	"postrider/internal/store"
	"postrider/smtpclient/dns"
)

// ErrNoRedis is what a command gets that needs a Redis and was given none.
var ErrNoRedis = errors.New("no Redis: set POSTRIDER_REDIS_URL (such as redis://127.0.0.1:6379), or run `postrider dev`, which needs none")

// openRedis opens a pool and sees that the server answers. Errors never hold
// the URL: it may carry a password.
func openRedis(ctx context.Context, url string) (*redis.Client, error) {
	if url == "" {
		return nil, ErrNoRedis
	}
	options, err := redis.ParseURL(url)
	if err != nil {
		return nil, fmt.Errorf("POSTRIDER_REDIS_URL is not of the form redis://user:password@host:port/db")
	}
	// Redis 7.0 knows neither CLIENT SETINFO nor maintenance notifications.
	options.DisableIdentity = true
	// With RESP3 the client looks for pushed messages before every command; we have none.
	options.Protocol = 2
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	client := redis.NewClient(options)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := client.Ping(ctx).Err(); err != nil {
		_ = client.Close()
		return nil, fmt.Errorf("reach Redis at %s: %w", options.Addr, err)
	}
	return client, nil
}

// LogRedis sends what the Redis client says of its own accord to a log, whose form
// its lines would break. It sets a variable of that client's package: call it once,
// before New.
func LogRedis(log *slog.Logger) { redis.SetLogger(redisLog{log}) }

type redisLog struct{ log *slog.Logger }

// Printf implements the client's logger.
func (l redisLog) Printf(ctx context.Context, format string, v ...any) {
	l.log.WarnContext(ctx, "Redis client", "said", fmt.Sprintf(format, v...))
}

// errOtherSecret is what a process gets that has another secret than those before it.
var errOtherSecret = errors.New("this Redis was used with another secret key: give the same POSTRIDER_SECRET_KEY, or the data directory that holds it, to every process")

// OpenSecret takes the secret key from the configuration, or from the data
// directory, where it is made once: not if Redis was used with one already, for then
// it is the wrong directory.
func OpenSecret(ctx context.Context, c config.Config) (*secret.Secret, error) {
	if c.SecretKey != "" {
		return secret.Parse(c.SecretKey)
	}
	dir, err := dataDir(c)
	if err != nil {
		return nil, err
	}
	there, err := secret.Has(dir)
	if err != nil {
		return nil, fmt.Errorf("open the secret key in %s: %w", dir, err)
	}
	if !there {
		refused := mayMakeSecret(ctx, c)
		// Another process may just have made it, and then told Redis of it.
		if there, err = secret.Has(dir); refused != nil && (err != nil || !there) {
			return nil, fmt.Errorf("there is no secret key in %s: %w", dir, refused)
		}
	}
	s, err := secret.Load(dir)
	if err != nil {
		return nil, fmt.Errorf("open the secret key in %s: %w", dir, err)
	}
	return s, nil
}

// mayMakeSecret refuses if Redis knows a secret.
func mayMakeSecret(ctx context.Context, c config.Config) error {
	a, err := OpenStore(ctx, c)
	if err != nil {
		return err
	}
	claimed, err := a.Store.Leases.SecretClaimed(ctx)
	if err == nil && claimed {
		err = errOtherSecret
	}
	return errors.Join(err, a.Close())
}

// CheckSecret refuses a secret that is not the one this Redis was used with.
func CheckSecret(ctx context.Context, s *store.Store, key *secret.Secret) error {
	same, err := s.Leases.ClaimSecret(ctx, key.Check())
	if err != nil {
		return fmt.Errorf("compare the secret key with the one in use: %w", err)
	}
	if !same {
		return errOtherSecret
	}
	return nil
}

func dataDir(c config.Config) (string, error) {
	if c.DataDir != "" {
		return c.DataDir, nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "postrider"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", errors.New("no home directory for the secret key: set POSTRIDER_DATA_DIR or POSTRIDER_SECRET_KEY")
	}
	return filepath.Join(home, ".local", "share", "postrider"), nil
}

// Administration is what the commands need that change settings but serve
// nothing.
type Administration struct {
	Store   *store.Store
	Domains *domains.Domains // nil after OpenStore
	close   func() error
}

// OpenStore opens the Redis of the configuration for a command that needs no
// more, not even the secret key.
func OpenStore(ctx context.Context, c config.Config) (*Administration, error) {
	client, err := openRedis(ctx, c.RedisURL)
	if err != nil {
		return nil, err
	}
	return &Administration{Store: store.New(client, store.Options{}), close: client.Close}, nil
}

// Administer opens the Redis of the configuration and the secret key for a command.
func Administer(ctx context.Context, c config.Config) (*Administration, error) {
	a, err := OpenStore(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := a.open(ctx, c); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func (a *Administration) open(ctx context.Context, c config.Config) error {
	key, err := OpenSecret(ctx, c)
	if err != nil {
		return err
	}
	if err := CheckSecret(ctx, a.Store, key); err != nil {
		return err
	}
	resolver, err := dns.NewClient(dns.ClientOptions{Server: c.DNS})
	if err != nil {
		return fmt.Errorf("open the DNS resolver: %w", err)
	}
	a.Domains = &domains.Domains{
		Store: a.Store.Domains, Secret: key, Resolver: resolver, ReturnPathDomain: c.ReturnPathDomain,
	}
	return nil
}

// Close closes the connection to Redis.
func (a *Administration) Close() error { return a.close() }
