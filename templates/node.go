package templates

// node is a piece of a parsed template.
type node interface{ isNode() }

type (
	textNode struct {
		s    string
		at   pos
		from []origin // where stretches of s come from, if it was joined of several
	}
	outputNode struct {
		x      expr
		escape escaper
		raw    bool // three braces
		at     pos
	}
	ifNode struct {
		cond     expr
		not      bool // unless
		then, or []node
		at       pos
	}
	// loopNode is {{#each}}, {{#with}} or a Mustache section: its body has a context
	// of its own.
	loopNode struct {
		kind     loopKind
		x        expr
		body, or []node
		at       pos
	}
	partialNode struct {
		name    string
		context expr // nil: the one of the caller
		params  []param
		body    *fragment
		at      pos
	}
	contentNode struct{ at pos } // in a layout: the template itself
	// markNode stands where the value of a URL attribute begins or ends.
	markNode struct {
		end bool
		at  pos
	}
)

func (*textNode) isNode()    {}
func (*outputNode) isNode()  {}
func (*ifNode) isNode()      {}
func (*loopNode) isNode()    {}
func (*partialNode) isNode() {}
func (*contentNode) isNode() {}
func (*markNode) isNode()    {}

type loopKind uint8

const (
	loopEach loopKind = iota
	loopWith
	loopSection // {{#name}}: each over an array, with for an object, if for the rest
)

// origin says that from index on, the text comes from offset off.
type origin struct{ index, off int }

// param is name=value of a partial.
type param struct {
	name  string
	value expr
}

// fragment is one part of a template, a partial or a layout, parsed.
type fragment struct {
	src   *source
	nodes []node
	size  int // nodes with those of its partials, as often as they are called
	depth int // of blocks and partials
}

// expr is a value's source: a literal, a path or a call.
type expr interface{ place() pos }

type (
	literal struct {
		value any
		at    pos
	}
	path struct {
		root    rootKind
		up      int      // how many ../
		data    string   // for rootData: index, key, first, last
		segs    []string // names below
		written string
		at      pos
	}
	call struct {
		helper *helper
		args   []expr // one for each parameter, nil where left out; of a variadic, all
		at     pos
		ready  any // what can be prepared once, such as a locale
	}
)

func (l *literal) place() pos { return l.at }
func (p *path) place() pos    { return p.at }
func (c *call) place() pos    { return c.at }

type rootKind uint8

const (
	rootThis rootKind = iota // the context, or one ../ above
	rootTop                  // @root
	rootData                 // @index and its like
)
