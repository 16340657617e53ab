package app_test

import (
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
// attempt is begun after the answer, and what is canceled was not delivered.
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
	canceled := make(map[string][]int64) // the fences when the cancel was answered
	each(messages, func(i int) {
		var sent struct{ ID string }
		s.call("POST", "/v1/messages", map[string]any{
			"from": "hi@acme.test", "to": []string{fmt.Sprintf("a%d@plain.test", i), fmt.Sprintf("b%d@grey.test", i)}, "subject": "s", "text": "t",
		}, &sent)
		if i%3 == 0 {
			s.awaitProgress(sent.ID)
		} else {
			time.Sleep(rand.N(50 * time.Millisecond))
		}
		status := s.cancel(sent.ID)
		if status != http.StatusOK && status != http.StatusConflict { // it was delivered already
			t.Errorf("cancel: %d", status)
		}
		fences := s.fences(sent.ID)
		mu.Lock()
		defer mu.Unlock()
		canceled[sent.ID] = fences
	})
	counts := make(map[email.Status]int)
	for id := range canceled {
		s.await(id)
	}
	mails := collect(net)
	for id, fences := range canceled {
		if now := s.fences(id); !slices.Equal(now, fences) {
			t.Errorf("%s: an attempt was begun after the cancel: fences %v, then %v", id, fences, now)
		}
		s.checkCanceled(id, mails[id], counts)
	}
	t.Logf("%v", counts)
	if counts[email.Canceled] == 0 || counts[email.Delivered] == 0 {
		t.Error("no race was won by either side: the check says nothing")
	}
}

// awaitProgress waits until a recipient is delivered.
func (s *service) awaitProgress(id string) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		m, err := s.Store.Messages.Get(s.t.Context(), email.Live, id)
		if err != nil || m.Counts()[email.Delivered] > 0 {
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

// cancel cancels a message and returns the status.
func (s *service) cancel(id string) int {
	request, err := http.NewRequest("POST", s.URL()+"/v1/messages/"+id+"/cancel", nil)
	if err != nil {
		s.t.Error(err)
		return 0
	}
	request.Header.Set("Authorization", "Bearer "+s.key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Error(err)
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// checkCanceled sees what a canceled message came to.
func (s *service) checkCanceled(id string, mails []smtptest.Mail, counts map[email.Status]int) {
	s.t.Helper()
	m, err := s.Store.Messages.Get(s.t.Context(), email.Live, id)
	if err != nil {
		s.t.Fatal(err)
	}
	s.checkEvents(m)
	for _, r := range m.Recipients {
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
	}
}
