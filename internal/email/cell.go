package email

import (
	"strings"
	"time"
)

// formulaStarts begin what spreadsheets take for a formula, and the quote that keeps them
// from it. All but the quote can also begin an address or a note.
const formulaStarts = "=+-@\t\r'"

// InertCell puts a quote before what a spreadsheet would run of a cell of a CSV file;
// ActiveCell takes it away.
func InertCell(s string) string {
	if s != "" && strings.ContainsRune(formulaStarts, rune(s[0])) {
		return "'" + s
	}
	return s
}

// ActiveCell is what InertCell was given.
func ActiveCell(s string) string {
	if len(s) > 1 && s[0] == '\'' && strings.ContainsRune(formulaStarts, rune(s[1])) {
		return s[1:]
	}
	return s
}

// TimeCell is a time in a CSV file: RFC 3339 in UTC with milliseconds; zero is empty.
func TimeCell(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
