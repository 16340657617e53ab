package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/internal/email"
)

// ErrTooManySuppressions: the address has as many entries as it may, but for those about
// all domains and streams.
var ErrTooManySuppressions = fmt.Errorf("an address has more than %d suppressions", maxEntries)

// Added is what Add made of one entry.
type Added struct {
	Suppression email.Suppression
	Created     bool // false: it was there, and stays as it is
}

// Add makes entries, except those that are there: the same address, domain, stream and
// reason. It answers in the order of list; with ErrTooManySuppressions what there was
// room for is added. Once it returns, mail that is accepted or
// tried from then on knows of them.
func (s *Suppressions) Add(ctx context.Context, w email.World, list []email.Suppression, now time.Time) ([]Added, error) {
	byAddress := make(map[string][]int)
	for i := range list {
		address := email.Address{Email: list[i].Email}.Normalized()
		byAddress[address] = append(byAddress[address], i)
	}
	wanted := make(map[string]decide, len(byAddress))
	for address, indexes := range byAddress {
		wanted[address] = func(e *edit) {
			for _, i := range indexes {
				scoped := list[i].Domain != "" || list[i].Stream != ""
				if find(e.after, &list[i]) == nil && !(scoped && len(e.after) >= maxEntries) {
					e.add(list[i])
				}
			}
		}
	}
	done, err := s.editAll(ctx, w, wanted, now)
	if err != nil {
		return nil, err
	}
	out := make([]Added, len(list))
	for address, indexes := range byAddress {
		for _, i := range indexes {
			standing := find(done[address].after, &list[i])
			if standing == nil {
				err = ErrTooManySuppressions
				continue
			}
			out[i] = Added{*standing, standing.ID == list[i].ID}
		}
	}
	return out, err
}

func find(list []email.Suppression, s *email.Suppression) *email.Suppression {
	for i := range list {
		if list[i].Same(s) {
			return &list[i]
		}
	}
	return nil
}

// Remove removes every entry of some addresses and returns those that it removed.
func (s *Suppressions) Remove(ctx context.Context, w email.World, addresses []string, now time.Time) ([]email.Suppression, error) {
	wanted := make(map[string]decide, len(addresses))
	for _, a := range addresses {
		wanted[email.Address{Email: a}.Normalized()] = func(e *edit) { e.remove(func(*email.Suppression) bool { return true }) }
	}
	done, err := s.editAll(ctx, w, wanted, now)
	var removed []email.Suppression
	for _, e := range done {
		for _, c := range e.changed {
			removed = append(removed, c.entry)
		}
	}
	return removed, err
}

// Delete removes one entry and returns it. ErrNotFound if there is none.
func (s *Suppressions) Delete(ctx context.Context, w email.World, id string, now time.Time) (*email.Suppression, error) {
	standing, err := s.Get(ctx, w, id)
	if err != nil {
		return nil, err
	}
	address := email.Address{Email: standing.Email}.Normalized()
	done, err := s.editAll(ctx, w, map[string]decide{
		address: func(e *edit) { e.remove(func(s *email.Suppression) bool { return s.ID == id }) },
	}, now)
	if err != nil {
		return nil, err
	}
	for _, c := range done[address].changed {
		return &c.entry, nil
	}
	return nil, ErrNotFound
}

// Get reads one entry. ErrNotFound if there is none.
func (s *Suppressions) Get(ctx context.Context, w email.World, id string) (*email.Suppression, error) {
	if _, err := email.ParseID(email.SuppressionPrefix, id); err != nil {
		return nil, ErrNotFound
	}
	// '!' comes right behind the space.
	members, err := s.rdb.ZRangeByLex(ctx, suppressionsOf(w).all(), &redis.ZRangeBy{Min: "[" + bare(id) + " ", Max: "(" + bare(id) + "!"}).Result()
	if err != nil {
		return nil, fmt.Errorf("read suppression %s: %w", id, err)
	}
	found, err := s.load(ctx, w, members)
	if err != nil {
		return nil, fmt.Errorf("read suppression %s: %w", id, err)
	}
	for i := range found {
		return &found[i], nil
	}
	return nil, ErrNotFound
}

// cutMember takes a member of an index apart: an id and an address.
func cutMember(member string) (id, address string) {
	id, address, _ = strings.Cut(member, " ")
	return id, address
}

// load reads the entries that members of an index name, in their order.
func (s *Suppressions) load(ctx context.Context, w email.World, members []string) ([]email.Suppression, error) {
	addresses := make([]string, len(members))
	for i, m := range members {
		_, addresses[i] = cutMember(m)
	}
	edits, err := s.read(ctx, w, addresses)
	if err != nil {
		return nil, err
	}
	var out []email.Suppression
	for i, m := range members {
		id, _ := cutMember(m)
		for _, entry := range edits[i].before {
			if bare(entry.ID) == id {
				out = append(out, entry)
			}
		}
	}
	return out, nil
}

// SuppressionFilter selects entries; zero members select all. All given must hold.
type SuppressionFilter struct {
	Email        string
	Reason       string
	Stream       string
	CreatedAfter time.Time
}

func (f SuppressionFilter) match(s *email.Suppression) bool {
	return (f.Email == "" || email.Address{Email: s.Email}.Normalized() == email.Address{Email: f.Email}.Normalized()) &&
		(f.Reason == "" || s.Reason == f.Reason) && (f.Stream == "" || s.Stream == f.Stream) &&
		(f.CreatedAfter.IsZero() || s.CreatedAt.After(f.CreatedAfter))
}

// index is the smallest index that holds every entry f selects.
func (f SuppressionFilter) index(k suppressionKeys) string {
	switch {
	case f.Stream != "":
		return k.stream(f.Stream)
	case f.Reason != "":
		return k.reason(f.Reason)
	}
	return k.all()
}

// List pages newest first, from the entry before `before` (an id, empty: the newest), at
// most limit. next is empty at the end, else the id to go on before. As with messages, a
// filter that selects few of many may give a short page. ErrCursor if before is no id.
func (s *Suppressions) List(ctx context.Context, w email.World, f SuppressionFilter, before string, limit int) (page []email.Suppression, next string, err error) {
	below := "+"
	if before != "" {
		if _, err := email.ParseID(email.SuppressionPrefix, before); err != nil {
			return nil, "", ErrCursor
		}
		below = "(" + bare(before)
	}
	if f.Email != "" {
		return s.ofAddress(ctx, w, f, before, limit)
	}
	index := f.index(suppressionsOf(w))
	for looked := 0; ; {
		members, err := s.rdb.ZRevRangeByLex(ctx, index, &redis.ZRangeBy{Min: "-", Max: below, Count: int64(limit) + 1}).Result()
		if err != nil {
			return nil, "", fmt.Errorf("list suppressions: %w", err)
		}
		found, err := s.load(ctx, w, members)
		if err != nil {
			return nil, "", fmt.Errorf("list suppressions: %w", err)
		}
		for i := range found {
			if f.CreatedAfter.After(found[i].CreatedAt) {
				return page, "", nil // ids sort by time: all that follow are older
			}
			if !f.match(&found[i]) {
				continue
			}
			if len(page) == limit {
				return page, page[limit-1].ID, nil
			}
			page = append(page, found[i])
		}
		if len(members) <= limit {
			return page, "", nil
		}
		last, _ := cutMember(members[len(members)-1])
		below = "(" + last
		if looked += len(members); looked >= maxLooked {
			return page, email.SuppressionPrefix + "_" + last, nil
		}
	}
}

// ofAddress lists what one address has.
func (s *Suppressions) ofAddress(ctx context.Context, w email.World, f SuppressionFilter, before string, limit int) ([]email.Suppression, string, error) {
	edits, err := s.read(ctx, w, []string{email.Address{Email: f.Email}.Normalized()})
	if err != nil {
		return nil, "", fmt.Errorf("list suppressions: %w", err)
	}
	var page []email.Suppression
	// The newest stand last.
	for i := len(edits[0].before) - 1; i >= 0; i-- {
		entry := edits[0].before[i]
		if !f.match(&entry) || (before != "" && entry.ID >= before) {
			continue
		}
		if len(page) == limit {
			return page, page[limit-1].ID, nil
		}
		page = append(page, entry)
	}
	return page, "", nil
}
