package client

import (
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// TestContract holds the types to openapi.yaml: no member has a name that the API
// does not know, and what the client leaves out is left out on purpose.
func TestContract(t *testing.T) {
	schemas := readSchemas(t)
	for _, c := range []struct {
		schema   string
		of       any
		left     []string // members that only Raw has
		ofOthers []string // members of another schema that has the type too
	}{
		{schema: "SendRequest", of: mailBody{}, left: []string{"tracking"}, ofOthers: []string{"idempotency_key"}},
		{schema: "BatchItem", of: mailBody{}, left: []string{"tracking"}},
		{schema: "AttachmentInput", of: Attachment{}},
		{schema: "BatchRequest", of: batchBody{}},
		{schema: "Batch", of: BatchResults{}, left: []string{"object"}},
		{schema: "MessagePreview", of: Preview{}, left: []string{"object", "livemode"}},
		{schema: "AcceptedMessage", of: Accepted{}, left: []string{"object"}},
		{schema: "AcceptedRecipient", of: AcceptedRecipient{}},
		{schema: "Message", of: Message{}, left: []string{"object"}},
		{schema: "Recipient", of: Recipient{}, left: []string{"first_attempt_at", "complained_at", "unsubscribed_at", "opened_at", "clicked_at"}},
		{schema: "WaitingFor", of: WaitingFor{}},
		{schema: "Response", of: Reply{}},
		{schema: "EventReply", of: Reply{}, ofOthers: []string{"mx_ip", "at"}},
		{schema: "Attempt", of: Attempt{}, left: []string{"object", "livemode", "created_at", "provider", "reverse_path", "source", "helo", "tls"}},
		{schema: "Outcome", of: Outcome{}},
		{schema: "WebhookEvent", of: Event{}},
		{schema: "EventData", of: EventData{}},
		{schema: "EventMessage", of: EventMessage{}},
		{schema: "EventRecipient", of: EventRecipient{}},
		{schema: "Suppression", of: Suppression{}, left: []string{"object", "livemode"}},
		{schema: "CreatedAPIKey", of: APIKey{}, left: []string{"object"}},
		{schema: "APIKeyRequest", of: NewAPIKey{}},
		{schema: "APIKeyPatch", of: APIKeyChange{}},
		{schema: "Limits", of: Limits{}},
		{schema: "CreatedWebhook", of: Webhook{}, left: []string{"object"}},
		{schema: "WebhookRequest", of: NewWebhook{}},
		{schema: "WebhookPatch", of: WebhookChange{}},
		{schema: "WebhookSecret", of: WebhookSecret{}, left: []string{"object"}},
		{schema: "WebhookTest", of: TestDelivery{}, left: []string{"object"}},
		{schema: "WebhookDeliveryDetail", of: Delivery{}, left: []string{"object"}},
		{schema: "WebhookReplayRequest", of: Replay{}},
		{schema: "WebhookReplay", of: Replayed{}, left: []string{"object"}},
		{schema: "SuppressionRequest", of: NewSuppression{}, left: []string{"reason"}},
		{schema: "SuppressionBatchRequest", of: SuppressionChange{}},
		{schema: "SuppressionBatch", of: SuppressionsChanged{}, left: []string{"object"}},
		{schema: "SuppressionImport", of: SuppressionsImported{}, left: []string{"object"}},
		{schema: "Stats", of: Stats{}, left: []string{"object"}},
		{schema: "TemplateInput", of: FromTemplate{}},
		{schema: "TemplateRequest", of: TemplateEdit{}},
		{schema: "TemplateVariableInput", of: Variable{}},
		{schema: "Template", of: Template{}, left: []string{"object"}},
		{schema: "TemplatePreview", of: TemplatePreview{}, left: []string{"object", "livemode"}},
		{schema: "MessageTemplate", of: MessageTemplate{}},
		{schema: "Fault", of: Fault{}},
	} {
		known := schemas.members(c.schema)
		if len(known) == 0 {
			t.Errorf("%s: no such schema", c.schema)
		}
		for _, name := range memberNames(c.of) {
			if !known[name] && !slices.Contains(c.ofOthers, name) {
				t.Errorf("%T has %q, which %s has not", c.of, name, c.schema)
			}
			delete(known, name)
		}
		for _, name := range c.left {
			delete(known, name)
		}
		if len(known) > 0 {
			t.Errorf("%T lacks %v of %s", c.of, slices.Sorted(maps.Keys(known)), c.schema)
		}
	}
}

// memberNames are the JSON names of a struct's fields.
func memberNames(of any) []string {
	var names []string
	for field := range reflect.TypeOf(of).Fields() {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// schemas are those of openapi.yaml.
type schemas map[string]any

func readSchemas(t *testing.T) schemas {
	t.Helper()
	raw, err := os.ReadFile("../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Components struct{ Schemas map[string]any }
	}
	if err := yaml.Unmarshal(raw, &document); err != nil {
		t.Fatal(err)
	}
	return document.Components.Schemas
}

// members are the names of a schema's properties, and of those that it is made of.
func (s schemas) members(name string) map[string]bool {
	found := make(map[string]bool)
	var walk func(any)
	walk = func(schema any) {
		object, _ := schema.(map[string]any)
		if ref, ok := object["$ref"].(string); ok {
			walk(s[strings.TrimPrefix(ref, "#/components/schemas/")])
		}
		parts, _ := object["allOf"].([]any)
		for _, part := range parts {
			walk(part)
		}
		properties, _ := object["properties"].(map[string]any)
		for member := range properties {
			found[member] = true
		}
	}
	walk(s[name])
	return found
}
