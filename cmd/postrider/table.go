package main

import (
	"io"
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
