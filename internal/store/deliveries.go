package store

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// DeliveryStatus is what has become of a delivery.
type DeliveryStatus string

// The states of a delivery.
const (
	DeliveryPending   DeliveryStatus = "pending"
	DeliverySucceeded DeliveryStatus = "succeeded"
	DeliveryFailed    DeliveryStatus = "failed"
)

// Delivery is one event on its way to one endpoint. There is one for each such
// pair, however often the event is followed.
type Delivery struct {
	ID         string // dlv_; its last byte is the shard
	World      email.World
	Webhook    string
	Event      string
	Type       email.EventType
	Message    string   // empty: the event is a suppression's
	Position   int      // of the event in the message's list
	Entry      Position // of a suppression's event in the shard's stream
	Status     DeliveryStatus
	Attempts   int
	Replayed   int // attempts before it was last replayed: they are not counted against it
	Generation int // of the job that is to wake it
	CreatedAt  time.Time
	NextAt     time.Time // when the next attempt is due; zero once it is finished
	EndedAt    time.Time // zero while it is pending
	LastStatus int       // HTTP status of the last attempt, 0 if there was no answer
	LastError  string    // why the last attempt failed, or why there will be no other

	raw string // as it was read: what a change replaces
}

// Post is one attempt of a delivery.
type Post struct {
	Number   int // from 1
	At       time.Time
	Duration time.Duration
	Status   int    // 0 if there was no answer
	Error    string // empty if it succeeded
	Body     string // the beginning of the answer, printable
}

// Deliveries is the aggregate of what is sent to endpoints.
type Deliveries struct {
	rdb     redis.UniversalClient
	options Options
	packer  *packer
	follow  *redis.Script
	settle  *redis.Script
	look    *redis.Script
	replay  *redis.Script
	drop    *redis.Script
	putOff  *redis.Script
}

func newDeliveries(rdb redis.UniversalClient, o Options, p *packer) *Deliveries {
	return &Deliveries{
		rdb: rdb, options: o, packer: p, follow: redis.NewScript(whenFull + followScript),
		settle: redis.NewScript(whenFull + settleScript), look: redis.NewScript(whenFull + lookDeliveryScript),
		replay: redis.NewScript(whenFull + replayDeliveryScript),
		drop:   redis.NewScript(dropDeliveryScript), putOff: redis.NewScript(whenFull + putOffScript),
	}
}

type storedDelivery struct {
	Webhook    string          `json:"w"`
	Event      string          `json:"e"`           // without evt_
	Type       email.EventType `json:"t"`           //
	Message    string          `json:"m,omitempty"` // without msg_
	Position   int             `json:"p,omitempty"` //
	Entry      Position        `json:"q,omitempty"` //
	Status     DeliveryStatus  `json:"s,omitempty"` // absent: pending
	Attempts   int             `json:"a,omitempty"`
	Replayed   int             `json:"b,omitempty"`
	Generation int             `json:"g,omitempty"`
	Created    int64           `json:"c"`
	Next       int64           `json:"n,omitempty"`
	Ended      int64           `json:"z,omitempty"`
	Code       int             `json:"k,omitempty"`
	Error      string          `json:"x,omitempty"`
}

type storedPost struct {
	At       int64  `json:"a"`
	Duration int64  `json:"d"` // ms
	Status   int    `json:"s,omitempty"`
	Error    string `json:"x,omitempty"`
	Body     string `json:"b,omitempty"`
}

// DeliveryID names the delivery of an event to an endpoint. It is the same each
// time, sorts by the event's time, and its last byte is the shard.
func DeliveryID(event, webhook string, shard uint8) (string, error) {
	of, err := email.ParseID(email.EventPrefix, event)
	if err != nil {
		return "", fmt.Errorf("name a delivery: %w", err)
	}
	sum := sha256.Sum256([]byte(event + " " + webhook))
	id := uuid.UUID(sum[:16])
	copy(id[:6], of[:6])      // the time, RFC 9562 5.7
	id[6] = 0x70 | id[6]&0x0f // version
	id[8] = 0x80 | id[8]&0x3f // variant
	id[15] = shard
	return email.FormatID(email.DeliveryPrefix, id), nil
}

// DeliveryShard is the shard of a delivery.
func DeliveryShard(id string) (uint8, error) {
	parsed, err := email.ParseID(email.DeliveryPrefix, id)
	return parsed[15], err
}

func encodeDelivery(d *Delivery) (string, error) {
	v := storedDelivery{
		Webhook: d.Webhook, Event: bare(d.Event), Type: d.Type, Message: short(d.Message), Position: d.Position, Entry: d.Entry,
		Status: d.Status, Attempts: d.Attempts, Replayed: d.Replayed, Generation: d.Generation, Created: toMS(d.CreatedAt),
		Next: toMS(d.NextAt), Ended: toMS(d.EndedAt), Code: d.LastStatus, Error: d.LastError,
	}
	if v.Status == DeliveryPending {
		v.Status = ""
	}
	raw, err := json.Marshal(v)
	return string(raw), err
}

func decodeDelivery(w email.World, id, raw string) (*Delivery, error) {
	var v storedDelivery
	if err := json.Unmarshal([]byte(raw), &v); err != nil {
		return nil, fmt.Errorf("decode delivery %s: %w: %w", id, ErrBroken, err)
	}
	if v.Status == "" {
		v.Status = DeliveryPending
	}
	if v.Webhook == "" || isShort(v.Message) == (v.Entry != "") || v.Position < 0 || v.Attempts < 0 {
		return nil, fmt.Errorf("decode delivery %s: %w", id, ErrBroken)
	}
	if v.Message != "" {
		v.Message = long(v.Message)
	}
	return &Delivery{
		ID: id, World: w, Webhook: v.Webhook, Event: email.EventPrefix + "_" + v.Event, Type: v.Type,
		Message: v.Message, Position: v.Position, Entry: v.Entry, Status: v.Status, Attempts: v.Attempts, Replayed: v.Replayed, Generation: v.Generation,
		CreatedAt: fromMS(v.Created), NextAt: fromMS(v.Next), EndedAt: fromMS(v.Ended), LastStatus: v.Code, LastError: v.Error,
		raw: raw,
	}, nil
}

// locate finds the shard and the bare id of a delivery. What is not an id of ours
// names no delivery: ErrNotFound.
func (s *Deliveries) locate(w email.World, id string) (shardKeys, string, error) {
	shard, err := DeliveryShard(id)
	if err != nil {
		return shardKeys{}, "", ErrNotFound
	}
	return keysOf(w, shard), bare(id), nil
}

// Get reads a delivery. ErrNotFound if there is none.
func (s *Deliveries) Get(ctx context.Context, w email.World, id string) (*Delivery, error) {
	keys, name, err := s.locate(w, id)
	if err != nil {
		return nil, err
	}
	raw, err := s.rdb.HGet(ctx, keys.delivery(name), "d").Result()
	if errors.Is(err, redis.Nil) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read delivery %s: %w", id, err)
	}
	return decodeDelivery(w, id, raw)
}

// maxPosts is how many attempts of a delivery are kept: more than it makes by itself.
const maxPosts = 50

// Posts lists the attempts of a delivery, oldest first, at most the last maxPosts. ErrNotFound if there is no
// such delivery.
func (s *Deliveries) Posts(ctx context.Context, w email.World, id string) ([]Post, error) {
	keys, name, err := s.locate(w, id)
	if err != nil {
		return nil, err
	}
	fields, err := s.rdb.HGetAll(ctx, keys.delivery(name)).Result()
	if err != nil {
		return nil, fmt.Errorf("read delivery %s: %w", id, err)
	}
	if len(fields) == 0 {
		return nil, ErrNotFound
	}
	d, err := decodeDelivery(w, id, fields["d"])
	if err != nil {
		return nil, err
	}
	var list []Post
	for n := max(1, d.Attempts-maxPosts+1); fields["a"+strconv.Itoa(n)] != ""; n++ {
		p, err := s.packer.decodePost(fields["a"+strconv.Itoa(n)])
		if err != nil {
			return nil, fmt.Errorf("read attempt %d of delivery %s: %w", n, id, err)
		}
		p.Number = n
		list = append(list, p)
	}
	return list, nil
}
