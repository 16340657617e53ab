package api

import (
	"net/http"
	"time"

	"postrider/internal/apikey"
	"postrider/internal/store"
)

// meView is the key of a request, and what holds for it.
type meView struct {
	keyView
	Limits  limitsView `json:"limits"`
	Version string     `json:"version"`
}

// limitsView are the limits of api.md 22.
type limitsView struct {
	RequestsPerSecond        *int     `json:"requests_per_second"`
	RecipientsPerDay         *int     `json:"recipients_per_day"`
	RecipientsToday          *int     `json:"recipients_today"`
	RecipientsResetAt        stamp    `json:"recipients_reset_at"`
	RequestBytes             int64    `json:"request_bytes"`
	BatchRequestBytes        int64    `json:"batch_request_bytes"`
	MessageBytes             int64    `json:"message_bytes"`
	BodyBytes                int      `json:"body_bytes"`
	Recipients               int      `json:"recipients"`
	ReplyTo                  int      `json:"reply_to"`
	SubjectCharacters        int      `json:"subject_characters"`
	Attachments              int      `json:"attachments"`
	Headers                  int      `json:"headers"`
	Tags                     int      `json:"tags"`
	MetadataKeys             int      `json:"metadata_keys"`
	MetadataBytes            int      `json:"metadata_bytes"`
	BatchMessages            int      `json:"batch_messages"`
	BatchRecipients          int      `json:"batch_recipients"`
	ScheduleAheadSeconds     int64    `json:"schedule_ahead_seconds"`
	TTLMinSeconds            int64    `json:"ttl_min_seconds"`
	TTLMaxSeconds            int64    `json:"ttl_max_seconds"`
	TTLDefaultSeconds        int64    `json:"ttl_default_seconds"`
	IdempotencySeconds       int64    `json:"idempotency_seconds"`
	ContentRetentionSeconds  int64    `json:"content_retention_seconds"`
	MetadataRetentionSeconds int64    `json:"metadata_retention_seconds"`
	Webhooks                 int      `json:"webhooks"`
	APIKeys                  int      `json:"api_keys"`
	Page                     int      `json:"page"`
	Streams                  []string `json:"streams"`
}

// me is GET /me: any key may ask what it is.
func (d *door) me(c *call) error {
	v := meView{keyView: viewKey(c.key, d.now()), Version: d.version}
	l, kept := d.desk.Limits(), d.store.Kept()
	v.Limits = limitsView{
		RequestsPerSecond: orNull(apikey.Rate(c.key, d.rates.limit)), RecipientsPerDay: v.RecipientsPerDay,
		RequestBytes: maxBody, BatchRequestBytes: maxBatchBody, MessageBytes: l.MessageBytes, BodyBytes: l.Body,
		Recipients: l.Recipients, ReplyTo: l.ReplyTo, SubjectCharacters: l.Subject, Attachments: l.Attachments, Headers: l.Headers,
		Tags: l.Tags, MetadataKeys: l.MetadataKeys, MetadataBytes: l.MetadataBytes, BatchMessages: l.Batch, BatchRecipients: l.BatchRecipients,
		ScheduleAheadSeconds: whole(l.ScheduleAhead), TTLMinSeconds: whole(l.MinTTL), TTLMaxSeconds: whole(l.MaxTTL),
		TTLDefaultSeconds: whole(l.DefaultTTL), IdempotencySeconds: whole(kept.IdempotencyWindow),
		ContentRetentionSeconds: whole(kept.ContentRetention), MetadataRetentionSeconds: whole(kept.MetadataRetention),
		Webhooks: store.MaxWebhooks, APIKeys: store.MaxAPIKeys, Page: maxLimit, Streams: d.desk.Streams(),
	}
	if c.key.RecipientsPerDay > 0 {
		taken, err := d.store.Quotas.Taken(c.ctx(), c.key.World, c.key.ID, d.now())
		if err != nil {
			return err
		}
		v.Limits.RecipientsToday, v.Limits.RecipientsResetAt = &taken, stamp(store.QuotaResets(d.now()))
	}
	c.answer(http.StatusOK, v)
	return nil
}

// whole is a duration in seconds.
func whole(d time.Duration) int64 { return int64(d / time.Second) }
