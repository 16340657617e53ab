package compose

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/emersion/go-message"
	messagemail "github.com/emersion/go-message/mail"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"postrider/internal/email"
)

const shapes = 640

// TestReadBack composes every shape and reads it with three readers that are not ours.
func TestReadBack(t *testing.T) {
	var raws [][]byte
	for seed := range uint64(shapes) {
		m, c, _ := shape(seed)
		raw := compose(t, m, c)
		if faults := wireFaults(raw); faults != nil {
			t.Fatalf("shape %d: %q\n%s", seed, faults, raw)
		}
		if bytes.Contains(raw, []byte("hidden@")) {
			t.Fatalf("shape %d: names who is only in Bcc", seed)
		}
		if !bytes.Equal(raw, compose(t, m, c)) {
			t.Fatalf("shape %d: composed twice, two results", seed)
		}
		raws = append(raws, raw)
	}
	python := readWith(t, raws, pythonInterpreter(), "-I", "testdata/read.py")
	perl := readWith(t, raws, "/usr/bin/perl", "testdata/read.pl")
	for seed := range uint64(shapes) {
		m, c, want := shape(seed)
		for reader, got := range map[string]mail{"go-message": readWithGo(t, raws[seed]), "python": python[seed], "perl": perl[seed]} {
			if diff := cmp.Diff(lastLine(want, m, c), got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("shape %d, %s: -want +got:\n%s\n%s", seed, reader, diff, raws[seed])
			}
		}
	}
}

// lastLine takes back the CRLF that expected adds at the end of a mail of one part,
// where base64 made it needless.
func lastLine(want mail, m *email.Message, c *email.Content) mail {
	raw, err := Message(m, c)
	if err == nil && len(want.Leaves) == 1 && want.Leaves[0].Path == "" && bytes.Contains(raw, []byte("\r\nContent-Transfer-Encoding: base64\r\n")) {
		want.Leaves[0].Body = canonical(c.Text + c.HTML)
		if c.Calendar != nil {
			want.Leaves[0].Body = c.Calendar.Content
		}
	}
	return want
}

func readWithGo(t *testing.T, raw []byte) mail {
	t.Helper()
	entity, err := message.Read(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("read: %v\n%s", err, raw)
	}
	h := messagemail.Header{Header: entity.Header}
	got := mail{}
	got.Subject, err = h.Subject()
	if err != nil {
		t.Fatal(err)
	}
	got.From, got.To, got.Cc, got.ReplyTo = addressList(t, h, "From"), addressList(t, h, "To"), addressList(t, h, "Cc"), addressList(t, h, "Reply-To")
	for fields := h.Fields(); fields.Next(); {
		name, _, _ := strings.Cut(string(mustRaw(t, fields)), ":")
		got.Fields = append(got.Fields, name)
		if strings.HasPrefix(name, "X-") || name == "References" || name == "Feedback-ID" {
			value, err := fields.Text()
			if err != nil {
				t.Fatal(err)
			}
			got.Values = append(got.Values, value)
		}
	}
	got.Leaves = goLeaves(t, entity, nil)
	return got
}

func mustRaw(t *testing.T, fields message.HeaderFields) []byte {
	t.Helper()
	raw, err := fields.Raw()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func addressList(t *testing.T, h messagemail.Header, field string) []email.Address {
	t.Helper()
	list, err := h.AddressList(field)
	if err != nil {
		t.Fatalf("%s: %v", field, err)
	}
	var got []email.Address
	for _, a := range list {
		local, domain, _ := strings.Cut(a.Address, "@")
		if strings.ContainsRune(local, ' ') {
			local = `"` + local + `"` // net/mail takes the quotes off
		}
		got = append(got, email.Address{Name: a.Name, Email: local + "@" + domain})
	}
	return got
}

func goLeaves(t *testing.T, entity *message.Entity, path []string) []leaf {
	t.Helper()
	kind, params, err := entity.Header.ContentType()
	if err != nil {
		t.Fatal(err)
	}
	if reader := entity.MultipartReader(); reader != nil {
		var found []leaf
		for {
			part, err := reader.NextPart()
			if err == io.EOF {
				return found
			}
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, goLeaves(t, part, append(path[:len(path):len(path)], strings.TrimPrefix(kind, "multipart/")))...)
		}
	}
	body, err := io.ReadAll(entity.Body)
	if err != nil {
		t.Fatal(err)
	}
	l := leaf{Path: strings.Join(path, "/"), Type: kind, Charset: params["charset"], Method: params["method"], ContentID: entity.Header.Get("Content-Id"), Body: string(body)}
	if entity.Header.Has("Content-Disposition") {
		var params map[string]string
		l.Disposition, params, err = entity.Header.ContentDisposition()
		if err != nil {
			t.Fatal(err)
		}
		l.Filename = params["filename"]
	}
	return []leaf{l}
}

// pythonInterpreter is Debian's, or what there is.
func pythonInterpreter() string {
	const debian = "/usr/bin/python3"
	if _, err := os.Stat(debian); err != nil {
		return "python3"
	}
	return debian
}

// readWith reads the mails with another program, all in one process.
func readWith(t *testing.T, raws [][]byte, program string, args ...string) []mail {
	t.Helper()
	var in bytes.Buffer
	for _, raw := range raws {
		in.WriteString(base64.StdEncoding.EncodeToString(raw) + "\n")
	}
	cmd := exec.Command(program, args...)
	cmd.Stdin, cmd.Stderr = &in, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s is needed to read the mails back (make test-tools): %v", program, err)
	}
	var mails []mail
	for lines := bufio.NewReader(bytes.NewReader(out)); ; {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			break
		}
		var m mail
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		for i := range m.Leaves {
			body, err := base64.StdEncoding.DecodeString(m.Leaves[i].Body)
			if err != nil {
				t.Fatal(err)
			}
			m.Leaves[i].Body = string(body)
		}
		mails = append(mails, m)
	}
	if len(mails) != len(raws) {
		t.Fatalf("%s read %d of %d mails", program, len(mails), len(raws))
	}
	return mails
}
