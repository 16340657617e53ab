package app

import (
	"fmt"

	"postrider/internal/config"
	"postrider/internal/webhook"
)

// openPoster opens what posts to webhooks: the worker's notifications and the
// test calls of the API.
func (a *App) openPoster() error {
	allowed, err := config.Prefixes(a.options.Config.WebhookAllowedNetworks)
	if err != nil {
		return fmt.Errorf("POSTRIDER_WEBHOOK_ALLOWED_NETWORKS: %w", err)
	}
	a.poster = webhook.New(webhook.Options{AllowedNetworks: allowed})
	return nil
}
