package library_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
	"postrider/internal/library"
	"postrider/internal/redistest"
	"postrider/internal/store"
)

// shop is a library with the Redis behind it.
type shop struct {
	*library.Library
	t   *testing.T
	rdb *redis.Client
}

func open(t *testing.T, url string) *shop {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(o)
	t.Cleanup(func() { _ = rdb.Close() })
	return &shop{Library: library.New(store.New(rdb, store.Options{}), slog.New(slog.DiscardHandler)), t: t, rdb: rdb}
}

// twice runs every script a second time and gives only the second answer, as go-redis
// does when a reply is lost.
type twice struct{ redis.Hook }

func (twice) DialHook(next redis.DialHook) redis.DialHook { return next }
func (twice) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (twice) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.HasPrefix(cmd.Name(), "eval") {
			_ = next(ctx, redis.NewCmd(ctx, cmd.Args()...))
		}
		return next(ctx, cmd)
	}
}

// each runs a test on both Redis servers, with replies that come and that are lost.
func each(t *testing.T, test func(t *testing.T, s *shop)) {
	redistest.Each(t, func(t *testing.T, url string) {
		for _, name := range []string{"once", "twice"} {
			t.Run(name, func(t *testing.T) {
				s := open(t, url)
				if err := s.rdb.FlushAll(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}
				if name == "twice" {
					s.rdb.AddHook(twice{})
				}
				test(t, s)
			})
		}
	})
}

func text(s string) *string { return &s }

func author() library.Author {
	return library.Author{World: email.Live, Name: "ada", At: time.Now()}
}

// edit makes one of "member=value" words.
func edit(words ...string) *library.Edit {
	e := &library.Edit{}
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		map[string]func(){
			"alias": func() { e.Alias = &value }, "name": func() { e.Name = &value }, "kind": func() { e.Kind = &value },
			"layout": func() { e.Layout = &value }, "subject": func() { e.Subject = &value }, "html": func() { e.HTML = &value },
			"text": func() { e.Text = &value }, "from": func() { e.From = &value },
		}[name]()
	}
	return e
}

func (s *shop) create(words ...string) (*library.Stored, error) {
	e := edit(words...)
	if e.Name == nil {
		e.Name = text("T")
	}
	if e.Kind == nil || *e.Kind == library.Message {
		e.Subject = text("s")
	}
	return s.Create(s.t.Context(), author(), e)
}

func (s *shop) must(t *library.Stored, err error) *library.Stored {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	return t
}

func (s *shop) change(name string, words ...string) (*library.Stored, error) {
	return s.Update(s.t.Context(), author(), name, edit(words...))
}

func (s *shop) publish(name string) (*library.Stored, error) {
	return s.Publish(s.t.Context(), author(), name)
}

func (s *shop) published(words ...string) *library.Stored {
	s.t.Helper()
	return s.must(s.publish(s.must(s.create(words...)).ID))
}

func (s *shop) render(o library.Order) string {
	s.t.Helper()
	r, err := s.Read(s.t.Context(), email.Live)
	if err != nil {
		s.t.Fatal(err)
	}
	if o.Data == nil {
		o.Data = map[string]any{}
	}
	letter, err := r.Render(s.t.Context(), o)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(letter.HTML, letter.Text, " v", letter.Template.Version)
}

// faults are the details of a refusal.
func faults(t *testing.T, err error) string {
	t.Helper()
	var invalid *library.Invalid
	if !errors.As(err, &invalid) {
		t.Fatalf("error %v, want *Invalid", err)
	}
	var lines []string
	for _, f := range invalid.Faults {
		lines = append(lines, f.Pointer+" "+f.Detail)
	}
	return strings.Join(lines, "\n")
}

// Numbers, drafts and what is sent, through the life of a template.
func TestVersions(t *testing.T) {
	each(t, func(t *testing.T, s *shop) {
		made := s.must(s.create("alias=a", "text=one"))
		state := func(want string) {
			t.Helper()
			now := s.must(s.change(made.ID))
			if got := fmt.Sprint(now.Draft.Number, now.Published, len(now.Versions), " ", now.Content.Text); got != want {
				t.Errorf("draft, published, versions: %s, want %s", got, want)
			}
		}
		state("1 0 0 one")
		if got := s.render(library.Order{Name: "a"}); got != library.ErrNotPublished.Error() {
			t.Error(got)
		}
		if got := s.render(library.Order{Name: "a", Drafts: true}); got != "one v1" {
			t.Error(got)
		}
		s.must(s.publish("a"))
		state("1 1 1 one")
		etag := s.must(s.publish("a")).ETag // nothing to publish
		if again := s.must(s.change("a", "text=one")); again.ETag != etag || again.Draft.Number != 1 {
			t.Errorf("a change that changes nothing: %+v", again.Template)
		}
		s.must(s.change("a", "text=two"))
		state("2 1 1 two")
		s.must(s.change("a", "text=one")) // back to what is published
		state("1 1 1 one")
		s.must(s.change("a", "text=two"))
		s.must(s.publish("a"))
		s.must(s.Restore(t.Context(), author(), "a", 1))
		state("3 2 2 one")
		if got := s.render(library.Order{Name: "a"}) + s.render(library.Order{Name: "a", Version: 1}); got != "two v2one v1" {
			t.Error(got)
		}
		s.must(s.publish("a"))
		state("3 3 3 one")
		_, err := s.Restore(t.Context(), author(), "a", 9)
		var none *library.NoVersionError
		if !errors.As(err, &none) {
			t.Errorf("restore of a version that is not there: %v", err)
		}
		if n := s.rdb.HLen(t.Context(), "live:{tpl}:c").Val(); n != 2 {
			t.Errorf("%d contents for two texts", n)
		}
		if err := s.Delete(t.Context(), author(), "a"); err != nil {
			t.Fatal(err)
		}
		if err := s.Delete(t.Context(), author(), "a"); !errors.Is(err, library.ErrNotFound) {
			t.Errorf("deleted twice: %v", err)
		}
		if n := s.rdb.HLen(t.Context(), "live:{tpl}:c").Val() + s.rdb.HLen(t.Context(), "live:{tpl}:t").Val(); n != 0 {
			t.Errorf("%d things are left of a deleted template", n)
		}
	})
}

// The last fifty published versions are kept, and no text that nothing names.
func TestOldVersionsGo(t *testing.T) {
	s := open(t, redistest.InProcess(t))
	id := s.published("alias=a", "text=1").ID
	for n := 2; n <= 53; n++ {
		s.must(s.change(id, fmt.Sprint("text=", n)))
		s.must(s.publish(id))
	}
	now := s.must(s.change(id))
	if len(now.Versions) != 50 || now.Versions[0].Number != 4 || now.Published != 53 {
		t.Errorf("%d versions from %d, published %d", len(now.Versions), now.Versions[0].Number, now.Published)
	}
	if n := s.rdb.HLen(t.Context(), "live:{tpl}:c").Val(); n != 50 {
		t.Errorf("%d contents", n)
	}
	if got := s.render(library.Order{Name: "a", Version: 3}); got != (&library.NoVersionError{Version: 3}).Error() {
		t.Error(got)
	}
}

// A partial never comes to contain itself, whichever way it is tried.
func TestCyclesAreRefused(t *testing.T) {
	each(t, func(t *testing.T, s *shop) {
		if _, err := s.create("kind=partial", "alias=self", "html={{> self}}"); !strings.Contains(faults(t, err), "contains itself: self > self") {
			t.Errorf("itself: %v", err)
		}
		s.published("kind=partial", "alias=c", "html=<p>c</p>")
		s.published("kind=partial", "alias=b", "html={{> c}}")
		s.published("kind=partial", "alias=a", "html={{> b}}")
		_, err := s.change("c", "html={{> a}}")
		if !strings.Contains(faults(t, err), "contains itself: c > a > b > c") && !strings.Contains(faults(t, err), "contains itself") {
			t.Errorf("over two others: %v", err)
		}
		if got := s.must(s.change("c")).Content.HTML; got != "<p>c</p>" {
			t.Errorf("c is %q", got)
		}
		// What drafts allow, what is published may not.
		s.must(s.change("b", "html=<p>b</p>"))
		s.must(s.change("c", "html={{> b}}"))
		_, err = s.publish("c")
		if !strings.Contains(faults(t, err), "contains itself") {
			t.Errorf("with what is published: %v", err)
		}
		s.must(s.publish("b"))
		s.must(s.publish("c"))
	})
}

// Of two changes that would make a cycle together, one is refused, however they race.
func TestCyclesAreRefusedInARace(t *testing.T) {
	url := redistest.Server(t)
	one, two := open(t, url), open(t, url)
	one.published("kind=partial", "alias=a", "html=<p>a</p>")
	one.published("kind=partial", "alias=b", "html=<p>b</p>")
	for range 20 {
		var all sync.WaitGroup
		errs := make([]error, 2)
		all.Go(func() { _, errs[0] = one.change("a", "html={{> b}}") })
		all.Go(func() { _, errs[1] = two.change("b", "html={{> a}}") })
		all.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("both ended alike: %v, %v", errs[0], errs[1])
		}
		one.must(one.change("a", "html=<p>a</p>"))
		one.must(one.change("b", "html=<p>b</p>"))
	}
}

// Nothing is published that would break what is, and nothing is taken away that is used.
func TestUsersAreProtected(t *testing.T) {
	each(t, func(t *testing.T, s *shop) {
		s.must(s.create("kind=partial", "alias=button", `html=<a href="{{url}}">{{label}}</a>`))
		s.must(s.create("kind=layout", "alias=frame", "html=<main>{{{content}}}</main>"))
		s.must(s.create("alias=mail", "layout=frame", "html={{> button}}"))
		_, err := s.publish("mail")
		if got := faults(t, err); got != "# uses the layout frame, which is not published: publish that first\n# uses the partial button, which is not published: publish that first" {
			t.Errorf("published before its parts: %s", got)
		}
		s.must(s.publish("button"))
		s.must(s.publish("frame"))
		s.must(s.publish("mail"))
		data := map[string]any{"url": "https://a.example", "label": "Go"}
		if got := s.render(library.Order{Name: "mail", Data: data}); got != `<main><a href="https://a.example">Go</a></main> v1` {
			t.Error(got)
		}
		_, err = s.change("frame", "html=<main></main>")
		if !strings.Contains(faults(t, err), "{{{content}}} exactly once") {
			t.Errorf("a layout without content: %v", err)
		}
		// It may say nothing in HTML, but then the mail has no button.
		s.must(s.change("button", "html=", "text={{label}}"))
		_, err = s.publish("button")
		if got := faults(t, err); !strings.Contains(got, "would break mail: ") {
			t.Errorf("a partial that lacks a part: %s", got)
		}
		for _, name := range []string{"button", "frame"} {
			var inUse *library.InUseError
			if err := s.Delete(t.Context(), author(), name); !errors.As(err, &inUse) || inUse.By[0] != "mail" {
				t.Errorf("delete %s: %v", name, err)
			}
		}
		var inUse *library.InUseError
		if _, err := s.change("button", "alias=knob"); !errors.As(err, &inUse) {
			t.Errorf("another alias of a partial that is called: %v", err)
		}
		s.must(s.change("frame", "alias=border")) // by its id it is still known
		if got := s.render(library.Order{Name: "mail", Data: data}); !strings.HasPrefix(got, "<main>") {
			t.Error(got)
		}
		s.must(s.change("mail", "layout=", "html=<p>x</p>"))
		if err := s.Delete(t.Context(), author(), "button"); !errors.As(err, &inUse) {
			t.Errorf("what is published uses it still: %v", err)
		}
		s.must(s.publish("mail"))
		for _, name := range []string{"button", "border"} {
			if err := s.Delete(t.Context(), author(), name); err != nil {
				t.Errorf("delete %s: %v", name, err)
			}
		}
	})
}
