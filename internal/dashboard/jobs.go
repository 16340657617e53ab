package dashboard

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"postrider/internal/email"
	"postrider/internal/queue"
	"postrider/internal/store"
)

const (
	refreshJobs = 3   // seconds
	jobsShown   = 50  // on a page of a queue
	workShown   = 20  // of each process
	heldShown   = 50  // quarantined messages
	rateWindow  = 60  // seconds over which a rate is measured
	maxJobPage  = 200 // asynq reads all pages before one
)

// rates remember how many jobs had ended when, for a rate without asking more of Redis.
type rates struct {
	mu   sync.Mutex
	seen map[string][]ended
}

type ended struct {
	at    time.Time
	total int64
}

// note adds a measurement and gives the rate per second since the oldest one that still
// counts; false if there is none.
func (r *rates) note(class string, total int64, now time.Time) (float64, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = make(map[string][]ended)
	}
	list := slices.DeleteFunc(r.seen[class], func(e ended) bool { return now.Sub(e.at) > rateWindow*time.Second || e.total > total })
	if len(list) == 0 || now.Sub(list[len(list)-1].at) >= time.Second {
		list = append(list, ended{now, total})
	}
	r.seen[class] = list
	if took := now.Sub(list[0].at).Seconds(); took >= 1 {
		return float64(total-list[0].total) / took, true
	}
	return 0, false
}

// queueView is one queue of the list.
type queueView struct {
	queue.Size
	Rate  float64 // jobs a second
	Rated bool
	About string
}

type jobsPage struct {
	frame
	Queues    []queueView
	Processes []queue.Process
	None      bool // this process does not see the queues
}

// Size is one queue by its name.
func (p jobsPage) Size(class string) queue.Size {
	for _, q := range p.Queues {
		if q.Class == class {
			return q.Size
		}
	}
	return queue.Size{}
}

func allQueues() []string { return append(queue.Classes(), queue.Notify) }

// about says what a queue is for.
func about(class string) string {
	return map[string]string{
		queue.Critical: "mail that cannot wait", queue.Default: "mail", queue.Bulk: "mail that may wait", queue.Notify: "webhooks",
	}[class]
}

// jobs is all queues, and who works on them.
func (d *dashboard) jobs(v *visit) error {
	p := jobsPage{frame: d.frame(v, "Jobs").every(refreshJobs), None: d.Queue == nil}
	if p.None {
		return d.render(v, "jobs.html", p)
	}
	sizes, err := d.Queue.Sizes(v.Context(), allQueues()...)
	if err != nil {
		return err
	}
	for _, s := range sizes {
		q := queueView{Size: s, About: about(s.Class)}
		q.Rate, q.Rated = d.rates.note(s.Class, s.Total, d.Now())
		p.Queues = append(p.Queues, q)
	}
	if p.Processes, err = d.Queue.Processes(v.Context(), workShown); err != nil {
		return err
	}
	return d.render(v, "jobs.html", p)
}

type queuePage struct {
	frame
	Queue  queueView
	State  queue.State
	States []choice
	Jobs   []queue.Job
	Newer  string
	Older  string
}

// theQueue is the queue that a path names.
func (d *dashboard) theQueue(v *visit) (string, error) {
	class := v.PathValue("queue")
	if d.Queue == nil || !slices.Contains(allQueues(), class) {
		return "", store.ErrNotFound
	}
	return class, nil
}

// queuePage is the jobs of one queue in one state.
func (d *dashboard) queuePage(v *visit) error {
	class, err := d.theQueue(v)
	if err != nil {
		return err
	}
	p := queuePage{frame: d.frame(v, "Queue "+class), State: queue.State(v.URL.Query().Get("state"))}
	sizes, err := d.Queue.Sizes(v.Context(), class)
	if err != nil {
		return err
	}
	p.Queue = queueView{Size: sizes[0], About: about(class)}
	if p.State == "" {
		p.State = busy(sizes[0])
	}
	if !slices.Contains(queue.States(), p.State) {
		return &refusal{http.StatusNotFound, "No such state", "A job is pending, active, scheduled, retrying or archived."}
	}
	path := func(page int) string {
		return "/ui/jobs/" + class + "?state=" + string(p.State) + "&page=" + strconv.Itoa(page)
	}
	page, err := strconv.Atoi(v.URL.Query().Get("page"))
	if err != nil || page < 1 {
		page = 1
		p.frame = p.every(refreshJobs)
	}
	last := min(max(1, (sizes[0].Jobs[p.State]+jobsShown-1)/jobsShown), maxJobPage)
	if page > last {
		http.Redirect(v.w, v.Request, path(last), http.StatusSeeOther)
		return nil
	}
	if p.Jobs, err = d.Queue.List(v.Context(), class, p.State, page, jobsShown); err != nil {
		return err
	}
	for _, s := range queue.States() {
		p.States = append(p.States, choice{Value: count(sizes[0].Jobs[s]), Label: string(s), Path: "/ui/jobs/" + class + "?state=" + string(s), Chosen: s == p.State})
	}
	if page > 1 {
		p.Newer = path(page - 1)
	}
	if page < last {
		p.Older = path(page + 1)
	}
	return d.render(v, "queue.html", p)
}

// busy is the state that a queue is shown in first: the first that has jobs.
func busy(s queue.Size) queue.State {
	for _, state := range queue.States() {
		if s.Jobs[state] > 0 {
			return state
		}
	}
	return queue.Pending
}

// steer pauses or resumes a queue.
func (d *dashboard) steer(pause bool) func(*visit) (string, error) {
	return func(v *visit) (string, error) {
		class, err := d.theQueue(v)
		if err != nil {
			return "", err
		}
		sizes, err := d.Queue.Sizes(v.Context(), class)
		if err != nil {
			return "", err
		}
		change, word := d.Queue.Resume, "resumed"
		if pause {
			change, word = d.Queue.Pause, "paused"
		}
		if err := change(v.Context(), class); errors.Is(err, queue.ErrUnused) {
			return "", refused("Nothing was ever in the queue %s, so there is nothing to hold back.", class)
		} else if err != nil {
			return "", err
		}
		if sizes[0].Paused != pause {
			v.did(class, "")
		}
		return done("/ui/jobs", word), nil
	}
}

// changeJob runs or deletes one job.
func (d *dashboard) changeJob(remove bool) func(*visit) (string, error) {
	return func(v *visit) (string, error) {
		class, err := d.theQueue(v)
		if err != nil {
			return "", err
		}
		change, word := d.Queue.Run, "run"
		if remove {
			change, word = d.Queue.Delete, "deleted"
		}
		id := v.PostFormValue("id")
		switch err := change(v.Context(), class, id); {
		case errors.Is(err, queue.ErrNoJob):
			return "", &refusal{http.StatusNotFound, "No such job", "It ended meanwhile, or another one took its place."}
		case errors.Is(err, queue.ErrRuns):
			return "", refused("The job is running, or about to: it can be changed no more.")
		case err != nil:
			return "", err
		}
		v.did(id, "of "+class)
		return done(ownPath(v.PostFormValue("back")), word), nil
	}
}

// held is one quarantined message.
type held struct {
	row
	Cause string
}

type quarantinePage struct {
	frame
	Held     []held
	LookedTo time.Time // zero: to the end
	Older    string
}

// quarantine is the messages that nobody tries until somebody looked at them.
func (d *dashboard) quarantine(v *visit) error {
	p := quarantinePage{frame: d.frame(v, "Quarantine")}
	before := v.URL.Query().Get("from")
	if _, err := email.ParseID(email.MessagePrefix, before); before != "" && err != nil {
		return store.ErrNotFound
	}
	list, next, err := d.Store.Messages.List(v.Context(), v.world, store.Filter{Quarantined: true}, before, heldShown)
	if err != nil {
		return err
	}
	ids := make([]string, len(list))
	for i, m := range list {
		ids[i] = m.ID
	}
	causes, err := d.Store.Messages.QuarantineCauses(v.Context(), v.world, ids)
	if err != nil {
		return err
	}
	for i, m := range list {
		h := held{v.messageRow(m), causes[i]}
		h.Note = "" // the cause says it
		p.Held = append(p.Held, h)
	}
	if next != "" {
		p.Older = "/ui/jobs/quarantine?from=" + next
		if id, err := email.ParseID(email.MessagePrefix, next); err == nil {
			p.LookedTo = email.IDTime(id)
		}
	}
	return d.render(v, "quarantine.html", p)
}
