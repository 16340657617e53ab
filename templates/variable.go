package templates

import "strings"

// variable is one node of the tree of what a template uses.
type variable struct {
	name     string
	children map[string]*variable
	order    []*variable
	item     *variable // of what is repeated
	required bool
	number   bool
	asked    bool
	shadow   bool // only used if the section around it is no object
	shown    pos  // first uses, src nil if there is none
	repeated pos
	opened   pos // as an object
}

func (v *variable) child(name string) *variable {
	if c := v.children[name]; c != nil {
		return c
	}
	if v.children == nil {
		v.children = map[string]*variable{}
	}
	c := &variable{name: name, shadow: true}
	v.children[name] = c
	v.order = append(v.order, c)
	return c
}

func (v *variable) items() *variable {
	if v.item == nil {
		v.item = &variable{name: v.name}
	}
	return v.item
}

// find gives the node of a dotted path, through arrays as well.
func (v *variable) find(key string) *variable {
	for name := range strings.SplitSeq(key, ".") {
		c := v.children[name]
		if c == nil && v.item != nil {
			c = v.item.children[name]
		}
		if c == nil {
			return nil
		}
		v = c
	}
	return v
}

// scope is a context while variables are inferred.
type scope struct {
	v      *variable
	outer  *variable // what names mean as well, in a section
	params map[string]*variable
}

// inference walks the parts.
type inference struct {
	root   *variable
	scopes []scope
	guards int // conditions around
}
