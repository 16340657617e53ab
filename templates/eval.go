package templates

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// eval gives an expression's value, nil if it is missing (which is noted unless a
// condition asks).
func (r *run) eval(x expr) any {
	switch x := x.(type) {
	case *literal:
		return x.value
	case *path:
		return r.resolve(x)
	case *call:
		if !r.step(1) {
			return nil
		}
		return x.helper.do(r, x)
	}
	return nil
}

// resolve looks a path up.
func (r *run) resolve(p *path) any {
	v := r.lookup(p)
	if v == nil && len(r.t.defaults) > 0 {
		v = r.fallback(p)
	}
	if v == nil && r.lenient == 0 {
		r.miss(p)
	}
	return v
}

func (r *run) lookup(p *path) any {
	var v any
	segs := p.segs
	switch p.root {
	case rootTop:
		v = r.root
	case rootData:
		return r.special(p.data)
	default:
		f := &r.frames[len(r.frames)-1-p.up]
		v = f.value
		if len(segs) == 0 {
			if f.self != nil {
				return f.self
			}
		} else {
			for i := range f.params {
				if f.params[i].name == segs[0] {
					v, segs = f.params[i].value, segs[1:]
					break
				}
			}
		}
	}
	for _, s := range segs {
		if m, ok := v.(map[string]any); ok {
			v = m[s]
		} else if v = member(v, s); v == nil {
			return nil
		}
	}
	return v
}

// special gives @index and its like, of the innermost loop.
func (r *run) special(name string) any {
	for i := len(r.frames) - 1; i > 0; i-- {
		f := &r.frames[i]
		if !f.loop {
			continue
		}
		switch name {
		case "index":
			return f.index
		case "first":
			return f.index == 0
		case "last":
			return f.last
		}
		if f.key == "" {
			return f.index
		}
		return f.key
	}
	return nil
}

// miss notes a missing variable once, by its path from the data's root.
func (r *run) miss(p *path) {
	if len(r.missing) >= maxFaults {
		return
	}
	if r.isParam(p) && r.lookup(&path{segs: p.segs[:min(1, len(p.segs))], up: p.up}) == nil {
		return // told where the partial was called
	}
	full, plain := r.fullPath(p)
	if r.t.optional[plain] || r.seen[full] {
		return
	}
	if r.seen == nil {
		r.seen = map[string]bool{}
	}
	r.seen[full] = true
	m := Missing{Path: full, Key: p.written, Part: p.at.src.part, In: p.at.src.in}
	m.Line, m.Column = p.at.lineColumn()
	r.missing = append(r.missing, m)
}

// fullPath spells a path from the root, with the numbers of items and without.
func (r *run) fullPath(p *path) (full, plain string) {
	var names, kinds []string
	add := func(s, kind string) {
		names = append(names, s)
		if kind != "" {
			kinds = append(kinds, kind)
		}
	}
	if p.root == rootThis {
		top := len(r.frames) - 1 - p.up
		for i, f := range r.frames[:top+1] {
			if f.via != nil {
				if f.via.root == rootTop || f.via.up > 0 {
					names, kinds = r.prefix(i-1, f.via)
				}
				for _, s := range f.via.segs {
					add(s, s)
				}
			}
			switch {
			case !f.loop:
			case f.key != "":
				add(f.key, f.key)
			default:
				add(strconv.Itoa(f.index), "")
			}
		}
	}
	for _, s := range p.segs {
		add(s, s)
	}
	if len(names) == 0 {
		return p.written, p.written
	}
	return strings.Join(names, "."), strings.Join(kinds, ".")
}

// prefix is the path of the frame that via starts from, as seen from frame i.
func (r *run) prefix(i int, via *path) (names, kinds []string) {
	if via.root == rootTop || i-via.up < 0 {
		return nil, nil
	}
	whole := *r
	whole.frames = r.frames[:i+1]
	full, plain := whole.fullPath(&path{up: via.up, written: ""})
	if full == "" {
		return nil, nil
	}
	names = strings.Split(full, ".")
	if plain != "" {
		kinds = strings.Split(plain, ".")
	}
	return names, kinds
}

// loop runs the body of {{#each}}, {{#with}} or a section.
func (r *run) loop(n *loopNode, p *templatePart) {
	v := r.value(n)
	via, _ := n.x.(*path)
	if via != nil && via.root == rootData {
		via = nil
	}
	switch items := v.(type) {
	case []any:
		if n.kind != loopWith {
			r.each(n, via, items, p)
			return
		}
	case map[string]any:
		if n.kind == loopEach {
			r.members(n, via, items, p)
			return
		}
	default:
		if n.kind == loopEach && v != nil {
			r.fault(n.at, "{{#each}} cannot repeat "+describe(v), "it takes an array or an object")
			return
		}
	}
	if !r.truth(v) {
		r.nodes(n.or, p)
		return
	}
	f := frame{value: v, via: via, index: -1}
	if _, isObject := v.(map[string]any); n.kind == loopSection && !isObject {
		// As in Mustache, {{#name}}Hi {{name}}{{/name}} only asks.
		f = frame{value: r.frames[len(r.frames)-1].value, self: v, via: &path{}, index: -1}
	}
	r.inside(n, f, p)
}

// value evaluates what a loop is over. A section asks, as {{#if}} does.
func (r *run) value(n *loopNode) any {
	if n.kind == loopSection || n.kind == loopWith && n.or != nil {
		r.lenient++
		defer func() { r.lenient-- }()
	}
	return r.eval(n.x)
}

func (r *run) inside(n *loopNode, f frame, p *templatePart) bool {
	r.frames = append(r.frames, f)
	ok := r.nodes(n.body, p)
	r.frames = r.frames[:len(r.frames)-1]
	return ok
}

// admit counts n iterations; false if they are too many.
func (r *run) admit(n int, at pos) bool {
	if r.iterations -= n; r.iterations < 0 {
		r.stop(at, fmt.Sprintf("the loops run more than %d times", r.t.limits.Iterations), "give it fewer items")
	}
	return !r.stopped
}

func (r *run) each(n *loopNode, via *path, items []any, p *templatePart) {
	if !r.admit(len(items), n.at) {
		return
	}
	if len(items) == 0 {
		r.nodes(n.or, p)
	}
	for i, v := range items {
		if !r.inside(n, frame{value: v, via: via, index: i, last: i == len(items)-1, loop: true}, p) {
			return
		}
	}
}

// members runs over an object by the order of its keys: JSON gives its members none.
func (r *run) members(n *loopNode, via *path, items map[string]any, p *templatePart) {
	if !r.admit(len(items), n.at) || !r.step(2*len(items)) {
		return
	}
	if len(items) == 0 {
		r.nodes(n.or, p)
	}
	for i, key := range slices.Sorted(maps.Keys(items)) {
		if !r.inside(n, frame{value: items[key], via: via, index: i, key: key, last: i == len(items)-1, loop: true}, p) {
			return
		}
	}
}

// partial runs a partial in a context of its own.
func (r *run) partial(n *partialNode, p *templatePart) {
	f := frame{value: r.frames[len(r.frames)-1].value, via: &path{}, index: -1}
	if n.context != nil {
		f.value = r.eval(n.context)
		f.via, _ = n.context.(*path)
	}
	if len(n.params) > 0 {
		f.params = make([]binding, len(n.params))
		for i, param := range n.params {
			f.params[i] = binding{param.name, r.eval(param.value)}
		}
	}
	r.frames = append(r.frames, f)
	r.nodes(n.body.nodes, p)
	r.frames = r.frames[:len(r.frames)-1]
}
