package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"postrider/internal/email"
	"postrider/internal/intake"
)

// batchRoute is POST /messages/batch in fingerprints.
const batchRoute = "/v1/messages/batch"

// sendBatch is POST /messages/batch (api.md 5).
func (d *door) sendBatch(c *call) error {
	c.atMost = batchLimit
	doc, err := readJSONUpTo(c.Request, maxBatchBody, maxBatchValues)
	if err != nil {
		return err
	}
	request := &intake.BatchRequest{World: c.key.World, KeyID: c.key.ID, Rights: c.rights()}
	if request.IdempotencyKey, err = c.idempotencyKey(); err != nil {
		return err
	}
	if request.IdempotencyKey != "" && !doc.crowded {
		request.Fingerprint = fingerprint(http.MethodPost, batchRoute, doc.root)
		kept, err := d.store.Batches.Replay(c.ctx(), request.World, request.IdempotencyKey, request.Fingerprint)
		if err != nil {
			return err
		}
		if kept != nil {
			return c.replay(kept)
		}
	}
	b, err := d.readBatch(doc, request.IdempotencyKey)
	if err != nil {
		return err
	}
	request.Partial, request.Items, request.Faults = b.partial, b.items, b.faults
	now := d.now()
	batch, err := d.desk.AcceptBatch(c.ctx(), request, func(batch *intake.Batch) ([]byte, error) {
		r, err := newReply(http.StatusAccepted, "", b.view(batch, c.key.World, now))
		if err != nil {
			return nil, err
		}
		return encode(r)
	})
	switch {
	case errors.Is(err, intake.ErrBatchRefused):
		return b.refusal(batch, c.key.World, now)
	case err != nil:
		return err
	case batch.Earlier != nil:
		return c.replay(batch.Earlier)
	}
	for _, item := range batch.Items {
		if item.Err == nil && !item.Replayed {
			d.metrics.accepted(item.Message)
		}
	}
	c.answer(http.StatusAccepted, b.view(batch, c.key.World, now))
	return nil
}

// replay sends an answer that was kept under an Idempotency-Key.
func (c *call) replay(kept []byte) error {
	var r reply
	if err := json.Unmarshal(kept, &r); err != nil {
		return fmt.Errorf("read a kept answer: %w", err)
	}
	c.Header("Idempotent-Replayed", "true")
	c.replied(&r)
	return nil
}

// batchView is the answer to a batch. Nothing of it changes afterwards.
type batchView struct {
	Object    string       `json:"object"`
	ID        string       `json:"id"`
	Livemode  bool         `json:"livemode"`
	CreatedAt stamp        `json:"created_at"`
	Accepted  int          `json:"accepted"`
	Rejected  int          `json:"rejected"`
	Results   []resultView `json:"results"`
}

// resultView is what became of one message of a batch.
type resultView struct {
	Index    int           `json:"index"`
	Status   string        `json:"status"`
	Replayed bool          `json:"replayed"`
	Message  *acceptedView `json:"message"`
	Error    *itemError    `json:"error"`
}

// itemError is a problem of one message of a batch.
type itemError struct {
	Code    code     `json:"code"`
	Detail  string   `json:"detail"`
	Missing []string `json:"missing,omitempty"` // variables of a template
	Errors  []fault  `json:"errors"`
	// Truncated means that there are more errors.
	Truncated bool `json:"truncated,omitempty"`
}

func (b *batchBody) view(batch *intake.Batch, w email.World, now time.Time) batchView {
	accepted := batch.Accepted()
	return batchView{
		Object: "batch", ID: batch.ID, Livemode: w.Livemode(), CreatedAt: stamp(now),
		Accepted: accepted, Rejected: len(batch.Items) - accepted, Results: b.results(batch),
	}
}

func (b *batchBody) results(batch *intake.Batch) []resultView {
	out := make([]resultView, len(batch.Items))
	for i, item := range batch.Items {
		out[i] = resultView{Index: i, Status: "accepted", Replayed: item.Replayed}
		if item.Err == nil {
			view := viewAccepted(item.Message)
			out[i].Message = &view
			continue
		}
		p := problemFor(item.Err)
		out[i].Status = "rejected"
		out[i].Error = &itemError{
			Code: p.code, Detail: p.detail, Missing: p.missing,
			Errors: b.faultsAt(i, p), Truncated: len(p.errors) > maxErrors,
		}
	}
	return out
}

// refusal is the answer to a batch of which nothing was kept: of one that may be
// partial what is wrong with each message, of any other all that is wrong.
func (b *batchBody) refusal(batch *intake.Batch, w email.World, now time.Time) error {
	if b.partial && len(b.faults) == 0 {
		return &problem{
			code: batchRejected, detail: "None of the messages was accepted.", results: b.view(batch, w, now).Results,
		}
	}
	faults := faultsOf(b.faults)
	more := 0                    // that are not looked at: the answer has no room for them
	seen := make(map[fault]bool) // a fault of the defaults is one, however many messages have it
	for i, item := range batch.Items {
		if item.Err == nil {
			continue
		}
		p := problemFor(item.Err)
		more += max(len(p.errors)-maxErrors, 0)
		for _, f := range b.faultsAt(i, p) {
			if !seen[f] {
				seen[f] = true
				faults = append(faults, f)
			}
		}
	}
	refused := invalidBody(faults)
	if more > 0 {
		refused.detail, refused.truncated = fmt.Sprintf("More than %d members are invalid.", maxErrors), true
	}
	return refused
}

// faultsAt are the errors of a problem of one message, where they stand in the batch: no
// more than an answer has, for to find the place of each takes time.
func (b *batchBody) faultsAt(i int, p *problem) []fault {
	if len(p.errors) == 0 {
		pointer := element("#/messages", i)
		if p.code == idempotencyKeyReused {
			pointer += "/idempotency_key"
		}
		return []fault{{Pointer: pointer, Code: string(p.code), Detail: p.detail}}
	}
	listed := p.errors[:min(len(p.errors), maxErrors)]
	out := make([]fault, len(listed))
	for k, f := range listed {
		out[k] = f
		out[k].Pointer = b.place(i, f.Pointer)
	}
	return out
}
