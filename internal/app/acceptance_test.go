package app_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"postrider/internal/email"
	"postrider/internal/redistest"
	"postrider/smtpclient/smtptest"
)

// 11: a cancel that races a worker. Every recipient ends in one known state, no
// attempt is begun after the answer, and what is canceled was not delivered. Begun
// attempts are counted by their fences, and changes of a recipient by its seq: no clock
// has a say.
func TestAcceptance11CancelRacesTheWorker(t *testing.T) {
	const messages = 60
	net := newInternet(t)
	net.mx("mx.plain.test", smtptest.Options{})
	net.mx("mx.grey.test", smtptest.Options{Handle: firstTime("RCPT", smtptest.Reply("450 4.2.0 greylisted, try again"))})
	net.domain("plain.test", "mx.plain.test")
	net.domain("grey.test", "mx.grey.test")
	s := startService(t, redistest.Server(t), false, net)
	s.verifyDomain("acme.test", net)
	var mu sync.Mutex
	canceled := make(map[string]cancelation)
	each(messages, func(i int) {
		var sent struct{ ID string }
		s.call("POST", "/v1/messages", map[string]any{
			"from": "hi@acme.test", "to": []string{fmt.Sprintf("a%d@plain.test", i), fmt.Sprintf("b%d@grey.test", i)}, "subject": "s", "text": "t",
		}, &sent)
		if i%3 == 0 {
			s.awaitProgress(sent.ID) // so that both sides win some
		} else {
			time.Sleep(rand.N(50 * time.Millisecond))
		}
		c := s.cancel(sent.ID)
		c.fences = s.fences(sent.ID)
		mu.Lock()
		defer mu.Unlock()
		canceled[sent.ID] = c
	})
	counts := make(map[email.Status]int)
	for id := range canceled {
		s.await(id)
	}
	mails := collect(net)
	for id, c := range canceled {
		if now := s.fences(id); !slices.Equal(now, c.fences) {
			t.Errorf("%s: an attempt was begun after the cancel: fences %v, then %v", id, c.fences, now)
		}
		s.checkCanceled(id, c, mails[id], counts)
	}
	t.Logf("%v", counts)
	if counts[email.Canceled] == 0 || counts[email.Delivered] == 0 {
		t.Error("no race was won by either side: the check says nothing")
	}
}

// awaitProgress waits until one recipient is delivered and the other is not.
func (s *service) awaitProgress(id string) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		m, err := s.Store.Messages.Get(s.t.Context(), email.Live, id)
		if err != nil || m.Counts()[email.Delivered] > 0 && m.Counts()[email.Deferred] > 0 {
			return
		}
	}
}

// fences count the attempts begun at each envelope.
func (s *service) fences(id string) (out []int64) {
	m, err := s.Store.Messages.Get(s.t.Context(), email.Live, id)
	if err != nil {
		s.t.Error(err)
		return nil
	}
	for _, e := range m.Envelopes {
		out = append(out, e.State.Fence)
	}
	return out
}

// cancelation is the answer to a cancel, and the fences after it.
type cancelation struct {
	Recipients []struct {
		Status email.Status
		Seq    int
	}
	fences []int64
}

// cancel cancels a message. Without recipients: it was over already.
func (s *service) cancel(id string) (c cancelation) {
	request, err := http.NewRequest("POST", s.URL()+"/v1/messages/"+id+"/cancel", nil)
	if err != nil {
		s.t.Error(err)
		return c
	}
	request.Header.Set("Authorization", "Bearer "+s.key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Error(err)
		return c
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
		if err := json.NewDecoder(response.Body).Decode(&c); err != nil || len(c.Recipients) != 2 {
			s.t.Errorf("cancel: %v, %v", c, err)
		}
	case http.StatusConflict:
	default:
		s.t.Errorf("cancel: %d", response.StatusCode)
	}
	return c
}

// checkCanceled sees what a canceled message came to: who was canceled in the answer
// stays so, and who was in flight changes once more.
func (s *service) checkCanceled(id string, c cancelation, mails []smtptest.Mail, counts map[email.Status]int) {
	s.t.Helper()
	m, err := s.Store.Messages.Get(s.t.Context(), email.Live, id)
	if err != nil {
		s.t.Fatal(err)
	}
	s.checkEvents(m)
	for i, r := range m.Recipients {
		counts[r.State.Status]++
		came := 0
		for _, mail := range mails {
			if slices.Contains(mail.To, r.Address.Email) {
				came++
			}
		}
		if want := r.State.Status == email.Delivered; r.State.Status != email.Canceled && !want || (came == 1) != want || came > 1 {
			s.t.Errorf("%s: a recipient is %s, and the mail came %d times", id, r.State.Status, came)
		}
		if len(c.Recipients) == 0 {
			continue
		}
		then := c.Recipients[i]
		if then.Status.Final() && (then.Status != r.State.Status || then.Seq != r.State.Seq) || !then.Status.Final() && then.Seq+1 != r.State.Seq {
			s.t.Errorf("%s: a recipient was %s (%d) in the answer, and is %s (%d)", id, then.Status, then.Seq, r.State.Status, r.State.Seq)
		}
	}
}
