package client_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postrider/client"
)

func TestBatch(t *testing.T) {
	r := &recorder{answer: `{"id":"bat_1","accepted":1,"rejected":1,"results":[
		{"index":0,"status":"accepted","replayed":true,"message":{"id":"msg_1"},"error":null},
		{"index":1,"status":"rejected","replayed":false,"message":null,"error":{"code":"validation_failed","detail":"1 member is invalid.",
		 "errors":[{"pointer":"#/messages/1/to","code":"required","detail":"is missing"}]}}]}`}
	batch := client.Batch{
		Partial: true, Defaults: client.Mail{Subject: "s"},
		Mails: []client.Mail{{To: []string{"a@b.test"}, IdempotencyKey: "receipt/1"}, {}},
	}
	got, err := r.client(t).SendBatch(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	const wire = `{"mode":"partial","defaults":{"subject":"s"},"messages":[{"to":["a@b.test"],"idempotency_key":"receipt/1"},{}]}`
	if diff := cmp.Diff("POST /v1/messages/batch "+wire, r.target+" "+r.body); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	if first := got.Results[0]; first.Message.ID != "msg_1" || !first.Replayed || first.Error != nil {
		t.Errorf("%+v", first)
	}
	if second := got.Results[1]; second.Message != nil || second.Error.Error() != "validation_failed: 1 member is invalid: messages/1/to is missing" {
		t.Errorf("%+v", second.Error)
	}
	batch.Mails = batch.Mails[:1]
	if _, err := r.client(t).SendBatch(t.Context(), batch); err == nil || !strings.Contains(err.Error(), "2 mails, not 1") {
		t.Errorf("an answer to another batch: %v", err)
	}
}

func TestBatchRejected(t *testing.T) {
	s := &script{steps: []step{{status: 422, body: `{"code":"batch_rejected","detail":"d","results":[
		{"index":0,"status":"rejected","error":{"code":"validation_failed","detail":"d","errors":[{"pointer":"#/messages/0/to","code":"required","detail":"is missing"}]}}]}`}}}
	got, err := s.client(t).SendBatch(t.Context(), client.Batch{Partial: true, Mails: []client.Mail{{}}})
	if err == nil || got == nil || got.Rejected != 1 || got.Results[0].Error.Errors[0].Code != "required" {
		t.Errorf("%+v %v", got, err)
	}
	s = &script{steps: []step{{status: 401, body: problem("invalid_api_key", false)}}}
	if got, err := s.client(t).SendBatch(t.Context(), client.Batch{}); err == nil || got != nil {
		t.Errorf("%+v %v", got, err)
	}
}
