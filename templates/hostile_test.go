package templates

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// hostile are templates and data that would take long or much. The clock is set out
// of the way: what ends them is counted, the same on every machine.
func hostile() map[string]struct {
	src  Source
	data map[string]any
} {
	items := func(n int) []any {
		list := make([]any, n)
		for i := range list {
			list[i] = i
		}
		return list
	}
	long := strings.Repeat("x", 1<<20)
	digits := json.Number("0." + strings.Repeat("0", 1<<20) + "1")
	nest := func(n int, body string) string {
		return strings.Repeat("{{#each @root.a}}", n) + body + strings.Repeat("{{/each}}", n)
	}
	return map[string]struct {
		src  Source
		data map[string]any
	}{
		"exponential loops":   {Source{Text: nest(18, "x")}, map[string]any{"a": items(10)}},
		"one long loop":       {Source{Text: "{{#each a}}{{/each}}"}, map[string]any{"a": items(10_001)}},
		"a long empty object": {Source{Text: "{{#each a}}{{/each}}"}, map[string]any{"a": manyKeys(20_000)}},
		"output":              {Source{Text: nest(2, "{{@root.s}}")}, map[string]any{"a": items(90), "s": long}},
		"output escaped":      {Source{HTML: nest(2, "{{@root.s}}")}, map[string]any{"a": items(90), "s": strings.Repeat("<", 1<<20)}},
		"literal output":      {Source{Text: nest(2, strings.Repeat("y", 9000))}, map[string]any{"a": items(90)}},
		"big values in calls": {Source{Text: nest(2, `{{#if (eq (upper @root.s) "x")}}{{/if}}`)}, map[string]any{"a": items(90), "s": long}},
		"growing values":      {Source{Text: nest(2, `{{#if (eq (url_encode (url_encode (url_encode (url_encode @root.s)))) "x")}}{{/if}}`)}, map[string]any{"a": items(90), "s": strings.Repeat("%", 1<<16)}},
		"many steps":          {Source{Text: nest(2, strings.Repeat("{{#if @root.b}}{{/if}}", 2000))}, map[string]any{"a": items(90), "b": true}},
		"zones of the data":   {Source{Text: nest(2, `{{#each @root.z}}{{#if (format_date "2026-01-01" "long" this)}}{{/if}}{{/each}}`)}, map[string]any{"a": items(60), "z": []any{"Europe/Berlin", "Asia/Tokyo"}}},
		"digits asked for":    {Source{Text: nest(2, "{{#if @root.n}}{{/if}}")}, map[string]any{"a": items(90), "n": digits}},
		"digits compared":     {Source{Text: nest(2, "{{#if (eq @root.n @root.n)}}{{/if}}")}, map[string]any{"a": items(90), "n": digits}},
		"raw HTML":            {Source{HTML: nest(2, "{{{@root.s}}}")}, map[string]any{"a": items(90), "s": strings.Repeat("<b>x</b>", 1<<16)}},
	}
}

func manyKeys(n int) map[string]any {
	m := make(map[string]any, n)
	for i := range n {
		m[fmt.Sprintf("key%d", i)] = i
	}
	return m
}

func TestHostileTemplatesEndAtALimit(t *testing.T) {
	for name, c := range hostile() {
		t.Run(name, func(t *testing.T) {
			parsed, err := Parse(&c.src, Options{Limits: Limits{Time: time.Hour}})
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			out, err := parsed.Render(c.data)
			runtime.ReadMemStats(&after)
			var failed *RenderError
			if out != nil || !errors.Is(err, ErrLimit) || !errors.As(err, &failed) || len(failed.Faults) != 1 {
				t.Fatalf("not ended by a limit: %v", err)
			}
			// All that was ever allocated, garbage included.
			if used := after.TotalAlloc - before.TotalAlloc; used > 256<<20 {
				t.Errorf("%d MiB were allocated", used>>20)
			}
		})
	}
}

// TestTheClockEndsARendering gives a rendering no time at all.
func TestTheClockEndsARendering(t *testing.T) {
	parsed, err := Parse(&Source{Text: "{{#each a}}{{#each @root.a}}x{{/each}}{{/each}}"}, Options{Limits: Limits{Time: 1}})
	if err != nil {
		t.Fatal(err)
	}
	list := make([]any, 90)
	_, err = parsed.Render(map[string]any{"a": list})
	if !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), "takes longer than 1ns") {
		t.Fatalf("not ended by the clock: %v", err)
	}
}

// TestTheClockIsReal: in a bubble no time passes, so that only steps are counted.
func TestTheClockIsReal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parsed, err := Parse(&Source{Text: "{{#each a}}{{#each @root.a}}x{{/each}}{{/each}}"}, Options{Limits: Limits{Time: 1}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parsed.Render(map[string]any{"a": make([]any, 90)}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestHostileSourcesAreRefused(t *testing.T) {
	for name, s := range map[string]string{
		"too long":             strings.Repeat("x", 1<<20+1),
		"deep blocks":          strings.Repeat("{{#if a}}", 50_000),
		"deep calls":           "{{" + strings.Repeat("(not ", 500) + "a",
		"many branches":        "{{#if a}}" + strings.Repeat("{{else if a}}", 50_000) + "{{/if}}",
		"many faults":          strings.Repeat("{{!}}{{a b}}", 40_000),
		"texts and comments":   strings.Repeat("a{{!}}", 150_000) + "{{",
		"open tags":            strings.Repeat("{{", 500_000),
		"open comment":         strings.Repeat("{{!--", 200_000),
		"long path":            "{{" + strings.Repeat("a.", 1500) + "a}}",
		"many ../":             "{{" + strings.Repeat("../", 1000) + "a}}",
		"a long tag":           "{{" + strings.Repeat(" ", 500_000) + "a}}",
		"a long name of a tag": "<" + strings.Repeat("a", 500_000) + ">",
		"many svg":             strings.Repeat("<svg>", 200_000),
		"not UTF-8":            "a\xff",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(&Source{HTML: s}, Options{})
			var refused *ParseError
			if !errors.As(err, &refused) || len(refused.Faults) > maxFaults {
				t.Fatalf("not refused: %v", err)
			}
		})
	}
}

// TestDeepData: data are never walked deeper than the template says.
func TestDeepData(t *testing.T) {
	deep := any("x")
	for range 100_000 {
		deep = map[string]any{"a": deep}
	}
	parsed, err := Parse(&Source{Text: "{{#if d.a.a.a}}deep{{/if}}{{#with d}}{{#each a}}{{@key}}{{/each}}{{/with}}"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	data := map[string]any{"d": deep}
	out, err := parsed.Render(data)
	if err != nil || out.Text != "deepa" {
		t.Fatalf("%v %v", out, err)
	}
	if unused := parsed.Unused(data); len(unused) > 1 {
		t.Fatalf("unused: %v", unused)
	}
}

// TestOneTemplateManyGoroutines is for the race detector.
func TestOneTemplateManyGoroutines(t *testing.T) {
	parsed, err := Parse(&Source{Subject: "{{n}}", HTML: `<a href="https://x.test/{{n}}">{{n}}</a>`}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			for i := range 200 {
				n := json.Number(fmt.Sprint(g*1000 + i))
				out, err := parsed.Render(map[string]any{"n": n})
				if want := fmt.Sprintf(`<a href="https://x.test/%s">%s</a>`, n, n); err != nil || out.Subject != string(n) || out.HTML != want {
					t.Errorf("%v %v", out, err)
					return
				}
			}
		})
	}
	group.Wait()
}

func TestALookupThatFails(t *testing.T) {
	away := fmt.Errorf("store: %w", context.DeadlineExceeded)
	_, err := Parse(&Source{Text: "{{> a}}", Layout: "l"}, Options{Lookup: func(Kind, string) (*Source, error) { return nil, away }})
	var refused *ParseError
	if !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &refused) {
		t.Fatalf("the lookup's error is lost: %v", err)
	}
}

func TestGoValues(t *testing.T) {
	parsed, err := Parse(&Source{Text: "{{a}} {{b}} {{c}} {{d}} {{e}} {{f}}"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	out, err := parsed.Render(map[string]any{"a": 1, "b": int64(-2), "c": uint64(3), "d": 1.5, "e": float32(0.1), "f": json.Number("9007199254740993")})
	if err != nil || out.Text != "1 -2 3 1.5 0.1 9007199254740993" {
		t.Fatalf("%v %v", out, err)
	}
	type secret struct{ Password string }
	if _, err := parsed.Render(map[string]any{"a": secret{"hunter2"}, "b": 1, "c": 1, "d": 1, "e": 1, "f": 1}); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Fatalf("a Go value was reached: %v", err)
	}
	if _, err := Data([]byte(`{"a":1} {}`)); err == nil {
		t.Error("Data takes two objects")
	}
}

func TestRenderPart(t *testing.T) {
	parsed, err := Parse(&Source{Subject: "Hi {{name}}", HTML: "<p>{{other}}</p>"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := parsed.RenderPart(Subject, map[string]any{"name": "Ada"})
	if err != nil || s != "Hi Ada" {
		t.Fatalf("%q %v", s, err)
	}
	if s, err := parsed.RenderPart(Text, nil); err != nil || s != "" || parsed.Has(Text) || !parsed.Has(HTML) {
		t.Fatalf("%q %v", s, err)
	}
}

func TestOptionsThatAreWrong(t *testing.T) {
	for _, o := range []Options{{Locale: "xx"}, {Zone: "Nowhere"}} {
		if _, err := Parse(&Source{Text: "x"}, o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}
