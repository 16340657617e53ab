package store

import (
	"crypto/tls"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/convoy"
	"postrider/internal/redistest"
)

// words are the words of faults, fatal ones with "!".
func words(faults []Fault) []string {
	var out []string
	for _, f := range faults {
		word := f.Word
		if f.Fatal {
			word += "!"
		}
		out = append(out, word)
	}
	return out
}

func TestInspectSettings(t *testing.T) {
	rdb := connect(t, redistest.Server(t))
	s := New(rdb, Options{})
	set := func(name, value string) {
		t.Helper()
		if err := rdb.ConfigSet(t.Context(), name, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	set("maxmemory", "1gb")
	for _, c := range []struct {
		name, value, before string
		level               string
		want                []string
	}{
		{"appendfsync", "always", "everysec", "always", nil},
		{"appendfsync", "everysec", "everysec", "everysec", []string{"everysec"}},
		{"appendfsync", "no", "everysec", "no", []string{"no-fsync!"}},
		{"appendonly", "no", "yes", "none", []string{"no-append-only!"}},
		{"no-appendfsync-on-rewrite", "yes", "no", "everysec", []string{"everysec", "no-fsync-on-rewrite"}},
		{"stop-writes-on-bgsave-error", "no", "yes", "everysec", []string{"everysec", "writes-on-save-error"}},
		{"maxmemory-policy", "allkeys-lru", "noeviction", "everysec", []string{"everysec", "eviction!"}},
		{"maxmemory", "0", "1gb", "everysec", []string{"everysec", "no-maxmemory"}},
	} {
		set(c.name, c.value)
		got, err := s.Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got.Level != c.level || !slices.Equal(words(got.Faults), c.want) {
			t.Errorf("%s %s: level %s, faults %q; want %s, %q", c.name, c.value, got.Level, words(got.Faults), c.level, c.want)
		}
		if got.RunID == "" || got.Version == "" || got.MemoryUsed <= 0 || got.MemoryLimit < got.MemoryUsed {
			t.Errorf("%s %s: %+v", c.name, c.value, got)
		}
		set(c.name, c.before)
	}
}

func TestInspectReplica(t *testing.T) {
	rdb := connect(t, redistest.Server(t))
	if err := rdb.ReplicaOf(t.Context(), "127.0.0.1", "1").Err(); err != nil {
		t.Fatal(err)
	}
	got, err := New(rdb, Options{}).Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if fatal := words(got.Fatal(nil)); !slices.Equal(fatal, []string{"replica!"}) {
		t.Errorf("fatal faults %q", fatal)
	}
	if fatal := got.Fatal([]string{"replica"}); fatal != nil {
		t.Errorf("allowed, but still %q", words(fatal))
	}
}

func TestInspectForbidden(t *testing.T) {
	url := redistest.Server(t)
	rdb := connect(t, url)
	if err := rdb.Do(t.Context(), "ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-config", "-info").Err(); err != nil {
		t.Fatal(err)
	}
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	o.Username, o.Password, o.DisableIdentity = "app", "pw", true
	managed := redis.NewClient(o)
	t.Cleanup(func() { _ = managed.Close() })
	got, err := New(managed, Options{}).Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.Level != LevelUnknown || !slices.Equal(words(got.Fatal(nil)), []string{"durability-unknown!"}) {
		t.Errorf("level %s, faults %q", got.Level, words(got.Faults))
	}
}

func TestInspectNobody(t *testing.T) {
	if got, err := New(connect(t, "redis://127.0.0.1:1"), Options{}).Inspect(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Inspect = %+v, %v", got, err)
	}
	got, err := New(connect(t, "redis://127.0.0.1:1"), Options{InProcess: true}).Inspect(t.Context())
	if err != nil || got.Level != LevelMemory || len(got.Faults) != 0 {
		t.Errorf("in process: %+v, %v", got, err)
	}
}

// The service wraps its client: how Redis is reached is seen through that.
func TestInspectSeesHowRedisIsReached(t *testing.T) {
	for _, c := range []struct {
		o    redis.Options
		want [3]bool // local, secured, encrypted
	}{
		{redis.Options{Addr: "192.0.2.1:6379"}, [3]bool{}},
		{redis.Options{Addr: "192.0.2.1:6379", Password: "p", TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12}}, [3]bool{false, true, true}},
		{redis.Options{Addr: "127.0.0.1:6379"}, [3]bool{true, false, false}},
	} {
		client := redis.NewClient(&c.o)
		defer client.Close()
		for name, rdb := range map[string]redis.UniversalClient{"bare": client, "wrapped": convoy.New(client)} {
			local, secured, encrypted := describe(rdb)
			if got := [3]bool{local, secured, encrypted}; got != c.want {
				t.Errorf("%s, %s: %v, want %v", c.o.Addr, name, got, c.want)
			}
		}
	}
}

func TestFaultsByAnswers(t *testing.T) {
	for _, c := range []struct {
		name string
		a    answers
		want []string
	}{
		{"old", answers{local: true, info: map[string]string{"redis_version": "6.2.7"}}, []string{"old-redis!"}},
		{"newer", answers{local: true, info: map[string]string{"redis_version": "10.0.1"}}, nil},
		{"a loose replica", answers{
			local: true, info: map[string]string{"role": "master", "connected_slaves": "1"},
			config: map[string]string{"min-replicas-to-write": "0"},
		}, []string{"failover-loses"}},
		{"evicted", answers{local: true, info: map[string]string{"evicted_keys": "3"}}, []string{"evicted"}},
		{"disk", answers{local: true, info: map[string]string{"rdb_last_bgsave_status": "err"}}, nil}, // no file: nothing hangs on it
		{"open to the network", answers{encrypted: true, user: "default"}, []string{"passwordless-redis!"}},
		{"default user, no TLS", answers{secured: true, user: "default"}, []string{"default-user", "no-tls"}},
		{"own user, TLS", answers{secured: true, user: "app", encrypted: true}, nil},
		{"clock 3 s", answers{local: true, ahead: -3 * time.Second}, []string{"clock"}},
		{"clock 11 s", answers{local: true, ahead: 11 * time.Second}, []string{"clock!"}},
		{"clock 1 s", answers{local: true, ahead: time.Second}, nil},
	} {
		i := &Inspection{Version: c.a.info["redis_version"]}
		i.judge(&c.a)
		if got := words(i.Faults); !slices.Equal(got, c.want) {
			t.Errorf("%s: faults %q, want %q", c.name, got, c.want)
		}
		for _, f := range i.Faults {
			if f.Fatal && !slices.Contains(UnsafeWords(), f.Word) {
				t.Errorf("%s: %s cannot be allowed", c.name, f.Word)
			}
		}
	}
}
