package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// MaxTemplates is how many templates one world may have (api.md 22), MaxTemplateBytes
// how many octets their packed texts may take together.
const (
	MaxTemplates     = 500
	MaxTemplateBytes = 64 << 20
)

// The errors of a change to templates.
var (
	ErrTooManyTemplates = errors.New("too many templates")
	// ErrShelfChanged: another change came between reading and writing.
	ErrShelfChanged = errors.New("the templates were changed meanwhile")
)

// Template is what is known of a stored template without its texts.
type Template struct {
	ID        string // tpl_
	Alias     string // empty: none
	Name      string
	Kind      string // message, layout, partial: package library says what they are
	CreatedAt time.Time
	UpdatedAt time.Time
	UpdatedBy string // as in the record of changes; empty: not known
	// Draft is what is edited. Its number is Published if it says the same, else that
	// which it will have.
	Draft     TemplateVersion
	Published int               // the number that is sent; 0: never published
	Last      int               // the highest number that was published
	Versions  []TemplateVersion // published, those that are kept, oldest first
	ETag      string            // another one after each change
}

// TemplateVersion is one state of a template's texts.
type TemplateVersion struct {
	Number      int
	PublishedAt time.Time // zero: it is a draft
	PublishedBy string    // as in the record of changes; empty: not known
	Subject     string
	Layout      string // id; empty: none
	Digest      string // of its content, by which that is found
	Size        int    // octets of the content, packed
}

// Version finds a published version by its number; nil if it is not kept.
func (t *Template) Version(n int) *TemplateVersion {
	for i := range t.Versions {
		if t.Versions[i].Number == n {
			return &t.Versions[i]
		}
	}
	return nil
}

// TemplateContent is what a version says.
type TemplateContent struct {
	From      string             `json:"f,omitempty"`
	ReplyTo   string             `json:"r,omitempty"`
	Subject   string             `json:"s,omitempty"`
	HTML      string             `json:"h,omitempty"`
	Text      string             `json:"t,omitempty"`
	Layout    string             `json:"l,omitempty"` // id
	Variables []TemplateVariable `json:"v,omitempty"`
}

// TemplateVariable declares a variable. Default and Example are JSON; nil: none.
type TemplateVariable struct {
	Key         string          `json:"k"`
	Type        string          `json:"t"`
	Required    bool            `json:"r,omitempty"`
	Default     json.RawMessage `json:"d,omitempty"`
	Description string          `json:"n,omitempty"`
	Example     json.RawMessage `json:"e,omitempty"`
}

// Templates is the aggregate of stored templates. Changes of one world happen one after
// another, since one may concern others: a partial must not come to contain itself.
type Templates struct {
	rdb    redis.UniversalClient
	packer *packer
	change *redis.Script
}

// Shelf is all templates of a world at one moment, by their ids.
type Shelf struct {
	State     string // names the moment
	Templates map[string]*Template
}

type storedTemplate struct {
	Alias     string                  `json:"a,omitempty"`
	Name      string                  `json:"n"`
	Kind      string                  `json:"k"`
	Created   int64                   `json:"c"`
	Updated   int64                   `json:"u"`
	Draft     storedTemplateVersion   `json:"d"`
	Published int                     `json:"p,omitempty"`
	Last      int                     `json:"l,omitempty"`
	Versions  []storedTemplateVersion `json:"v,omitempty"`
	ETag      string                  `json:"e"`
	By        string                  `json:"w,omitempty"`
}

type storedTemplateVersion struct {
	Number    int    `json:"n"`
	Published int64  `json:"p,omitempty"`
	Subject   string `json:"s,omitempty"`
	Layout    string `json:"l,omitempty"`
	Digest    string `json:"d"`
	Size      int    `json:"z"`
	By        string `json:"w,omitempty"`
}

// changeTemplateScript replaces a template if the shelf is still what was read.
//
//	KEYS 1 state, 2 heads, 3 contents
//	ARGV 1 state as read (empty: none yet), 2 new state, 3 id, 4 head (empty: remove),
//	     5 most templates, 6 number of contents to put, then these as field and value,
//	     then the fields of contents to drop
//
// Returns 1, 0 if another change came between, or -1 if there are too many. Safe to run
// twice: the second run finds its own state, which holds a nonce.
const changeTemplateScript = `
local standing = redis.call('GET', KEYS[1]) or ''
if standing == ARGV[2] then return 1 end
if standing ~= ARGV[1] then return 0 end
if ARGV[4] == '' then
  redis.call('HDEL', KEYS[2], ARGV[3]) -- first, as whenFull: a full Redis can be emptied
else
  if redis.call('HEXISTS', KEYS[2], ARGV[3]) == 0 and redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[5]) then return -1 end
  redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
end
local at = 7
for _ = 1, tonumber(ARGV[6]) do
  redis.call('HSET', KEYS[3], ARGV[at], ARGV[at + 1])
  at = at + 2
end
for i = at, #ARGV do redis.call('HDEL', KEYS[3], ARGV[i]) end
redis.call('SET', KEYS[1], ARGV[2])
return 1
`

// State names the moment that the templates of a world are at.
func (s *Templates) State(ctx context.Context, w email.World) (string, error) {
	state, err := s.rdb.Get(ctx, templateState(w)).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", fmt.Errorf("read the state of the templates: %w", err)
	}
	return state, nil
}

// Shelf reads all templates of a world, without their texts.
func (s *Templates) Shelf(ctx context.Context, w email.World) (*Shelf, error) {
	var (
		state *redis.StringCmd
		heads *redis.MapStringStringCmd
	)
	_, err := s.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		state, heads = p.Get(ctx, templateState(w)), p.HGetAll(ctx, templateHeads(w))
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("read the templates: %w", err)
	}
	shelf := &Shelf{State: state.Val(), Templates: make(map[string]*Template, len(heads.Val()))}
	for id, raw := range heads.Val() {
		if shelf.Templates[id], err = decodeTemplate(id, raw); err != nil {
			return nil, err
		}
	}
	return shelf, nil
}

// Contents reads texts by their digests, for a template each: ids and digests have the
// same length. ErrNotFound if one is gone, which a newer shelf does not name.
func (s *Templates) Contents(ctx context.Context, w email.World, ids, digests []string) ([]*TemplateContent, error) {
	fields := make([]string, len(ids))
	for i := range ids {
		fields[i] = contentField(ids[i], digests[i])
	}
	if len(fields) == 0 {
		return nil, nil
	}
	packed, err := s.rdb.HMGet(ctx, templateContents(w), fields...).Result()
	if err != nil {
		return nil, fmt.Errorf("read the texts of templates: %w", err)
	}
	out := make([]*TemplateContent, len(fields))
	for i, v := range packed {
		text, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("read the texts of template %s: %w", ids[i], ErrNotFound)
		}
		raw, err := s.packer.decompress(text, maxContent)
		if err == nil {
			err = json.Unmarshal(raw, &out[i])
		}
		if err != nil {
			return nil, fmt.Errorf("read the texts of template %s: %w: %w", ids[i], ErrBroken, err)
		}
	}
	return out, nil
}

// Pack prepares a content to be put: its digest, and its octets as they are stored.
func (s *Templates) Pack(c *TemplateContent) (digest string, packed []byte, err error) {
	raw, err := json.Marshal(c)
	if err != nil {
		return "", nil, err
	}
	return hashWord(string(raw), 16), s.packer.compress(raw), nil
}

// TemplateChange is one change to the shelf.
type TemplateChange struct {
	State  string            // of the shelf that it was decided by
	ID     string            //
	Head   *Template         // nil: the template goes
	Put    map[string][]byte // packed contents by their digests
	Forget []string          // digests that nothing names any more
}

// Change makes a change, if the shelf is still as it was. ErrShelfChanged,
// ErrTooManyTemplates.
func (s *Templates) Change(ctx context.Context, w email.World, c *TemplateChange) error {
	n, _, _ := strings.Cut(c.State, ".")
	number, err := strconv.ParseInt("0"+n, 10, 64)
	if err != nil {
		return fmt.Errorf("change template %s: %w: the state of the templates", c.ID, ErrBroken)
	}
	var head []byte
	if c.Head != nil {
		if head, err = encodeTemplate(c.Head); err != nil {
			return fmt.Errorf("change template %s: %w", c.ID, err)
		}
	}
	args := []any{c.State, strconv.FormatInt(number+1, 10) + "." + rand.Text()[:12], c.ID, head, MaxTemplates, len(c.Put)}
	for digest, packed := range c.Put {
		args = append(args, contentField(c.ID, digest), packed)
	}
	for _, digest := range c.Forget {
		args = append(args, contentField(c.ID, digest))
	}
	done, err := s.change.Run(ctx, s.rdb, []string{templateState(w), templateHeads(w), templateContents(w)}, args...).Int()
	switch {
	case err != nil:
		return fmt.Errorf("change template %s: %w", c.ID, err)
	case done < 0:
		return ErrTooManyTemplates
	case done == 0:
		return ErrShelfChanged
	}
	return nil
}

// Digests are those of all contents that a template names.
func (t *Template) Digests() []string {
	list := []string{t.Draft.Digest}
	for i := range t.Versions {
		list = append(list, t.Versions[i].Digest)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func contentField(id, digest string) string { return bare(id) + ":" + digest }

func encodeTemplate(t *Template) ([]byte, error) {
	out := storedTemplate{
		Alias: t.Alias, Name: t.Name, Kind: t.Kind, Created: toMS(t.CreatedAt), Updated: toMS(t.UpdatedAt),
		Draft: toStoredVersion(&t.Draft), Published: t.Published, Last: t.Last, ETag: t.ETag, By: t.UpdatedBy,
	}
	for i := range t.Versions {
		out.Versions = append(out.Versions, toStoredVersion(&t.Versions[i]))
	}
	return json.Marshal(out)
}

func decodeTemplate(id, raw string) (*Template, error) {
	var v storedTemplate
	if err := json.Unmarshal([]byte(raw), &v); err != nil {
		return nil, fmt.Errorf("decode template %s: %w: %w", id, ErrBroken, err)
	}
	t := &Template{
		ID: id, Alias: v.Alias, Name: v.Name, Kind: v.Kind, CreatedAt: fromMS(v.Created), UpdatedAt: fromMS(v.Updated),
		Draft: fromStoredVersion(&v.Draft), Published: v.Published, Last: v.Last, ETag: v.ETag, UpdatedBy: v.By,
	}
	for i := range v.Versions {
		t.Versions = append(t.Versions, fromStoredVersion(&v.Versions[i]))
	}
	if v.Published != 0 && t.Version(v.Published) == nil {
		return nil, fmt.Errorf("decode template %s: %w: the published version is not kept", id, ErrBroken)
	}
	return t, nil
}

func toStoredVersion(v *TemplateVersion) storedTemplateVersion {
	return storedTemplateVersion{
		Number: v.Number, Published: toMS(v.PublishedAt), Subject: v.Subject, Layout: v.Layout, Digest: v.Digest, Size: v.Size, By: v.PublishedBy,
	}
}

func fromStoredVersion(v *storedTemplateVersion) TemplateVersion {
	return TemplateVersion{
		Number: v.Number, PublishedAt: fromMS(v.Published), PublishedBy: v.By, Subject: v.Subject, Layout: v.Layout, Digest: v.Digest, Size: v.Size,
	}
}
