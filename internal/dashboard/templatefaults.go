package dashboard

import (
	"slices"
	"strings"

	"postrider/internal/email"
	"postrider/internal/library"
	"postrider/internal/store"
)

// faultView is a fault with the line that it is in.
type faultView struct {
	Line, Column      int
	Detail            string
	Before, At, After string // of the line
}

// fieldFaults are the faults of one field.
type fieldFaults struct {
	Field string
	List  []faultView
}

// faultsOf sorts what is wrong by the field that it is in.
func faultsOf(t *store.Template, shown *library.Preview, more []library.Fault) map[string][]faultView {
	by := map[string][]faultView{}
	add := func(f library.Fault) {
		field, rest, deeper := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(f.Pointer, "#"), "/"), "/")
		if field == "variables" && strings.HasSuffix(rest, "/example") {
			field, deeper = "sample", false // where the page has the examples
		}
		if deeper {
			f.Detail = strings.ReplaceAll(rest, "/", " ") + " " + f.Detail
		}
		if one := viewFault(f, ""); !slices.Contains(by[field], one) {
			by[field] = append(by[field], one)
		}
	}
	for _, f := range more {
		add(f)
	}
	if shown == nil {
		return by
	}
	for _, f := range shown.Placed(t) {
		add(f)
	}
	for _, path := range shown.Missing {
		if shown.Output == nil {
			add(library.Fault{Pointer: "#/sample", Detail: path + " is missing"})
		}
	}
	for _, f := range shown.Wrong {
		add(library.Fault{Pointer: "#/sample", Detail: f.Path + " is declared as " + string(f.Want) + " and is " + string(f.Got)})
	}
	for _, list := range by {
		slices.SortStableFunc(list, func(a, b faultView) int { return a.Line - b.Line })
	}
	return by
}

func placedFaults(by map[string][]faultView) (list []placedFault) {
	for _, field := range []string{"", "subject", "from", "reply_to", "layout_id", "html", "text", "variables", "sample"} {
		for _, f := range by[field] {
			list = append(list, placedFault{label(email.Status(field)), f})
		}
	}
	return list
}

// maxExcerpt is how much of a line, on each side, a fault shows.
const maxExcerpt = 60

func viewFault(f library.Fault, source string) faultView {
	return faultView{Line: f.Line, Column: f.Column, Detail: f.Detail}.in(source)
}

// in adds the line of a source that a fault is in.
func (f faultView) in(source string) faultView {
	all := strings.Split(source, "\n")
	if f.Line < 1 || f.Line > len(all) || source == "" {
		return f
	}
	line := []rune(all[f.Line-1])
	at := min(max(f.Column-1, 0), len(line))
	end := min(at+1, len(line))
	f.Before, f.At, f.After = string(line[max(0, at-maxExcerpt):at]), string(line[at:end]), string(line[end:min(len(line), end+maxExcerpt)])
	f.Before = strings.TrimLeft(f.Before, " \t")
	return f
}
