package main

import (
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// table prints rows for people, their columns under each other.
type table struct{ *tabwriter.Writer }

// newTable begins a table with the names of its columns, if it has any.
func newTable(w io.Writer, columns ...string) table {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	if len(columns) > 0 {
		t.row(columns...)
	}
	return t
}

// row adds a row. Errors of writing come with Flush.
func (t table) row(cells ...string) {
	_, _ = io.WriteString(t, strings.Join(cells, "\t")+"\n")
}

// lines prints the objects of a list: a table for people, or a JSON object each.
type lines[T any] struct {
	json    bool
	limit   int    // 0: all
	none    string // what to say if there are none
	columns []string
}

// print reads the list as far as it is wanted. cells are those of a row.
func (l lines[T]) print(t terminal, list iter.Seq2[*T, error], cells func(*T) []string) error {
	rows, found := newTable(t.out), 0
	for object, err := range list {
		if err != nil {
			return err
		}
		if found++; l.json {
			if err := printJSON(t.out, object); err != nil {
				return err
			}
		} else {
			if found == 1 {
				rows.row(l.columns...)
			}
			rows.row(cells(object)...)
		}
		if found == l.limit {
			break
		}
	}
	if found == 0 && !l.json {
		_, _ = io.WriteString(t.err, l.none+"\n")
	}
	return rows.Flush()
}

// orDash is a text of a stranger, or a dash for none.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return clean(s)
}

// oneOf is a list of a text, or of none if it is empty.
func oneOf(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// names are the keys of a map, in order.
func names(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
