package ledger

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestReconcile(t *testing.T) {
	promise := func(recipient, id string) Promise { return Promise{Recipient: recipient, ID: id} }
	arrival := func(recipient, id string) Arrival { return Arrival{Recipient: recipient, ID: id} }
	for _, c := range []struct {
		name     string
		promises []Promise
		arrivals []Arrival
		unknown  map[string]int
		want     Report
		ok       bool
	}{
		{
			name: "each once", promises: []Promise{promise("a", "1"), promise("b", "2")},
			arrivals: []Arrival{arrival("b", "2"), arrival("a", "1")},
			want:     Report{Promised: 2, Arrived: 2}, ok: true,
		},
		{
			name: "lost", promises: []Promise{promise("a", "1")},
			want: Report{Promised: 1, Lost: []Promise{promise("a", "1")}},
		},
		{
			name: "missing but listed", promises: []Promise{promise("a", "1")}, unknown: map[string]int{"1": 1},
			want: Report{Promised: 1, Listed: 1}, ok: true,
		},
		{
			name: "doubled and listed", promises: []Promise{promise("a", "1")}, unknown: map[string]int{"1": 1},
			arrivals: []Arrival{arrival("a", "1"), arrival("a", "1")},
			want:     Report{Promised: 1, Arrived: 1, Duplicates: 1}, ok: true,
		},
		{
			name: "three times, one listed", promises: []Promise{promise("a", "1")}, unknown: map[string]int{"1": 1},
			arrivals: []Arrival{arrival("a", "1"), arrival("a", "1"), arrival("a", "1")},
			want:     Report{Promised: 1, Arrived: 1, Duplicates: 2, Unexplained: []Arrival{arrival("a", "1")}},
		},
		{
			name: "one request accepted twice", promises: []Promise{promise("a", "1")},
			arrivals: []Arrival{arrival("a", "1"), arrival("a", "9")},
			want:     Report{Promised: 1, Arrived: 1, Duplicates: 1, Unexplained: []Arrival{arrival("a", "9")}, Strange: []Arrival{arrival("a", "9")}},
		},
		{
			name: "no answer, no mail", promises: []Promise{promise("a", "")},
			want: Report{Unanswered: 1}, ok: true,
		},
		{
			name: "no answer, but a mail", promises: []Promise{promise("a", "")}, arrivals: []Arrival{arrival("a", "1")},
			want: Report{Unanswered: 1}, ok: true,
		},
		{
			name: "nobody asked for it", arrivals: []Arrival{arrival("a", "1")},
			want: Report{Strange: []Arrival{arrival("a", "1")}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Reconcile(c.promises, c.arrivals, func(id string) (int, error) { return c.unknown[id], nil })
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&c.want, got); diff != "" {
				t.Error(diff)
			}
			if got.OK() != c.ok {
				t.Errorf("OK: %v, want %v", got.OK(), c.ok)
			}
		})
	}
}

func TestReconcileNeedsAnAnswer(t *testing.T) {
	silent := errors.New("no answer")
	_, err := Reconcile([]Promise{{Recipient: "a", ID: "1"}}, nil, func(string) (int, error) { return 0, silent })
	if !errors.Is(err, silent) {
		t.Errorf("got %v: a service that cannot be asked explains nothing", err)
	}
}

func TestLines(t *testing.T) {
	at := time.Unix(1, 5)
	promises := []Promise{{Recipient: "a@sink.test", ID: "msg_1", Begun: at, Answered: at}, {Recipient: "b@sink.test", Begun: at, Answered: at}}
	arrivals := []Arrival{{Recipient: "a@sink.test", ID: "msg_1", At: at}, {Recipient: "c@sink.test", At: at}}
	var p, a bytes.Buffer
	for _, one := range promises {
		if err := WritePromise(&p, one); err != nil {
			t.Fatal(err)
		}
	}
	for _, one := range arrivals {
		if err := WriteArrival(&a, one); err != nil {
			t.Fatal(err)
		}
	}
	gotPromises, err := ReadPromises(&p)
	if err != nil {
		t.Fatal(err)
	}
	gotArrivals, err := ReadArrivals(&a)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(promises, gotPromises); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(arrivals, gotArrivals); diff != "" {
		t.Error(diff)
	}
	if _, err := ReadArrivals(bytes.NewBufferString("half a line\n")); err == nil {
		t.Error("a broken line was taken")
	}
}
