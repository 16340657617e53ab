package dashboard

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"postrider/internal/email"
	"postrider/internal/queue"
	"postrider/internal/store"
)

// refreshOverview is how often the overview looks again, in seconds.
const refreshOverview = 5

// waitingSample is how many deferred messages are looked at for where they wait.
const waitingSample = 100

// receiversShown is how many receivers the overview lists.
const receiversShown = 8

type overviewPage struct {
	frame
	Reach     reach
	Reaches   []reach
	Points    []point // what is not well; none: all is
	Tiles     []tile
	Flow      chart
	Latency   chart
	Deferred  int64 // messages, now
	Waiting   []destination
	Sampled   bool // there are more deferred messages than were looked at
	Providers []provider
	Queues    []queue.Size
	Hooks     []*store.Webhook
	Checks    []Check
	Curl      string
	Nothing   bool // no mail was ever seen here
}

// tile is one number.
type tile struct {
	Name, Value, Note, Path, Class string
}

// destination is a domain to which mail waits.
type destination struct {
	Domain string
	Count  int
	Why    string
	NextAt time.Time
}

// Path leads to the mail that waits for it.
func (d destination) Path() string {
	return "/ui/messages?" + url.Values{"status": {string(email.Deferred)}, "domain": {d.Domain}}.Encode()
}

// provider is how one receiver has been answering.
type provider struct {
	Name                      string
	Delivered, Deferred, Lost int64
	P95                       time.Duration
	Trouble                   bool
}

// reach is how far back the overview looks.
type reach struct {
	Name, Label string
	interval    store.Interval
	back        time.Duration
	since       string // the same for a list of messages
}

func reaches() []reach {
	return []reach{
		{"hour", "Last hour", store.Minute, 59 * time.Minute, "1h"},
		{"day", "Last day", store.Hour, 23 * time.Hour, "24h"},
		{"month", "Last 30 days", store.Day, 29 * 24 * time.Hour, "30d"},
	}
}

func (r reach) question(now time.Time) store.Question {
	return store.Question{Interval: r.interval, From: now.Add(-r.back), To: now}
}

func (d *dashboard) overview(v *visit) error {
	p := overviewPage{frame: d.frame(v, "Overview").every(refreshOverview), Reach: reaches()[0], Reaches: reaches(), Curl: d.Curl}
	for _, r := range p.Reaches {
		if r.Name == v.URL.Query().Get("range") {
			p.Reach = r
		}
	}
	now := d.Now()
	q, ctx := p.Reach.question(now), v.Context()
	counted, providers, err := d.counters(ctx, v.world, q)
	if err != nil {
		return err
	}
	p.Providers = receivers(providers)
	list := buckets(q, counted)
	p.Flow, p.Latency = flowChart(list, q.Interval), latencyChart(list, q.Interval)
	census, err := d.Store.Messages.Census(ctx, v.world)
	if err != nil {
		return err
	}
	p.Deferred = census[email.Deferred].Messages
	if err := d.waiting(ctx, &p); err != nil {
		return err
	}
	held, err := d.Store.Messages.CountQuarantined(ctx, v.world)
	if err != nil {
		return err
	}
	if held > 0 {
		p.Points = append(p.Points, point{"bad", "Mail is quarantined: attempts ended their workers", "/ui/jobs/quarantine"})
	}
	if d.Queue != nil {
		if p.Queues, err = d.Queue.Sizes(ctx, append(queue.Classes(), queue.Notify)...); err != nil {
			return err
		}
	}
	if p.Hooks, err = d.Store.Webhooks.List(ctx, v.world); err != nil {
		return err
	}
	p.Hooks = slices.DeleteFunc(p.Hooks, func(h *store.Webhook) bool { return !ailing(h) })
	if d.Health != nil {
		p.Checks = d.Health(ctx)
	}
	backlog, err := d.Store.Messages.Backlog(ctx, v.world)
	if err != nil {
		return err
	}
	sum := store.Sum(counted)
	p.Nothing = !slices.ContainsFunc(slices.Collect(maps.Values(census)), func(c store.Count) bool { return c.Messages > 0 })
	p.Tiles = d.tiles(p.Reach, sum, census, backlog)
	p.Points = append(p.Points, p.worries(sum, backlog, now)...)
	p.Providers = p.Providers[:min(len(p.Providers), receiversShown)]
	return d.render(v, "overview.html", p)
}

// ailing reports whether an endpoint wants attention.
func ailing(h *store.Webhook) bool {
	return !h.Enabled && h.DisabledReason != "" || !h.Health.FailingSince.IsZero()
}

// counters are what was counted, of all mail and by provider.
func (d *dashboard) counters(ctx context.Context, w email.World, q store.Question) (all, providers []store.Counted, err error) {
	if q.Interval != store.Minute {
		both, err := d.Store.Stats.ReadGroups(ctx, w, q, store.ByStatus, store.ByProvider)
		return both[store.ByStatus], both[store.ByProvider], err
	}
	if all, err = d.Store.Stats.Read(ctx, w, q); err != nil {
		return nil, nil, err
	}
	q.Interval, q.Group = store.Hour, store.ByProvider // few buckets, with more room for names
	providers, err = d.Store.Stats.Read(ctx, w, q)
	return all, providers, err
}

// receivers are the providers of a time, those with trouble first.
func receivers(counted []store.Counted) (out []provider) {
	byName := make(map[string][]store.Counted)
	for _, c := range counted {
		byName[c.Value] = append(byName[c.Value], c)
	}
	for name, list := range byName {
		sum := store.Sum(list)
		p := provider{
			Name: name, Delivered: sum.Counts[string(email.Delivered)], Deferred: sum.Counts[string(email.Deferred)], Lost: lost(sum), P95: sum.P95,
		}
		if name == store.Rest {
			p.Name = "all others"
		}
		answers := p.Delivered + p.Deferred + p.Lost
		p.Trouble = answers >= enough && (p.Deferred+p.Lost)*100 > answers*manyRefused
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b provider) int {
		return cmp.Or(cmp.Compare(b.Deferred+b.Lost, a.Deferred+a.Lost), cmp.Compare(b.Delivered, a.Delivered), strings.Compare(a.Name, b.Name))
	})
	return out
}

// waiting looks at the newest deferred messages: where they wait, and why.
func (d *dashboard) waiting(ctx context.Context, p *overviewPage) error {
	if p.Deferred == 0 {
		return nil
	}
	list, next, err := d.Store.Messages.List(ctx, p.World, store.Filter{Statuses: []email.Status{email.Deferred}}, "", waitingSample)
	if err != nil {
		return err
	}
	p.Sampled = next != ""
	byDomain := make(map[string]*destination)
	for _, m := range list {
		for i, r := range m.Recipients {
			w := m.WaitingFor(i, d.Now())
			if r.State.Status != email.Deferred || w == nil {
				continue
			}
			at := byDomain[r.Address.Domain()]
			if at == nil {
				at = &destination{Domain: r.Address.Domain(), NextAt: w.Until, Why: cmp.Or(replyLine(r.State.LastReply), w.Detail)}
				byDomain[at.Domain] = at
			}
			at.Count++
			if w.Until.Before(at.NextAt) {
				at.NextAt = w.Until
			}
		}
	}
	for _, at := range byDomain {
		p.Waiting = append(p.Waiting, *at)
	}
	slices.SortFunc(p.Waiting, func(a, b destination) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Domain, b.Domain))
	})
	p.Waiting = p.Waiting[:min(len(p.Waiting), 8)]
	return nil
}

// notDelivered are the statuses of messages of which recipients bounced or failed.
const notDelivered = "bounced,failed,partially_delivered"

// tiles are the numbers on top. Each leads to what is behind it.
func (d *dashboard) tiles(r reach, sum store.Counted, census map[email.Status]store.Count, backlog store.Backlog) []tile {
	to := func(statuses string) string { return "/ui/messages?status=" + statuses + "&since=" + r.since }
	ended := sum.Counts[string(email.Delivered)] + lost(sum)
	share := func(n int64) string {
		if ended == 0 {
			return ""
		}
		return fmt.Sprintf("%.1f %% of what ended", 100*float64(n)/float64(ended))
	}
	waits := census[email.Queued].Messages + census[email.Processing].Messages
	queued := tile{Name: "In the queue", Value: count(waits), Path: "/ui/messages?status=queued,processing", Note: "nothing waits"}
	if backlog.Size > 0 {
		queued.Note = count(backlog.Size) + " not final"
		if oldest := census[email.Queued].Oldest; !oldest.IsZero() {
			queued.Note += ", oldest " + ago(d.Now().Sub(oldest))
		}
	}
	deferred := tile{Name: "Deferred now", Value: count(census[email.Deferred].Messages), Path: "/ui/messages?status=deferred", Note: count(sum.Counts["deferred"]) + " deferrals"}
	if census[email.Deferred].Messages > 0 {
		deferred.Class = "wait"
	}
	bounced := tile{Name: "Bounced or failed", Value: count(lost(sum)), Note: share(lost(sum)), Path: to(notDelivered)}
	if ended >= enough && lost(sum)*100 > ended*manyLost {
		bounced.Class = "bad"
	}
	latency := tile{Name: "Time to deliver", Value: "–", Note: "nothing ended", Path: to(string(email.Delivered))}
	if sum.P50 > 0 {
		latency.Value, latency.Note = short(sum.P50), "95\u00a0% within "+short(sum.P95)+", 99\u00a0% "+short(sum.P99)
	}
	return []tile{
		{Name: "Accepted", Value: count(sum.Counts[store.Accepted]), Note: "recipients", Path: "/ui/messages?since=" + r.since},
		{Name: "Delivered", Value: count(sum.Counts[string(email.Delivered)]), Note: share(sum.Counts[string(email.Delivered)]), Path: to(string(email.Delivered))},
		queued, deferred, bounced, latency,
	}
}
