package library_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
	"postrider/internal/library"
	"postrider/internal/redistest"
	"postrider/internal/store"
)

// Every change is recorded once, under who made it; what changed nothing is not.
func TestChangesAreRecorded(t *testing.T) {
	o, err := redis.ParseURL(redistest.Server(t))
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(o)
	t.Cleanup(func() { _ = rdb.Close() })
	rdb.AddHook(twice{})
	st := store.New(rdb, store.Options{})
	s := &shop{Library: library.New(st, slog.New(slog.DiscardHandler)), t: t, rdb: rdb}
	id := s.must(s.create("alias=a", "name=Hello", "text=one")).ID
	s.must(s.publish("a"))
	s.must(s.publish("a"))
	s.must(s.change("a", "text=one"))
	s.must(s.change("a", "text=two", "name=Hi", "alias=b"))
	if _, err := s.change("b", "text={{"); err == nil {
		t.Fatal("a faulty text was saved")
	}
	s.must(s.Restore(t.Context(), author(), "b", 1))
	if err := s.Delete(t.Context(), author(), "b"); err != nil {
		t.Fatal(err)
	}
	list, _, err := st.Audit.Latest(t.Context(), []email.World{email.Live}, "", 20)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range list {
		if c.Actor != "ada" || c.Object != id || time.Since(c.At) > time.Minute {
			t.Errorf("recorded %+v", c)
		}
		got = append(got, c.Action+": "+c.Detail)
	}
	want := []string{
		"template.deleted: Hi", "template.restored: Hi, from version 1",
		`template.updated: Hi, was "Hello", alias "b", was "a"`, "template.published: Hello, version 1", "template.created: Hello",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A template and its versions tell who changed them.
func TestTemplatesTellWhoChangedThem(t *testing.T) {
	url := redistest.Server(t)
	s := open(t, url)
	id := s.published("text=one").ID
	eve := author()
	eve.Name = "eve"
	s.must(s.Update(t.Context(), eve, id, edit("text=two")))
	r, err := open(t, url).Read(t.Context(), email.Live)
	if err != nil {
		t.Fatal(err)
	}
	found, err := r.Find(id)
	if err != nil || found.UpdatedBy != "eve" || found.Version(1).PublishedBy != "ada" || found.Draft.PublishedBy != "" {
		t.Errorf("%+v, %v", found, err)
	}
}
