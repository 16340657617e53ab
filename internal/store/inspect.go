package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// The levels of durability: what a power cut may take of what was acknowledged.
const (
	LevelAlways   = "always"      // nothing
	LevelEverySec = "everysec"    // up to about a second
	LevelNo       = "no"          // what the operating system had not written: some 30 s
	LevelNone     = "none"        // everything since the last snapshot: no append-only file
	LevelUnknown  = "unknown"     // Redis does not tell
	LevelMemory   = "memory only" // everything: the Redis inside this process
)

// Inspection is what a Redis says about itself, and what is wrong with it.
type Inspection struct {
	Level   string // of durability, one of the above
	Faults  []Fault
	Version string
	RunID   string // changes when Redis is started anew
	// MemoryUsed and MemoryLimit are in bytes. A Redis without maxmemory has its
	// machine's memory as its limit; 0: not known.
	MemoryUsed, MemoryLimit int64
}

// Fault is one thing that is wrong or weaker than it could be.
type Fault struct {
	// Word names it: POSTRIDER_ALLOW_UNSAFE lifts a fatal one by it.
	Word string
	// Text says what is wrong, what may come of it, and what to do.
	Text string
	// Fatal faults are refused at start, and stop acceptance while running.
	Fatal bool
}

// Fatal lists the fatal faults but those whose words are allowed.
func (i *Inspection) Fatal(allowed []string) []Fault {
	lifted := make(map[string]bool, len(allowed))
	for _, word := range allowed {
		lifted[word] = true
	}
	var out []Fault
	for _, f := range i.Faults {
		if f.Fatal && !lifted[f.Word] {
			out = append(out, f)
		}
	}
	return out
}

// UnsafeWords lists the words of all fatal faults, for checking a setting that
// allows some.
func UnsafeWords() []string {
	return []string{
		"no-append-only", "no-fsync", "eviction", "replica", "old-redis", "passwordless-redis", "clock", "durability-unknown",
	}
}

// Inspect asks Redis for its settings and its state (INFO, CONFIG GET, TIME) and
// judges them. An error means that it could not be asked: ErrUnavailable. A Redis
// that forbids the question is no error but the fault durability-unknown.
func (s *Store) Inspect(ctx context.Context) (*Inspection, error) {
	if s.options.InProcess {
		return &Inspection{Level: LevelMemory}, nil
	}
	a, err := s.ask(ctx)
	if err != nil {
		return nil, fmt.Errorf("inspect Redis: %w", err)
	}
	i := &Inspection{Level: LevelUnknown, Version: a.info["redis_version"], RunID: a.info["run_id"]}
	i.MemoryUsed, i.MemoryLimit = memoryOf(a.info)
	if !a.told {
		i.add(true, "durability-unknown", "Redis does not tell its settings (INFO or CONFIG GET is forbidden): whether mail survives a crash is not known")
	}
	i.judge(a)
	return i, nil
}

func (i *Inspection) add(fatal bool, word, format string, args ...any) {
	i.Faults = append(i.Faults, Fault{Word: word, Text: fmt.Sprintf(format, args...), Fatal: fatal})
}

// answers is what Redis said. Members that it did not tell are empty.
type answers struct {
	info, config map[string]string
	told         bool // it told all that was asked for
	user         string
	ahead        time.Duration // its clock before ours
	local        bool          // it is reached over loopback or a socket of this machine
	secured      bool          // we gave a password
	encrypted    bool
}

func (s *Store) ask(ctx context.Context) (*answers, error) {
	a := &answers{info: map[string]string{}, config: map[string]string{}, told: true}
	a.local, a.secured, a.encrypted = describe(s.rdb)
	text, err := s.rdb.Info(ctx).Result() // the default sections: all that is asked below
	if err := a.refused(err); err != nil {
		return nil, err
	}
	a.info = parseInfo(text)
	for _, name := range []string{
		"appendonly", "appendfsync", "no-appendfsync-on-rewrite", "maxmemory-policy",
		"stop-writes-on-bgsave-error", "min-replicas-to-write",
	} {
		values, err := s.rdb.ConfigGet(ctx, name).Result()
		if err := a.refused(err); err != nil {
			return nil, err
		}
		a.config[name] = values[name]
	}
	if a.user, err = s.rdb.Do(ctx, "ACL", "WHOAMI").Text(); err != nil && errors.Is(err, ErrUnavailable) && !forbidden(err) {
		return nil, err
	}
	before := time.Now()
	there, err := s.rdb.Time(ctx).Result()
	if err := a.refused(err); err != nil {
		return nil, err
	}
	if err == nil {
		now := time.Now()
		a.ahead = there.Sub(before.Add(now.Sub(before) / 2))
	}
	return a, nil
}

// refused notes a question that Redis forbids; other errors end the inspection.
func (a *answers) refused(err error) error {
	if err == nil {
		return nil
	}
	var answer redis.Error
	if forbidden(err) || (errors.As(err, &answer) && !errors.Is(err, ErrUnavailable)) {
		a.told = false
		return nil
	}
	return err
}

// forbidden recognises the refusals of an ACL, and of managed services, which
// take commands away ("ERR unknown command").
func forbidden(err error) bool {
	return redis.HasErrorPrefix(err, "NOPERM") || redis.HasErrorPrefix(err, "unknown command")
}

func describe(rdb redis.UniversalClient) (local, secured, encrypted bool) {
	var o *redis.Options
	if one, ok := rdb.(interface{ Options() *redis.Options }); ok {
		o = one.Options()
	}
	if o == nil {
		return false, true, true // not to be had: say nothing of them
	}
	return o.Network == "unix" || isLoopback(o.Addr), o.Password != "" || o.CredentialsProvider != nil, o.TLSConfig != nil
}

func parseInfo(text string) map[string]string {
	out := make(map[string]string)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			out[name] = value
		}
	}
	return out
}

// memoryOf reads the use of memory and its limit.
func memoryOf(info map[string]string) (used, limit int64) {
	used, _ = strconv.ParseInt(info["used_memory"], 10, 64)
	limit, _ = strconv.ParseInt(info["maxmemory"], 10, 64)
	if limit == 0 {
		limit, _ = strconv.ParseInt(info["total_system_memory"], 10, 64)
	}
	return used, limit
}
