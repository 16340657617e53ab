package worker

import (
	"context"

	"postrider/internal/sign"
	"postrider/smtpclient"
)

// compose makes the transaction: the same bytes on every attempt.
func (d *delivery) compose(ctx context.Context) (*smtpclient.Mail, error) {
	made, err := sign.Envelope(ctx, d.w.o.Signer, sign.Order{Message: d.m, Envelope: d.job.Envelope, Content: d.content, Composed: d.composed})
	if err != nil {
		return nil, err
	}
	mail := &smtpclient.Mail{From: d.env.ReversePath, Data: made.Data, Mark: d.mark(made.Selectors)}
	for _, i := range d.to {
		mail.To = append(mail.To, d.m.Recipients[i].Address.Email)
	}
	return mail, nil
}

// mark is called before the final dot may leave: the point of no return.
func (d *delivery) mark(selectors []string) func(context.Context, []int) error {
	return func(ctx context.Context, accepted []int) error {
		recipients := make([]int, 0, len(accepted))
		for _, i := range accepted {
			recipients = append(recipients, d.to[i])
		}
		return d.w.o.Store.Messages.Mark(ctx, d.claim, recipients, selectors, d.w.o.Now())
	}
}
