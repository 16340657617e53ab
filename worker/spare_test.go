package worker

import (
	"testing"

	"postrider/internal/email"
)

// A hard bounce suppresses its recipient, unless the stream is spared or it is the
// sandbox that bounces.
func TestWhomABounceSuppresses(t *testing.T) {
	for _, c := range []struct {
		name           string
		spare, sandbox bool
		want           bool
	}{{"as a rule", false, false, true}, {"a spared stream", true, false, false}, {"the sandbox", false, true, false}} {
		tr, r := newTrial(1), results(fault("rcpt", 550, "5.1.1", "no"))
		tr.spare, tr.m.Envelopes[0].Sandbox = c.spare, c.sandbox
		if v := tr.judge(r); len(v.outcomes) != 1 || v.outcomes[0].Status != email.Bounced || v.outcomes[0].Suppress != c.want {
			t.Errorf("%s: %+v", c.name, v.outcomes)
		}
	}
}
