package templates

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Inferred is a variable that a template uses.
type Inferred struct {
	Path string // from the data's root; items of an array are "items[]"
	// Type is what the use says: a variable that is shown is a string (a number or
	// boolean does as well), one that is only asked for a boolean.
	Type Type
	// Required: rendering fails without it (without it in an item, for members of
	// items). False inside of {{#if}} and the like, and for what has a default.
	Required bool
}

func infer(parts []*templatePart) *variable {
	in := &inference{root: &variable{}}
	for _, p := range parts {
		in.scopes = []scope{{v: in.root}}
		if p.layout != nil {
			in.walk(p.layout.nodes)
		}
		in.walk(p.body.nodes)
	}
	return in.root
}

func (in *inference) walk(list []node) {
	for _, n := range list {
		switch n := n.(type) {
		case *outputNode:
			in.use(n.x, TypeString)
		case *ifNode:
			in.guards++
			in.use(n.cond, TypeBoolean)
			in.walk(n.then)
			in.walk(n.or)
			in.guards--
		case *loopNode:
			in.loop(n)
		case *partialNode:
			in.partial(n)
		}
	}
}

// use notes that an expression is used as a type.
func (in *inference) use(x expr, as Type) {
	switch x := x.(type) {
	case *path:
		v := in.variable(x)
		if v == nil {
			return
		}
		switch as {
		case TypeBoolean:
			v.asked = true
		case TypeNumber:
			v.number = true
		}
		if as == TypeString || as == TypeNumber {
			note(&v.shown, x.at)
		}
		v.required = v.required || in.guards == 0
	case *call:
		for i, arg := range x.args {
			if arg == nil {
				continue
			}
			want := as
			if i < len(x.helper.params) && !x.helper.variadic && x.helper.name != "default" && x.helper.name != "not" {
				want = x.helper.params[i].want
			}
			if x.helper.lenient && i == 0 {
				in.guards++
			}
			in.use(arg, want)
			if x.helper.lenient && i == 0 {
				in.guards--
			}
		}
	}
}

func note(p *pos, at pos) {
	if p.src == nil {
		*p = at
	}
}

// variable gives the node of a path; nil if it is none of the data.
func (in *inference) variable(p *path) *variable {
	if p.root == rootData {
		return nil
	}
	v, segs := in.root, p.segs
	var outer *variable
	if p.root == rootThis {
		s := in.scopes[len(in.scopes)-1-p.up]
		v, outer = s.v, s.outer
		if len(segs) > 0 {
			if param, ok := s.params[segs[0]]; ok {
				v, outer, segs = param, nil, segs[1:]
			}
		}
	}
	if v == nil {
		return nil
	}
	if outer != nil && len(segs) > 0 {
		if v.name == segs[0] { // {{#name}}{{name}}{{/name}}
			v = outer
		} else if o := descend(outer, segs, p.at, false); o.shown.src == nil {
			note(&o.shown, p.at)
		}
	}
	v.shadow = false
	return descend(v, segs, p.at, true)
}

// descend goes down a path; sure: its nodes are what the template means, not only what it
// might mean.
func descend(v *variable, segs []string, at pos, sure bool) *variable {
	for _, s := range segs {
		if s == "length" && v.repeated.src != nil {
			return &variable{}
		}
		note(&v.opened, at)
		if _, err := strconv.Atoi(s); err == nil {
			note(&v.repeated, at)
			v = v.items()
			continue
		}
		v = v.child(s)
		v.shadow = v.shadow && !sure
	}
	return v
}

func (in *inference) loop(n *loopNode) {
	in.lenient(n, func() { in.use(n.x, TypeAny) })
	s := scope{}
	if p, ok := n.x.(*path); ok {
		if v := in.variable(p); v != nil {
			s.v = v
			switch n.kind {
			case loopEach:
				note(&v.repeated, n.at)
				s.v = v.items()
			case loopWith:
				note(&v.opened, n.at)
			case loopSection:
				v.asked = true
				s.outer = in.scopes[len(in.scopes)-1].v
			}
		}
	}
	in.lenient(n, func() {
		in.scopes = append(in.scopes, s)
		in.walk(n.body)
		in.scopes = in.scopes[:len(in.scopes)-1]
	})
	in.guards++
	in.walk(n.or)
	in.guards--
}

// lenient counts a condition around f where the loop asks before it goes on.
func (in *inference) lenient(n *loopNode, f func()) {
	guard := n.kind == loopSection || n.kind == loopWith && n.or != nil
	if guard {
		in.guards++
	}
	f()
	if guard {
		in.guards--
	}
}

func (in *inference) partial(n *partialNode) {
	s := scope{v: in.scopes[len(in.scopes)-1].v, params: map[string]*variable{}}
	if n.context != nil {
		in.use(n.context, TypeAny)
		s.v = nil
		if p, ok := n.context.(*path); ok {
			s.v = in.variable(p)
		}
	}
	for _, param := range n.params {
		in.use(param.value, TypeAny)
		s.params[param.name] = nil
		if p, ok := param.value.(*path); ok {
			s.params[param.name] = in.variable(p)
		}
	}
	in.scopes = append(in.scopes, s)
	in.walk(n.body.nodes)
	in.scopes = in.scopes[:len(in.scopes)-1]
}

// typ is what the uses say.
func (v *variable) typ() Type {
	visible := slices.ContainsFunc(v.order, func(c *variable) bool { return !c.shadow })
	switch {
	case v.repeated.src != nil:
		return TypeArray
	case v.opened.src != nil && visible:
		return TypeObject
	case v.number:
		return TypeNumber
	case v.shown.src != nil:
		return TypeString
	case v.asked:
		return TypeBoolean
	}
	return TypeAny
}

// Variables lists what the template uses, each variable before its members.
func (t *Template) Variables() []Inferred {
	var list []Inferred
	var walk func(v *variable, prefix string)
	walk = func(v *variable, prefix string) {
		for _, c := range v.order {
			if c.shadow {
				continue
			}
			list = append(list, Inferred{Path: prefix + c.name, Type: c.typ(), Required: t.needs(c, prefix+c.name)})
			walk(c, prefix+c.name+".")
			if c.item != nil {
				walk(c.item, prefix+c.name+"[].")
			}
		}
	}
	walk(t.inferred, "")
	return list
}

// needs: rendering fails without the variable, or without a member of it.
func (t *Template) needs(v *variable, path string) bool {
	if t.excused(path) {
		return false
	}
	return v.required || slices.ContainsFunc(v.order, func(c *variable) bool { return !c.shadow && t.needs(c, path+"."+c.name) })
}

// excused: its declaration says what happens without it.
func (t *Template) excused(path string) bool {
	key := strings.ReplaceAll(path, "[]", "")
	return t.optional[key] || t.defaults[key] != nil
}

// Model is an example of the data that the template needs: declared examples and
// defaults, and for other variables a value of their type.
func (t *Template) Model() map[string]any {
	examples := map[string]any{}
	for _, v := range t.declared {
		switch {
		case v.Example != nil:
			examples[v.Key] = v.Example
		case v.Default != nil:
			examples[v.Key] = v.Default
		}
	}
	model, _ := t.inferred.model("", examples).(map[string]any)
	return model
}

func (v *variable) model(prefix string, examples map[string]any) any {
	if e := examples[strings.TrimSuffix(prefix, ".")]; e != nil {
		return e
	}
	if v.repeated.src != nil && v.item != nil {
		return []any{v.item.model(prefix, nil)}
	}
	members := map[string]any{}
	for _, c := range v.order {
		if !c.shadow {
			members[c.name] = c.model(prefix+c.name+".", examples)
		}
	}
	switch t := v.typ(); {
	case len(members) > 0 || prefix == "":
		return members
	case t == TypeNumber:
		return 1
	case t == TypeBoolean:
		return true
	}
	return v.name
}

// maxItems is how many items of an array are looked at for what is unused.
const maxItems = 1000

// Unused lists what the data hold and no part uses, at most a hundred: a name that is
// wrong in the data shows here, one that is wrong in the template in [MissingError].
func (t *Template) Unused(data map[string]any) []string {
	var list []string
	seen := map[string]bool{}
	var walk func(value any, v *variable, prefix string)
	walk = func(value any, v *variable, prefix string) {
		switch value := value.(type) {
		case []any:
			of := v
			if v.item != nil {
				of = v.item
			}
			for _, item := range value[:min(len(value), maxItems)] {
				walk(item, of, strings.TrimSuffix(prefix, ".")+"[].")
			}
		case map[string]any:
			for _, key := range slices.Sorted(maps.Keys(value)) {
				c := v.children[key]
				if c == nil {
					c = v.item
				}
				switch {
				case len(list) >= maxFaults:
					return
				case c != nil:
					walk(value[key], c, prefix+key+".")
				case (len(v.order) > 0 || prefix == "") && !seen[prefix+key]:
					seen[prefix+key] = true
					list = append(list, prefix+key)
				}
			}
		}
	}
	walk(data, t.inferred, "")
	return list
}
