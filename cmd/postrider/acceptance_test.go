package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/internal/redistest"
)

// 2: a process that is killed between storing and answering. The retry is the one
// message. The relay is away, so that all is still there to be counted.
func TestAcceptance02KilledBetweenStoringAndAnswering(t *testing.T) {
	i := install(t, "smtp://127.0.0.1:1")
	proxy := redistest.NewProxy(t, strings.TrimPrefix(i.environ[0], "POSTRIDER_REDIS_URL="))
	through := *i
	through.environ = append([]string{"POSTRIDER_REDIS_URL=" + proxy.URL}, i.environ[1:]...)
	rdb := i.redis()
	one := `{"from":"hi@acme.test","to":"ada@plain.test","subject":"canary-7","text":"t"}`
	for path, body := range map[string]string{"/v1/messages": one, "/v1/messages/batch": `{"messages":[` + one + `,` + one + `]}`} {
		want := int64(strings.Count(body, "canary-7"))
		p := through.serve("--roles", "api")
		if status, _, err := i.postUnder(p, path, body, "warm"+path); status != http.StatusAccepted {
			t.Fatalf("%s: %d %v", path, status, err)
		}
		before := rdb.ZCard(t.Context(), "live:{s0}:ix:a").Val()
		victim := p
		// It dies when the last script is on its way to Redis.
		proxy.Lose(func(request []byte) bool {
			if !bytes.Contains(request, []byte("evalsha")) || !bytes.Contains(request, []byte(lastStep(path))) {
				return false
			}
			victim.signal(syscall.SIGKILL)
			return true
		})
		if status, raw, err := i.postUnder(p, path, body, "killed"+path); err == nil {
			t.Fatalf("%s: the killed process answered %d %s", path, status, raw)
		}
		p.ended()
		for deadline := time.Now().Add(time.Minute); rdb.ZCard(t.Context(), "live:{s0}:ix:a").Val() < before+want; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: nothing was stored", path)
			}
		}
		p = i.serve("--roles", "api")
		status, raw, err := i.postUnder(p, path, body, "killed"+path)
		_, again, _ := i.postUnder(p, path, body, "killed"+path)
		if err != nil || status != http.StatusAccepted || !bytes.Equal(raw, again) {
			t.Errorf("%s: the retry %d %s, then %s, %v", path, status, raw, again, err)
		}
		if got := rdb.ZCard(t.Context(), "live:{s0}:ix:a").Val() - before; got != want {
			t.Errorf("%s: %d messages, want %d", path, got, want)
		}
		p.signal(syscall.SIGTERM)
		p.ended()
	}
}

// 2, at every step: a process is killed after its first request to Redis, after its
// second, and so on until it answers before. Another one is asked again.
func TestAcceptance02KilledAtEachStep(t *testing.T) {
	const mostSteps = 40
	i := install(t, "smtp://127.0.0.1:1")
	proxy := redistest.NewProxy(t, strings.TrimPrefix(i.environ[0], "POSTRIDER_REDIS_URL="))
	through := *i
	through.environ = append([]string{"POSTRIDER_REDIS_URL=" + proxy.URL}, i.environ[1:]...)
	rdb, other := i.redis(), i.serve("--roles", "api")
	one := `{"from":"hi@acme.test","to":"ada@plain.test","subject":"s","text":"t"}`
	for path, body := range map[string]string{"/v1/messages": one, "/v1/messages/batch": `{"messages":[` + one + `,` + one + `]}`} {
		want := int64(strings.Count(body, "subject"))
		killed := 0
		for step := 1; step <= mostSteps; step++ {
			victim := through.serve("--roles", "api")
			before, seen := rdb.ZCard(t.Context(), "live:{s0}:ix:a").Val(), 0
			proxy.Lose(func([]byte) bool {
				if seen++; seen != step {
					return false
				}
				victim.signal(syscall.SIGKILL)
				return true
			})
			key := fmt.Sprint(path, step)
			_, first, err := i.postUnder(victim, path, body, key)
			proxy.Lose(func([]byte) bool { return false })
			status, raw, retry := i.postUnder(other, path, body, key)
			if retry != nil || status != http.StatusAccepted || err == nil && !bytes.Equal(raw, first) {
				t.Errorf("%s, step %d: the retry %d %s, %v; first %s", path, step, status, raw, retry, first)
			}
			if got := rdb.ZCard(t.Context(), "live:{s0}:ix:a").Val() - before; got != want {
				t.Errorf("%s, step %d: %d messages, want %d", path, step, got, want)
			}
			if err == nil { // there were no more steps
				_ = victim.cmd.Process.Kill()
				break
			}
			victim.ended()
			killed++
		}
		if killed < 2 || killed == mostSteps {
			t.Errorf("%s: killed at %d steps", path, killed)
		}
		t.Logf("%s: killed at %d steps", path, killed)
	}
}

// lastStep is what the request holds after which there is a message.
func lastStep(path string) string {
	if path == "/v1/messages" {
		return "canary-7"
	}
	return "live:{s0}:staged"
}

// postUnder posts under an Idempotency-Key and gives the answer as it came.
func (i *installation) postUnder(p *process, path, body, key string) (int, []byte, error) {
	request, err := http.NewRequest("POST", p.url+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Authorization", "Bearer "+i.key)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	return response.StatusCode, raw, err
}
