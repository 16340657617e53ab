package email

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestNewMessageIDCarriesItsShard(t *testing.T) {
	for shard := range 256 {
		id := NewMessageID(uint8(shard))
		got, err := Shard(id)
		if err != nil || got != uint8(shard) {
			t.Fatalf("shard of %s: %d, %v, want %d", id, got, err, shard)
		}
	}
}

func TestNewIDFormAndTime(t *testing.T) {
	before := time.Now().Truncate(time.Millisecond)
	id := NewID(EventPrefix)
	after := time.Now()
	parsed, err := ParseID(EventPrefix, id)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(id, "evt_") || len(id) != len("evt_")+26 || FormatID(EventPrefix, parsed) != id {
		t.Errorf("id %s", id)
	}
	if at := IDTime(parsed); at.Before(before) || at.After(after) || at.Location() != time.UTC {
		t.Errorf("made at %v, not in %v to %v", at, before, after)
	}
}

func TestIDsSortByTime(t *testing.T) {
	var ids []string
	for range 1000 {
		ids = append(ids, NewID(MessagePrefix))
	}
	if !slices.IsSorted(ids) {
		t.Error("ids made one after another do not sort")
	}
	early := FormatID(MessagePrefix, uuid.MustParse("01900000-0000-7000-8000-000000000000"))
	late := FormatID(MessagePrefix, uuid.MustParse("01900000-0001-7000-8000-000000000000"))
	if early >= late {
		t.Errorf("%s does not sort before %s", early, late)
	}
}

func TestParseIDRefuses(t *testing.T) {
	good := FormatID(MessagePrefix, uuid.MustParse("01900000-0000-7000-8000-000000000000"))
	if _, err := ParseID(MessagePrefix, good); err != nil {
		t.Fatal(err)
	}
	cases := map[string]string{
		"empty":              "",
		"prefix only":        "msg_",
		"another prefix":     strings.Replace(good, "msg", "evt", 1),
		"no prefix":          strings.TrimPrefix(good, "msg_"),
		"too short":          good[:len(good)-1],
		"too long":           good + "0",
		"upper case":         strings.ToUpper(good),
		"a letter left out":  strings.Replace(good, "0", "u", 1),
		"bits beyond 128":    strings.Replace(good, "msg_0", "msg_8", 1),
		"not version 7":      FormatID(MessagePrefix, uuid.MustParse("01900000-0000-4000-8000-000000000000")),
		"line break":         good[:len(good)-1] + "\n",
		"bytes beyond ASCII": good[:len(good)-2] + "é",
	}
	for name, id := range cases {
		if _, err := ParseID(MessagePrefix, id); err == nil {
			t.Errorf("%s: accepted %q", name, id)
		}
		if _, err := Shard(id); err == nil {
			t.Errorf("%s: a shard of %q", name, id)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("msg_01k3abcdefghjkmnpqrstvwxyz")
	f.Add(NewMessageID(7))
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseID(MessagePrefix, s)
		if err == nil && FormatID(MessagePrefix, id) != s {
			t.Fatalf("%q reads as %s, written %q", s, id, FormatID(MessagePrefix, id))
		}
	})
}

func TestIDBound(t *testing.T) {
	id := NewID(EventPrefix)
	parsed, err := ParseID(EventPrefix, id)
	if err != nil {
		t.Fatal(err)
	}
	at, bare := IDTime(parsed), id[len(EventPrefix)+1:]
	if IDBound(at) > bare || IDBound(at.Add(time.Millisecond)) <= bare || IDBound(at.Add(-time.Hour)) > bare {
		t.Errorf("%s is not between the bounds %s and %s", bare, IDBound(at), IDBound(at.Add(time.Millisecond)))
	}
	if IDBound(time.Time{}) > IDBound(time.UnixMilli(0)) {
		t.Error("the zero time is after 1970")
	}
}
