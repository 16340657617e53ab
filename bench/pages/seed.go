package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"postrider/internal/email"
	"postrider/internal/store"
)

// seed stores messages of many senders' kinds; some have ended, some wait.
func seed(s *store.Store, n int) error {
	return together(n, func(i int) error { return one(context.Background(), s, i) })
}

// together does something n times, some at once.
func together(n int, do func(int) error) error {
	var group errgroup.Group
	group.SetLimit(64)
	for i := range n {
		group.Go(func() error { return do(i) })
	}
	return group.Wait()
}

// message makes one that waits, with an envelope for each domain.
func message(i int, subject string, to ...string) *email.Message {
	now := time.Now().UTC()
	m := &email.Message{
		ID: email.NewMessageID(0), World: email.Live, KeyID: email.NewID(email.KeyPrefix), CreatedAt: now, ExpiresAt: now.Add(72 * time.Hour),
		From: email.Address{Email: "shop@acme.com", Name: "Acme"}, Subject: subject,
		Tags: []string{fmt.Sprintf("tag%d", i%20)}, Stream: "transactional", SizeBytes: 2000,
	}
	m.MessageID = "<" + m.ID + "@acme.com>"
	for i, address := range to {
		a := email.Address{Email: address}
		if last := len(m.Envelopes) - 1; last < 0 || m.Envelopes[last].Domain != a.Domain() {
			m.Envelopes = append(m.Envelopes, email.Envelope{Domain: a.Domain(), ReversePath: "b-token@r.acme.com", State: email.EnvelopeState{Phase: email.Waiting, NextAt: now}})
		}
		n := len(m.Envelopes) - 1
		m.To = append(m.To, a)
		m.Envelopes[n].Recipients = append(m.Envelopes[n].Recipients, i)
		m.Recipients = append(m.Recipients, email.Recipient{
			Address: a, Type: email.To, Envelope: n, State: email.RecipientState{Status: email.Queued, AtAccept: email.Queued, Seq: 1, NextAttemptAt: now},
		})
	}
	return m
}

// one stores a message and what became of it.
func one(ctx context.Context, s *store.Store, i int) error {
	m := message(i, fmt.Sprintf("Your order %d", i), fmt.Sprintf("user%d@example%d.org", i, i%100))
	now := m.CreatedAt
	if _, _, err := s.Messages.Accept(ctx, &store.Submission{Message: m, Content: &email.Content{Text: "x"}}); err != nil {
		return err
	}
	outcome, next := email.Outcome{Status: email.Delivered, Reply: &email.Reply{Code: 250, Text: "ok", At: now}}, time.Time{}
	switch rand.IntN(10) {
	case 0:
		outcome = email.Outcome{Status: email.Bounced, Bounce: "hard", Category: "invalid_recipient", Reply: &email.Reply{Code: 550, EnhancedCode: "5.1.1", Text: "no such user", At: now}}
	case 1:
		outcome, next = email.Outcome{Status: email.Deferred, Category: "other", Reply: &email.Reply{Code: 451, Text: "later", At: now}}, now.Add(time.Hour)
	case 2, 3, 4:
		return nil // is queued
	}
	start, err := s.Messages.Begin(ctx, m.World, m.ID, 0, 0, "bench", now)
	if err != nil {
		return err
	}
	claim := store.Claim{World: m.World, Message: m.ID, Fence: start.Fence}
	_, err = s.Messages.Conclude(ctx, claim, &email.Attempt{Fence: start.Fence, StartedAt: now, EndedAt: now, Outcomes: []email.Outcome{outcome}}, next, now)
	return err
}
