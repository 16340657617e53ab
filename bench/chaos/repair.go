package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// promised is within what time an attempt that died before its mark is tried again.
const promised = 45 * time.Second

// The lines of the service's log that tell what became of attempts.
const (
	saidServing  = "serving"
	saidAttempt  = "attempt"
	saidGiveBack = "attempt of a dead worker given back"
	saidUnknown  = "attempt of a dead worker is an unknown outcome"
)

// entry is one line of a log.
type entry struct {
	Time     time.Time `json:"time"`
	Said     string    `json:"msg"`
	Message  string    `json:"message"`
	Envelope int       `json:"envelope"`
	Fence    int64     `json:"fence"`
	Worker   string    `json:"worker"`
	Begun    time.Time `json:"begun"`
	MS       int64     `json:"ms"`
}

// began is when the attempt of which it tells began.
func (e entry) began() time.Time {
	if e.Said == saidAttempt {
		return e.Time.Add(-time.Duration(e.MS) * time.Millisecond)
	}
	return e.Begun
}

// history is what the logs of all processes say.
type history struct {
	entries []entry
	ends    map[string]time.Time // when workers ended, by their names
	cuts    []time.Time          // when Redis was killed
}

// repairs is how long orphans waited: attempts that were given back, since they died
// before their mark.
type repairs struct {
	times  []time.Duration // from the kill to the next attempt, sorted
	untold int             // of which no log tells the next attempt
}

// repaired reads all logs.
func (f *fleet) repaired() (repairs, error) {
	h := history{ends: make(map[string]time.Time), cuts: f.cuts}
	logs, err := filepath.Glob(filepath.Join(f.rig.Dir, "*-worker.log"))
	if err != nil {
		return repairs{}, err
	}
	for _, path := range logs {
		if err := h.read(path, f.ends[path]); err != nil {
			return repairs{}, fmt.Errorf("read %s: %w", path, err)
		}
	}
	return h.repairs(), nil
}

// read adds the log of a process that ended at a time; zero: it runs.
func (h *history) read(path string, ended time.Time) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e entry
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue // the last line of a process that was killed
		}
		switch e.Said {
		case saidServing:
			if !ended.IsZero() {
				h.ends[e.Worker] = ended
			}
		case saidAttempt, saidGiveBack, saidUnknown:
			h.entries = append(h.entries, e)
		}
	}
	return lines.Err()
}

// repairs measures each orphan, from what hit it to the envelope's next attempt.
func (h *history) repairs() repairs {
	byFence := func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.Message, b.Message), cmp.Compare(a.Envelope, b.Envelope), cmp.Compare(a.Fence, b.Fence))
	}
	slices.SortFunc(h.entries, byFence)
	var r repairs
	for i, e := range h.entries {
		if e.Said != saidGiveBack {
			continue
		}
		next := slices.IndexFunc(h.entries[i:], func(n entry) bool { return byFence(e, n) != 0 })
		if next < 0 || h.entries[i+next].Message != e.Message || h.entries[i+next].Envelope != e.Envelope {
			r.untold++
			continue
		}
		r.times = append(r.times, h.entries[i+next].began().Sub(h.hit(e)))
	}
	slices.Sort(r.times)
	return r
}

// hit is when an orphan became one: its worker ended, or, if that lives, the reply
// to its Begin was lost with Redis.
func (h *history) hit(e entry) time.Time {
	if at, ok := h.ends[e.Worker]; ok && at.Before(e.Time) {
		return at
	}
	hit := e.Begun
	for _, at := range h.cuts {
		if at.After(hit) && at.Before(e.Time) {
			hit = at
		}
	}
	return hit
}

// print reports, and tells whether the promise was kept.
func (r repairs) print() bool {
	fmt.Printf("orphans without mark  %7d   tried again after %s", len(r.times)+r.untold, spread(r.times))
	if r.untold > 0 {
		fmt.Printf(" (of %d no log tells when)", r.untold)
	}
	fmt.Println()
	late := 0
	for _, d := range r.times {
		if d > promised {
			late++
		}
	}
	if late > 0 {
		fmt.Printf("LATE %d of them later than %v\n", late, promised)
	}
	return late == 0
}
