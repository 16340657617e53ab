package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"postrider/bench/ledger"
)

// ask reads a page of the API into result.
func (f *fleet) ask(path string, result any) error {
	request, err := http.NewRequest(http.MethodGet, f.services[0].URL+path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+f.setup.Key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, response.Status)
	}
	return json.Unmarshal(raw, result)
}

// unknowns counts the unknown outcomes that the service lists for a message.
func (f *fleet) unknowns(id string) (int, error) {
	var page struct {
		Data []struct {
			Outcomes []struct{ Outcome string }
		}
	}
	if err := f.ask("/v1/messages/"+id+"/attempts", &page); err != nil {
		return 0, err
	}
	n := 0
	for _, a := range page.Data {
		for _, o := range a.Outcomes {
			if o.Outcome == "unknown" {
				n++
			}
		}
	}
	return n, nil
}

// awaitEnd waits until every message that was promised is final, and returns how
// many are not when time is up.
func (f *fleet) awaitEnd(ctx context.Context, promises []ledger.Promise) (int, error) {
	var open []string
	for _, p := range promises {
		if p.ID != "" {
			open = append(open, p.ID)
		}
	}
	deadline := time.Now().Add(f.o.settle)
	for {
		var err error
		if open, err = f.stillOpen(open); err != nil {
			return 0, err
		}
		if len(open) == 0 || time.Now().After(deadline) {
			return len(open), nil
		}
		say("  %d messages are not final yet", len(open))
		if err := f.rest(ctx, 5*time.Second); err != nil {
			return 0, err
		}
	}
}

func (f *fleet) stillOpen(ids []string) (open []string, err error) {
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(8)
	for _, id := range ids {
		group.Go(func() error {
			var m struct{ Status string }
			if err := f.ask("/v1/messages/"+id, &m); err != nil {
				return err
			}
			if slices.Contains([]string{"queued", "scheduled", "processing", "deferred"}, m.Status) {
				mu.Lock()
				defer mu.Unlock()
				open = append(open, id)
			}
			return nil
		})
	}
	return open, group.Wait()
}

// disturbed is how late a mail must be for what happened to be the reason.
const disturbed = 2 * time.Second

// heldUp are the times from the first blow after a 202 to the mail's arrival, of
// the mails that were late for whatever reason and had no unknown outcome, sorted.
// They are bounds from above: the blow that hit a mail may have been a later one,
// and may have hit it again.
func (f *fleet) heldUp(promises []ledger.Promise, arrivals []ledger.Arrival) (list []time.Duration, unknown int, err error) {
	first := make(map[string]time.Time)
	for _, a := range arrivals {
		if at, ok := first[a.Recipient]; !ok || a.At.Before(at) {
			first[a.Recipient] = a.At
		}
	}
	for _, p := range promises {
		at, ok := first[p.Recipient]
		if !ok || p.ID == "" || at.Sub(p.Answered) < disturbed {
			continue
		}
		n, err := f.unknowns(p.ID)
		if err != nil {
			return nil, 0, err
		}
		if n > 0 {
			unknown++
			continue
		}
		since := p.Answered
		for _, b := range f.blows {
			if b.After(p.Begun) && b.Before(at) {
				since = b
				break
			}
		}
		list = append(list, at.Sub(since))
	}
	slices.Sort(list)
	return list, unknown, nil
}

// spread says how times are distributed; they are sorted.
func spread(list []time.Duration) string {
	if len(list) == 0 {
		return "-"
	}
	return fmt.Sprintf("p50 %.1f s, p95 %.1f s, longest %.1f s",
		list[len(list)/2].Seconds(), list[len(list)*95/100].Seconds(), list[len(list)-1].Seconds())
}

func (f *fleet) print(r *ledger.Report, open int, promises []ledger.Promise, arrivals []ledger.Arrival) {
	fmt.Printf("\n%d kills (%d of workers, %d of APIs, %d of Redis), %d rolling restarts; %d processes did not end in time\n",
		f.kills, f.o.workers, f.o.apis, f.o.redis, f.rolled, f.late)
	fmt.Printf("202s given            %7d   (%d POSTs never got one)\n", r.Promised, r.Unanswered)
	fmt.Printf("arrived               %7d\n", r.Arrived)
	fmt.Printf("lost                  %7d\n", len(r.Lost))
	fmt.Printf("not arrived, listed   %7d\n", r.Listed)
	fmt.Printf("duplicates            %7d\n", r.Duplicates)
	fmt.Printf("unexplained           %7d\n", len(r.Unexplained))
	fmt.Printf("strange               %7d\n", len(r.Strange))
	fmt.Printf("not final at the end  %7d\n", open)
	list, unknown, err := f.heldUp(promises, arrivals)
	if err != nil {
		fmt.Printf("held up               unknown: %v\n", err)
	} else {
		fmt.Printf("held up               %7d   at most %s, from the first blow; %d more after an unknown outcome\n", len(list), spread(list), unknown)
	}
	for _, p := range r.Lost[:min(len(r.Lost), 10)] {
		fmt.Printf("LOST %s to %s, answered %s\n", p.ID, p.Recipient, p.Answered.Format(time.StampMilli))
	}
	for _, a := range slices.Concat(r.Unexplained, r.Strange)[:min(len(r.Unexplained)+len(r.Strange), 10)] {
		fmt.Printf("UNEXPLAINED %s to %s at %s\n", a.ID, a.Recipient, a.At.Format(time.StampMilli))
	}
}
