package templates

import (
	"encoding/json"
	"fmt"
	"time"

	"postrider/templates/cldr"
)

// Output is a rendered mail. Parts that the template does not have are "".
type Output struct {
	Subject, HTML, Text, From, ReplyTo string
}

func (o *Output) set(p Part, s string) {
	switch p {
	case Subject:
		o.Subject = s
	case HTML:
		o.HTML = s
	case Text:
		o.Text = s
	case From:
		o.From = s
	case ReplyTo:
		o.ReplyTo = s
	}
}

// Render fills every part. The data are JSON values as encoding/json (or [Data])
// decodes them: map[string]any, []any, string, bool, json.Number, Go's numbers, and nil
// for what is not given. They are only read.
//
// Its errors are a [*MissingError], a [*DataError] or a [*RenderError]; of several kinds
// the first of these. There is no output beside an error.
func (t *Template) Render(data map[string]any) (*Output, error) {
	out := &Output{}
	err := t.render(data, func(p *templatePart, b []byte) { out.set(p.part, string(b)) }, t.parts)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// RenderPart fills one part alone; one that the template does not have is "".
func (t *Template) RenderPart(p Part, data map[string]any) (string, error) {
	var s string
	for i, tp := range t.parts {
		if tp.part != p {
			continue
		}
		if err := t.render(data, func(_ *templatePart, b []byte) { s = string(b) }, t.parts[i:i+1]); err != nil {
			return "", err
		}
	}
	return s, nil
}

// run is one rendering.
type run struct {
	t      *Template
	out    []byte
	frames []frame
	root   any

	steps      int // left
	next       int // steps left when the clock is looked at again
	iterations int // left
	deadline   time.Time

	lenient int // above 0, what is missing is only falsy
	url     int // where the address that is being written begins
	gaps    int // missing variables when it began

	missing []Missing
	seen    map[string]bool
	faults  []Fault
	stopped bool // a limit was reached

	found     *cldr.Locale
	foundTag  string
	foundZone *time.Location
}

// frame is a context: what this means, and where in the data it is.
type frame struct {
	value  any
	self   any   // what this means, if not value: of a section that only asks
	via    *path // from the frame before; nil if the value has no path
	index  int   // of the item, -1 outside of loops
	key    string
	last   bool
	loop   bool
	params []binding // of a partial
}

// binding is a partial's parameter.
type binding struct {
	name  string
	value any
}

// keepBuffer is the largest buffer that is kept for the next rendering.
const keepBuffer = 512 << 10

func (t *Template) render(data map[string]any, give func(*templatePart, []byte), parts []*templatePart) error {
	r, _ := t.runs.Get().(*run)
	if r == nil {
		r = &run{t: t}
	}
	defer t.release(r)
	r.root = data
	r.steps, r.iterations = t.limits.Steps, t.limits.Iterations
	r.next = r.steps - clockSteps
	r.deadline = time.Now().Add(t.limits.Time)
	wrong := r.declared(data)
	for _, p := range parts {
		r.out = r.out[:0]
		r.frames = append(r.frames[:0], frame{value: r.root, index: -1})
		list := p.body.nodes
		if p.layout != nil {
			list = p.layout.nodes
		}
		r.nodes(list, p)
		if r.stopped {
			break
		}
		if len(r.missing) == 0 && len(r.faults) == 0 {
			if p.part.header() {
				r.out = trimSpace(r.out)
			}
			give(p, r.out)
		}
	}
	switch {
	case r.stopped:
		return &RenderError{Faults: r.faults[len(r.faults)-1:], limit: true}
	case len(r.missing) > 0:
		return &MissingError{Missing: r.missing}
	case len(wrong) > 0:
		return &DataError{Faults: wrong}
	case len(r.faults) > 0:
		return &RenderError{Faults: r.faults}
	}
	return nil
}

func trimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// release keeps the buffers for the next rendering, and nothing of this one's data.
func (t *Template) release(r *run) {
	out, frames := r.out[:0], r.frames[:cap(r.frames)]
	clear(frames)
	if cap(out) > keepBuffer {
		out = nil
	}
	*r = run{t: t, out: out, frames: frames[:0]}
	t.runs.Put(r)
}

// clockSteps is how many steps pass between looks at the clock.
const clockSteps = 2000

// spend counts work on n bytes.
func (r *run) spend(n int) bool { return r.step(1 + n/64) }

// step counts work; false once a limit was reached.
func (r *run) step(n int) bool {
	if r.steps -= n; r.steps > r.next {
		return !r.stopped
	}
	r.next = r.steps - clockSteps
	switch {
	case r.stopped:
	case r.steps < 0:
		r.stop(pos{}, fmt.Sprintf("the template takes more than %d steps", r.t.limits.Steps), "it repeats or works on too much")
	case time.Now().After(r.deadline):
		r.stop(pos{}, fmt.Sprintf("the template takes longer than %v", r.t.limits.Time), "")
	}
	return !r.stopped
}

// stop ends the rendering at a limit.
func (r *run) stop(at pos, detail, hint string) {
	if r.stopped {
		return
	}
	r.stopped = true
	if at.src == nil {
		at = pos{src: r.t.parts[0].body.src, off: -1}
	}
	f := at.fault(detail, hint)
	if at.off < 0 {
		f.Line, f.Column = 0, 0
	}
	r.faults = append(r.faults, f)
}

// fault notes that a value does not do; the rendering goes on to find the others.
func (r *run) fault(at pos, detail, hint string) {
	if len(r.faults) < maxFaults && !r.stopped {
		r.faults = append(r.faults, at.fault(detail, hint))
	}
}

// nodes writes a list of nodes; false once a limit was reached.
func (r *run) nodes(list []node, p *templatePart) bool {
	for _, n := range list {
		if !r.step(1) {
			return false
		}
		switch n := n.(type) {
		case *textNode:
			r.write(n.s, n.at)
		case *outputNode:
			r.output(n)
		case *ifNode:
			body := n.or
			if r.holds(n.cond) != n.not {
				body = n.then
			}
			r.nodes(body, p)
		case *loopNode:
			r.loop(n, p)
		case *partialNode:
			r.partial(n, p)
		case *contentNode:
			r.nodes(p.body.nodes, p)
		case *markNode:
			r.mark(n)
		}
	}
	return !r.stopped
}

// write adds text as it is.
func (r *run) write(s string, at pos) {
	r.out = append(r.out, s...)
	r.room(at)
}

func (r *run) room(at pos) {
	if len(r.out) > r.t.limits.Output {
		r.stop(at, fmt.Sprintf("the output is longer than %d bytes", r.t.limits.Output), "")
	}
}

// holds evaluates a condition, in which what is missing is false.
func (r *run) holds(x expr) bool {
	r.lenient++
	v := r.eval(x)
	r.lenient--
	return r.truth(v)
}

// truth is truth of a value of the data, whose digits may be many.
func (r *run) truth(v any) bool {
	if n, ok := v.(json.Number); ok {
		r.spend(len(n))
	}
	return truth(v)
}

// output writes a value as its place demands.
func (r *run) output(n *outputNode) {
	v := r.eval(n.x)
	if v == nil {
		return
	}
	s, ok := v.(string)
	if !ok {
		if s, ok = text(v); !ok {
			r.fault(n.at, "this is "+describe(v)+" and cannot be shown", "name one of its members, or repeat it with {{#each}}")
			return
		}
	}
	if len(s) > r.t.limits.Output-len(r.out) {
		r.stop(n.at, fmt.Sprintf("the output is longer than %d bytes", r.t.limits.Output), "")
		return
	}
	if !r.spend(len(s)) {
		return
	}
	switch n.escape &^ escapeDash {
	case escapeRaw:
		if !r.spend(8 * len(s)) {
			return
		}
		// Checked as it will stand: a character that is taken out must not hide a tag.
		s = string(escapeRaw.append(nil, s))
		if detail := checkRaw(s); detail != "" {
			r.fault(n.at, "the HTML of this variable is not whole or not safe: "+detail, "")
			return
		}
	case escapeCSS:
		if !isCSSValue(s) {
			r.fault(n.at, "this is not a plain value for CSS", "letters, digits, spaces and #.,%+- are")
			return
		}
	}
	r.out = n.escape.append(r.out, s)
	r.room(n.at)
}

// mark remembers where an address begins, and checks it where it ends.
func (r *run) mark(n *markNode) {
	if !n.end {
		r.url, r.gaps = len(r.out), len(r.missing)
		return
	}
	value := string(r.out[r.url:])
	r.spend(4 * len(value))
	if len(r.missing) > r.gaps {
		return
	}
	if detail := checkURL(value); detail != "" {
		r.fault(n.at, detail, "links and images are http:, https:, mailto:, tel: or cid:")
	}
}
