package templates

import (
	"fmt"
	"strings"
)

// declare checks the declarations, and the parts against them.
func (t *Template) declare(c *compiler) {
	t.optional, t.defaults = map[string]bool{}, map[string]any{}
	t.inferred = infer(t.parts)
	seen := map[string]bool{}
	for i, v := range t.declared {
		switch v.Type {
		case TypeString, TypeNumber, TypeBoolean, TypeObject, TypeArray:
		default:
			c.faults.declared(i, "type", fmt.Sprintf("the variable %s has the unknown type %q", excerpt(v.Key), v.Type), "there are string, number, boolean, object and array")
			continue
		}
		switch {
		case v.Key == "" || len(v.Key) > 200 || strings.Contains("."+v.Key+".", ".."):
			c.faults.declared(i, "key", fmt.Sprintf("%s is not the name of a variable", excerpt(v.Key)), "write a name, or names joined by dots")
		case seen[v.Key]:
			c.faults.declared(i, "key", fmt.Sprintf("the variable %s is declared twice", excerpt(v.Key)), "")
		case v.Default != nil && typeOf(v.Default) != v.Type:
			c.faults.declared(i, "default", fmt.Sprintf("the default of the variable %s is %s, not %s", excerpt(v.Key), describe(v.Default), v.Type.withArticle()), "")
		case v.Example != nil && typeOf(v.Example) != v.Type:
			c.faults.declared(i, "example", fmt.Sprintf("the example of the variable %s is %s, not %s", excerpt(v.Key), describe(v.Example), v.Type.withArticle()), "")
		}
		seen[v.Key] = true
		if v.Default != nil {
			t.defaults[v.Key] = v.Default
		} else if !v.Required {
			t.optional[v.Key] = true
		}
		t.usedAs(c, v)
	}
}

// usedAs refuses a variable that a part uses as something else than declared.
func (t *Template) usedAs(c *compiler, v Variable) {
	node := t.inferred.find(v.Key)
	if node == nil {
		return
	}
	plain := v.Type == TypeString || v.Type == TypeNumber || v.Type == TypeBoolean
	switch {
	case plain && node.repeated.src != nil:
		c.faults.add(node.repeated, fmt.Sprintf("%s is declared as %s and repeated here", excerpt(v.Key), v.Type), "declare it as array")
	case plain && node.opened.src != nil:
		c.faults.add(node.opened, fmt.Sprintf("%s is declared as %s and has no members", excerpt(v.Key), v.Type), "declare it as object")
	case !plain && node.shown.src != nil:
		c.faults.add(node.shown, fmt.Sprintf("%s is declared as %s and cannot be shown", excerpt(v.Key), v.Type), "name one of its members, or repeat it with {{#each}}")
	}
}

// declared looks at the declared variables in the data: required ones that are missing
// are noted, those of another type are returned.
func (r *run) declared(data map[string]any) []DataFault {
	var wrong []DataFault
	for i := range r.t.declared {
		v := &r.t.declared[i]
		value, known := at(data, v.Key)
		switch {
		case !known:
		case value == nil && v.Required && v.Default == nil:
			r.missing = append(r.missing, Missing{Path: v.Key, Key: v.Key})
			if r.seen == nil {
				r.seen = map[string]bool{}
			}
			r.seen[v.Key] = true
		case value != nil && typeOf(value) != v.Type:
			wrong = append(wrong, DataFault{Path: v.Key, Want: v.Type, Got: typeOf(value)})
		}
	}
	return wrong
}

// at gives the value of a dotted path; known is false where it leads into an array, so
// that there is not one value.
func at(data map[string]any, key string) (value any, known bool) {
	value = data
	for name := range strings.SplitSeq(key, ".") {
		switch v := value.(type) {
		case map[string]any:
			value = v[name]
		case []any:
			return nil, false
		default:
			return nil, true
		}
	}
	return value, true
}

// fallback gives the declared default of a path that the data lack.
func (r *run) fallback(p *path) any {
	if !r.step(10) || r.isParam(p) {
		return nil
	}
	_, plain := r.fullPath(p)
	if v := r.t.defaults[plain]; v != nil {
		return v
	}
	for i := len(plain) - 1; i > 0; i-- { // a member of a default
		if plain[i] != '.' {
			continue
		}
		if v := r.t.defaults[plain[:i]]; v != nil {
			if given, _ := at(r.root.(map[string]any), plain[:i]); given != nil {
				return nil
			}
			for name := range strings.SplitSeq(plain[i+1:], ".") {
				v = member(v, name)
			}
			return v
		}
	}
	return nil
}

// isParam: the path begins with a parameter of a partial, not with a variable.
func (r *run) isParam(p *path) bool {
	if p.root != rootThis || len(p.segs) == 0 {
		return p.root == rootData
	}
	for _, b := range r.frames[len(r.frames)-1-p.up].params {
		if b.name == p.segs[0] {
			return true
		}
	}
	return false
}
