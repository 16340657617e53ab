package dashboard

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"postrider/internal/email"
)

const (
	maxImportRows = 100_000
	// maxImport is more than an export of so many entries has: in an entry all is bounded.
	maxImport     = maxImportRows * 1600
	maxImportRow  = 64 << 10 // octets: more than a row of any columns has
	importBatch   = 500
	importTimeout = 150 * time.Second // the server gives an answer up after three minutes
	maxFaults     = 20                // that are told
)

// importSuppressions adds those of a file: CSV as an export writes it, or an address on
// each line. All of it is looked at before the first one counts.
func (d *dashboard) importSuppressions(v *visit) (string, error) {
	file, head, err := v.FormFile("file")
	if err != nil {
		return "", refused("No file was chosen.")
	}
	defer file.Close()
	if head.Size > maxImport {
		return "", refused("Nothing was added: the file has more than %s. Split it, and import the parts.", octets(maxImport))
	}
	now := d.Now()
	faults, err := readImport(v.world, file, now, func([]email.Suppression) error { return nil })
	if len(faults) > 0 {
		return "", refused("Nothing was added: %s.", strings.Join(faults, "; "))
	}
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(v.Context()), importTimeout)
	defer cancel()
	made := 0
	_, err = readImport(v.world, file, now, func(batch []email.Suppression) error {
		added, err := d.Store.Suppressions.Add(ctx, v.world, batch, now)
		for _, a := range added {
			if a.Created {
				made++
			}
		}
		if made > 0 {
			v.did("", fmt.Sprintf("%d added", made))
		}
		return err
	})
	if err != nil {
		return "", tooMany(err)
	}
	return done("/ui/suppressions", "imported"), nil
}

// readImport reads a file and gives its entries in batches. Faults name lines.
func readImport(w email.World, file io.Reader, now time.Time, do func([]email.Suppression) error) (faults []string, err error) {
	rows := &rowReader{Reader: file, left: maxImportRow}
	text := bufio.NewReader(rows)
	if mark, _ := text.Peek(3); string(mark) == "\ufeff" {
		_, _ = text.Discard(len(mark)) // it was peeked
	}
	r := csv.NewReader(text)
	r.FieldsPerRecord = -1
	names := []string{"email"}
	var batch []email.Suppression
	count := 0
	for first := true; len(faults) < maxFaults; first = false {
		rows.left = maxImportRow
		record, err := r.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return append(faults, "it is not CSV: "+err.Error()), nil
		}
		line, _ := r.FieldPos(0)
		if first && !strings.Contains(record[0], "@") {
			names = record
			for i := range names {
				names[i] = strings.ToLower(strings.TrimSpace(names[i]))
			}
			if !slices.Contains(names, "email") {
				return []string{"its first line names no column email"}, nil
			}
			continue
		}
		s, fault := newSuppression(w, partsOf(names, record), now)
		if fault != "" {
			faults = append(faults, fmt.Sprintf("line %d: %s", line, fault))
			continue
		}
		if count++; count > maxImportRows {
			return []string{fmt.Sprintf("it has more than %d entries. Split it, and import the parts", maxImportRows)}, nil
		}
		if batch = append(batch, s); len(batch) == importBatch {
			if err := do(batch); err != nil {
				return nil, err
			}
			batch = batch[:0]
		}
	}
	if count == 0 && len(faults) == 0 {
		return []string{"the file has no address"}, nil
	}
	if len(batch) > 0 && len(faults) == 0 {
		err = do(batch)
	}
	return faults, err
}

// partsOf are the cells of a row that an import reads, by the names of their columns.
func partsOf(names, record []string) map[string]string {
	parts := make(map[string]string)
	for i, value := range record {
		if i < len(names) && slices.Contains(columns()[:6], names[i]) {
			parts[names[i]] = email.ActiveCell(strings.TrimSpace(value))
		}
	}
	return parts
}

var errLongRow = errors.New("a row has no end")

// rowReader fails in a row that goes on and on: all of it would be held.
type rowReader struct {
	io.Reader
	left int // octets until the row must have ended
}

func (r *rowReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, errLongRow
	}
	n, err := r.Reader.Read(p[:min(len(p), r.left)])
	r.left -= n
	return n, err
}
