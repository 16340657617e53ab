package store

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/redistest"
)

func TestGuardRefusesToStart(t *testing.T) {
	r := redistest.Start(t, "--appendonly", "no")
	s := New(connect(t, r.URL), Options{})
	var refusal *Refusal
	err := s.Guard(GuardOptions{}).Start(t.Context())
	if !errors.As(err, &refusal) || !strings.Contains(err.Error(), "POSTRIDER_ALLOW_UNSAFE=no-append-only") {
		t.Errorf("Start = %v", err)
	}
	g := s.Guard(GuardOptions{Allowed: []string{"no-append-only"}})
	if err := g.Start(t.Context()); err != nil {
		t.Errorf("allowed: Start = %v", err)
	}
	if i, err := g.Last(); err != nil || i.Level != LevelNone {
		t.Errorf("Last = %+v, %v", i, err)
	}
	if err := s.Admit(); err != nil {
		t.Errorf("allowed: Admit = %v", err)
	}
}

// until waits for something that a goroutine brings about.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// watch runs a guard with short intervals until the test ends; what Run returned
// comes over the channel.
func watch(t *testing.T, s *Store, o GuardOptions) (*Guard, <-chan error) {
	t.Helper()
	o.Every, o.Pulse = 20*time.Millisecond, 10*time.Millisecond
	g := s.Guard(o)
	if err := g.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	t.Cleanup(cancel)
	return g, ended
}

func TestGuardFollowsSettingsAndMemory(t *testing.T) {
	rdb := connect(t, redistest.Server(t))
	s := New(rdb, Options{})
	var log strings.Builder
	g, ended := watch(t, s, GuardOptions{Log: slog.New(slog.NewTextHandler(&log, nil))})
	set := func(name, value string) {
		t.Helper()
		if err := rdb.ConfigSet(t.Context(), name, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	set("maxmemory-policy", "allkeys-random")
	until(t, "red for eviction", func() bool { return errors.Is(s.Admit(), ErrUnavailable) })
	if _, err := g.Last(); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Last = %v", err)
	}
	if _, _, err := s.Messages.Accept(t.Context(), draft(s.Messages, "ada@example.org")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Accept = %v", err)
	}
	set("maxmemory-policy", "noeviction")
	until(t, "green again", func() bool { return s.Admit() == nil })
	set("maxmemory", "1")
	until(t, "full", func() bool { return errors.Is(s.Admit(), ErrFull) })
	if _, _, err := s.Messages.Accept(t.Context(), draft(s.Messages, "ada@example.org")); !errors.Is(err, ErrFull) {
		t.Errorf("Accept = %v", err)
	}
	set("maxmemory", "1gb")
	until(t, "room again", func() bool { return s.Admit() == nil })
	select {
	case err := <-ended:
		t.Errorf("Run ended: %v", err)
	default:
	}
}

// silentRedis forbids everything that it is asked, and notes when it was for its settings.
type silentRedis struct{ asked []time.Time }

func (s *silentRedis) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s *silentRedis) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(context.Context, []redis.Cmder) error { return errSilent }
}

func (s *silentRedis) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "config" && cmd.Args()[2] == "appendfsync" {
			s.asked = append(s.asked, time.Now())
		}
		cmd.SetErr(errSilent)
		return errSilent
	}
}

// errSilent is how Redis forbids a command.
const errSilent = forbiddance("NOPERM no")

type forbiddance string

func (f forbiddance) Error() string { return string(f) }
func (forbiddance) RedisError()     {}

func TestGuardLooksEvery30Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := new(silentRedis)
		rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
		defer rdb.Close()
		rdb.AddHook(silent)
		g := New(rdb, Options{}).Guard(GuardOptions{})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute+time.Second)
		defer cancel()
		begun := time.Now()
		if err := g.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if n := len(silent.asked); n != 10 {
			t.Errorf("%d inspections in 5 minutes, want 10", n)
		}
		for i, at := range silent.asked {
			if got, want := at.Sub(begun), time.Duration(i+1)*30*time.Second; got != want {
				t.Errorf("inspection %d after %v, want %v", i+1, got, want)
			}
		}
	})
}

func TestGuardSeesARestart(t *testing.T) {
	r := redistest.Start(t)
	s := New(connect(t, r.URL), Options{})
	anew := make(chan struct{}, 10)
	_, ended := watch(t, s, GuardOptions{DataDir: t.TempDir(), Restarted: func() { anew <- struct{}{} }})
	r.Kill()
	r.Again()
	select {
	case <-anew:
	case err := <-ended:
		t.Fatalf("Run = %v", err)
	case <-time.After(30 * time.Second):
		t.Fatal("the restart was not seen")
	}
	r.Kill()
	r.Empty()
	r.Again()
	select {
	case err := <-ended:
		if !errors.Is(err, ErrEpoch) {
			t.Errorf("Run = %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the lost volume was not seen")
	}
}

func TestEpoch(t *testing.T) {
	rdb := connect(t, redistest.Server(t))
	s := New(rdb, Options{})
	ours, theirs := t.TempDir(), filepath.Join(t.TempDir(), "made")
	check := func(what, dir string, want error) {
		t.Helper()
		if err := s.CheckEpoch(t.Context(), dir); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	accept := func(dir string) {
		t.Helper()
		if err := s.AcceptEpoch(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
	}
	check("the first time", ours, nil)
	f := &fixture{Store: s, rdb: rdb}
	f.accept(t, draft(s.Messages, "ada@example.org"))
	check("with events", ours, nil)
	check("another process", theirs, nil)
	check("no mirror", "", nil)

	stream := keysOf("live", 0).stream()
	if err := rdb.XTrimMaxLen(t.Context(), stream, 0).Err(); err != nil {
		t.Fatal(err)
	}
	check("trimmed", ours, nil)
	if err := rdb.Del(t.Context(), stream).Err(); err != nil {
		t.Fatal(err)
	}
	check("events lost", ours, ErrEpoch)
	accept(ours)
	check("accepted", ours, nil)
	check("who follows", theirs, nil)

	if err := rdb.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	check("flushed", ours, ErrEpoch)
	check("a new process on it", t.TempDir(), nil)
	check("another epoch", ours, ErrEpoch)
	accept(ours)
	check("accepted again", ours, nil)
	check("who knew the same epoch", theirs, nil)
	check("and here still", ours, nil)

	if err := os.WriteFile(filepath.Join(ours, mirrorFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	check("a broken mirror", ours, errMirror)
	accept(ours)
	check("mended", ours, nil)
}
