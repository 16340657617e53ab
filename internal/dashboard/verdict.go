package dashboard

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"postrider/internal/email"
	"postrider/internal/queue"
	"postrider/internal/store"
)

// What makes the overview say that something is wrong. Shares are in percent.
const (
	slowPickup   = 30 * time.Second // a job waits for a worker
	lateSweep    = time.Minute      // the sweeper did not come by
	enough       = 20               // of anything, before a share of it means something
	manyLost     = 5                // of what ended; reputations suffer from there on
	manyRefused  = 10               // of one receiver's answers that put off or refuse mail
	manyDeferred = 50               // of all answers; greylisting defers each mail once, which is a half
	nearlyAll    = 90               // from there on mail does not flow, whatever the reason
	namesShown   = 3                // of what has the same trouble; a list of more is below
)

// point is one thing that wants attention.
type point struct {
	Class string // bad, wait
	Text  string
	Path  string // where it can be looked at
}

// worries are what is not well, the worst first.
func (p *overviewPage) worries(sum store.Counted, backlog store.Backlog, now time.Time) (out []point) {
	for _, c := range p.Checks {
		if !c.OK {
			out = append(out, point{"bad", c.Name + ": " + c.Detail, "#health"})
		}
	}
	for _, q := range p.Queues {
		path := "/ui/jobs/" + q.Class
		switch {
		case q.Paused:
			out = append(out, point{"wait", "The queue " + q.Class + " is paused", path})
		case q.Oldest > slowPickup:
			out = append(out, point{"bad", "Jobs of the queue " + q.Class + " have waited " + ago(q.Oldest) + " for a worker", path})
		}
		if n := q.Jobs[queue.Archived]; n > 0 {
			out = append(out, point{"wait", count(int64(n)) + " jobs of the queue " + q.Class + " cannot be read", path + "?state=archived"})
		}
	}
	if late := now.Sub(backlog.Next); !backlog.Next.IsZero() && late > lateSweep {
		out = append(out, point{"bad", "No worker has looked after waiting mail for " + ago(late) + ": is a process with the role worker running?", "/ui/jobs"})
	}
	out = slices.Concat(out, p.hookWorries(now), p.flowWorries(sum), p.receiverWorries())
	slices.SortStableFunc(out, func(a, b point) int { return strings.Compare(a.Class, b.Class) })
	return out
}

// hookWorries are the webhooks that want attention, a few by where they are: two may have
// one host.
func (p *overviewPage) hookWorries(now time.Time) (out []point) {
	for i, h := range p.Hooks {
		if i == namesShown {
			return append(out, point{"wait", count(len(p.Hooks)-i) + " more webhooks want attention", "#hooks"})
		}
		name, path := "The webhook", "/ui/webhooks/"+h.ID
		if u, err := url.Parse(h.URL); err == nil {
			name += " at " + u.Host + strings.TrimSuffix(u.EscapedPath(), "/")
		}
		if h.Enabled {
			out = append(out, point{"wait", name + " has not answered as it should for " + ago(now.Sub(h.Health.FailingSince)), path})
		} else {
			out = append(out, point{"bad", name + " was disabled: " + map[string]string{
				store.DisabledGone: "it answered 410", store.DisabledFailing: "it failed for five days",
			}[h.DisabledReason], path})
		}
	}
	return out
}

// flowWorries are shares of the mail that are put off or lost which are not usual.
func (p *overviewPage) flowWorries(sum store.Counted) (out []point) {
	ended, deferred := sum.Counts[string(email.Delivered)]+lost(sum), sum.Counts[string(email.Deferred)]
	if ended >= enough && lost(sum)*100 > ended*manyLost {
		class := "wait"
		if lost(sum)*100 > ended*nearlyAll {
			class = "bad"
		}
		out = append(out, point{class, fmt.Sprintf("%.0f %% of the mail that ended bounced or failed", 100*float64(lost(sum))/float64(ended)), "/ui/messages?status=" + notDelivered + "&since=" + p.Reach.since})
	}
	answers := ended + deferred
	if p.Deferred > 0 && answers >= enough && deferred*100 > answers*manyDeferred {
		class, waits := "wait", count(p.Deferred)+" messages are"
		// In a quiet time there may be no answers but to old mail of hosts that are gone.
		if deferred*100 > answers*nearlyAll && sum.Counts[store.Accepted] >= enough {
			class = "bad"
		}
		if p.Deferred == 1 {
			waits = "1 message is"
		}
		out = append(out, point{class, fmt.Sprintf("%.0f %% of the answers of receivers put mail off; %s deferred now", 100*float64(deferred)/float64(answers), waits), "/ui/messages?status=deferred"})
	}
	return out
}

// receiverWorries names a few of the receivers with trouble.
func (p *overviewPage) receiverWorries() []point {
	var names []string
	for _, r := range p.Providers {
		if r.Trouble {
			names = append(names, r.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	few := strings.Join(names[:min(len(names), namesShown)], ", ")
	if more := len(names) - namesShown; more > 0 {
		few += " and " + count(more) + " more"
	}
	return []point{{"wait", fmt.Sprintf("Trouble with the mail servers of %s: more than %d %% of their answers put off or refuse mail", few, manyRefused), "#providers"}}
}
