package api

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"postrider/internal/email"
	"postrider/internal/intake"
	"postrider/internal/store"
)

const (
	maxImportRows = 100_000
	importBatch   = 500
	exportPage    = 1000
	// exportPatience is how long a client may take for one page of an export, and the
	// store as well.
	exportPatience = 30 * time.Second
	// importTimeout is less than an Idempotency-Key is held for.
	importTimeout = 50 * time.Second
)

// suppressionColumns are those of an export. An import needs email, may have those up to
// expires_at, and passes over the others.
func suppressionColumns() []string {
	return []string{"email", "reason", "domain", "stream", "note", "expires_at", "created_at", "source_message_id", "id"}
}

// importedColumns is how many of them an import reads.
const importedColumns = 6

// exportSuppressions is GET /suppressions/export: the whole list as CSV (RFC 4180),
// newest first, page by page, so that its size does not matter here.
func (d *door) exportSuppressions(c *call) error {
	page, next, err := d.store.Suppressions.List(c.ctx(), c.key.World, store.SuppressionFilter{}, "", exportPage)
	if err != nil {
		return err
	}
	c.Header("Content-Type", "text/csv; charset=utf-8; header=present")
	c.Header("Content-Disposition", `attachment; filename="suppressions.csv"`)
	c.Status(http.StatusOK)
	c.Writer.WriteHeaderNow()
	if c.Request.Method == http.MethodHead {
		return nil
	}
	out, control := csv.NewWriter(c.Writer), http.NewResponseController(c.Writer)
	out.UseCRLF = true
	_ = out.Write(suppressionColumns()) // errors stay with out until Flush
	for {
		_ = control.SetWriteDeadline(time.Now().Add(exportPatience)) // not every server has one
		for i := range page {
			_ = out.Write(suppressionRow(&page[i]))
		}
		out.Flush()
		if out.Error() == nil && next == "" {
			return nil
		}
		if out.Error() == nil {
			ctx, cancel := context.WithTimeout(c.Request.Context(), exportPatience)
			page, next, err = d.store.Suppressions.List(ctx, c.key.World, store.SuppressionFilter{}, next, exportPage)
			cancel()
		}
		if err != nil || out.Error() != nil {
			panic(http.ErrAbortHandler) // a cut list must not look like a whole one
		}
	}
}

func suppressionRow(s *email.Suppression) []string {
	row := []string{
		s.Email, s.Reason, s.Domain, s.Stream, s.Note, email.TimeCell(s.ExpiresAt), email.TimeCell(s.CreatedAt), s.SourceMessage, s.ID,
	}
	for i := range row {
		row[i] = email.InertCell(row[i])
	}
	return row
}

// suppressionImportView says what an import came to.
type suppressionImportView struct {
	Object   string `json:"object"`
	Livemode bool   `json:"livemode"`
	Rows     int    `json:"rows"`
	Added    int    `json:"added"`
	Existing int    `json:"existing"`
}

// importSuppressions is POST /suppressions/import: the whole file is checked before the
// first row counts.
func (d *door) importSuppressions(c *call) error {
	if err := requireCSV(c.Request.Header); err != nil {
		return err
	}
	data, err := readBody(c.Request, maxBody)
	var p *problem
	if errors.As(err, &p) && p.code == malformedJSON {
		return importFaults([]fault{rowFault(1, "", intake.InvalidFormat, "begins a file that ended before its time")})
	}
	if err != nil {
		return err
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // the mark that spreadsheets write
	// As a document, the file is one text: the same one under an Idempotency-Key.
	doc := &document{root: &node{kind: stringKind, text: string(data)}}
	return d.onceWithin(c, suppressionsRoute+"/import", doc, importTimeout, func(ctx context.Context) (*reply, error) {
		view := suppressionImportView{Object: "suppression_import", Livemode: c.key.World.Livemode()}
		if faults := eachImported(data, d.now(), func(email.Suppression) error { view.Rows++; return nil }); len(faults) > 0 {
			return nil, importFaults(faults)
		}
		var batch []email.Suppression
		flush := func() error {
			added, err := d.store.Suppressions.Add(ctx, c.key.World, batch, d.now())
			for _, a := range added {
				if a.Created {
					view.Added++
				} else {
					view.Existing++
				}
			}
			batch = batch[:0]
			return err
		}
		var failed error
		eachImported(data, d.now(), func(s email.Suppression) error {
			s.World = c.key.World
			if batch = append(batch, s); len(batch) >= importBatch {
				failed = flush()
			}
			return failed
		})
		if failed == nil && len(batch) > 0 {
			failed = flush()
		}
		if failed != nil {
			return nil, ofSuppression(failed)
		}
		return newReply(http.StatusOK, "", view)
	})
}

func importFaults(faults []fault) *problem {
	return &problem{code: validationFailed, detail: fmt.Sprintf("The file has %d faults or more.", len(faults)), errors: faults}
}

// requireCSV refuses other media types and every content coding. Errors: *problem.
func requireCSV(h http.Header) error {
	refusal := &problem{code: unsupportedMediaType, detail: "Send the body as Content-Type: text/csv in UTF-8, without a Content-Encoding."}
	values := h.Values("Content-Type")
	if len(values) != 1 || len(h.Values("Content-Encoding")) > 0 {
		return refusal
	}
	mediaType, parameters, err := mime.ParseMediaType(values[0])
	if err != nil || mediaType != "text/csv" {
		return refusal
	}
	for name, value := range parameters {
		if !(name == "charset" && strings.EqualFold(value, "utf-8")) && name != "header" {
			return refusal
		}
	}
	return nil
}

// eachImported goes through the rows of a file (RFC 4180) and does with each that has no
// fault. It stops at the first error of do.
func eachImported(data []byte, now time.Time, do func(email.Suppression) error) []fault {
	r := csv.NewReader(bytes.NewReader(data))
	r.ReuseRecord, r.FieldsPerRecord = true, -1
	head, err := r.Read()
	if err != nil {
		return []fault{rowFault(1, "", intake.Required, "must name the columns, email among them")}
	}
	columns, faults := importColumns(head)
	if len(faults) > 0 {
		return faults
	}
	for rows := 0; len(faults) <= maxErrors; {
		record, err := r.Read()
		if err == io.EOF {
			break
		}
		var syntax *csv.ParseError
		if errors.As(err, &syntax) {
			// What follows cannot be told apart any more.
			return append(faults, rowFault(syntax.Line, "", intake.InvalidFormat, "is not CSV: "+syntax.Err.Error()))
		}
		line, _ := r.FieldPos(0)
		if rows++; rows > maxImportRows {
			return append(faults, rowFault(line, "", intake.TooMany, fmt.Sprintf("is more than %d rows", maxImportRows)))
		}
		s, wrong := importRow(columns, record, line, now)
		if faults = append(faults, wrong...); len(wrong) == 0 {
			if do(s) != nil {
				return faults
			}
		}
	}
	return faults
}

// importColumns reads the first row.
func importColumns(head []string) (columns []string, faults []fault) {
	for _, name := range head {
		name = strings.ToLower(strings.TrimSpace(name))
		switch {
		case !slices.Contains(suppressionColumns(), name):
			faults = append(faults, rowFault(1, "", "unknown_column", "has a column that is none of "+strings.Join(suppressionColumns(), ", ")))
		case slices.Contains(columns, name):
			faults = append(faults, rowFault(1, name, intake.InvalidFormat, "has this column twice"))
		}
		columns = append(columns, name)
	}
	if !slices.Contains(columns, "email") {
		faults = append(faults, rowFault(1, "email", intake.Required, "lacks this column"))
	}
	return columns, faults
}

func importRow(columns, record []string, line int, now time.Time) (s email.Suppression, faults []fault) {
	s = email.Suppression{ID: email.NewID(email.SuppressionPrefix), Reason: email.SuppressedManual, CreatedAt: now}
	if len(record) != len(columns) {
		return s, []fault{rowFault(line, "", intake.InvalidFormat, fmt.Sprintf("has %d columns, the first row has %d", len(record), len(columns)))}
	}
	for i, name := range columns {
		value := email.ActiveCell(strings.TrimSpace(record[i]))
		switch {
		case !slices.Contains(suppressionColumns()[:importedColumns], name):
		case value == "" && name == "email":
			faults = append(faults, rowFault(line, name, intake.Required, "is required"))
		case value == "":
		case !validText(value):
			faults = append(faults, rowFault(line, name, intake.InvalidFormat, "is not UTF-8"))
		default:
			if code, detail := setSuppression(&s, name, value, now); code != "" {
				faults = append(faults, rowFault(line, name, code, detail))
			}
		}
	}
	return s, faults
}

func rowFault(line int, column, code, detail string) fault {
	f := fault{Line: line, Code: code, Detail: detail}
	if column != "" {
		f.Column = column
	}
	return f
}
