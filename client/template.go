package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// FromTemplate is a stored template that makes the text and HTML of a mail, and its
// subject, From and ReplyTo where the mail has none.
type FromTemplate struct {
	ID        string         `json:"id,omitempty"`      // or alias; in a batch the default's, if empty
	Version   int            `json:"version,omitempty"` // zero: the published one
	Variables map[string]any `json:"variables,omitempty"`
}

// MessageTemplate is the template that a message was made from.
type MessageTemplate struct {
	ID      string `json:"id"`    // tpl_...
	Alias   string `json:"alias"` // when the message was accepted
	Version int    `json:"version"`
}

// The kinds of templates.
const (
	KindMessage = "message" // a mail
	KindLayout  = "layout"  // the frame around mails
	KindPartial = "partial" // a piece that others call
)

// Template is a stored template with the texts of one of its versions. In lists it has
// no From, ReplyTo, HTML, Text and Variables.
type Template struct {
	ID               string    `json:"id"` // tpl_...
	Livemode         bool      `json:"livemode"`
	CreatedAt        time.Time `json:"created_at"`
	UpdatedAt        time.Time `json:"updated_at"`
	Alias            string    `json:"alias"`
	Name             string    `json:"name"`
	Kind             string    `json:"kind"`
	Version          int       `json:"version"`           // the one that is shown
	PublishedAt      time.Time `json:"published_at"`      // of that; zero: it is the draft
	DraftVersion     int       `json:"draft_version"`     // PublishedVersion if nothing was changed since
	PublishedVersion int       `json:"published_version"` // zero: never published
	ETag             string    `json:"etag"`

	LayoutID  string     `json:"layout_id"`
	From      string     `json:"from"`
	ReplyTo   string     `json:"reply_to"`
	Subject   string     `json:"subject"`
	HTML      string     `json:"html"`
	Text      string     `json:"text"`
	Variables []Variable `json:"variables"`

	Raw json.RawMessage `json:"-"` // the answer as it came
}

// Variable declares a variable of a template.
type Variable struct {
	Key         string `json:"key"`  // a name or a dotted path
	Type        string `json:"type"` // string, number, boolean, object or array
	Required    bool   `json:"required"`
	Default     any    `json:"default,omitempty"` // nil: none
	Description string `json:"description,omitempty"`
	Example     any    `json:"example,omitempty"`
}

// TemplateEdit is what to say about a template. Nil leaves as it is; an empty text takes
// away. A new one needs Name, HTML or Text, and, of messages, Subject.
type TemplateEdit struct {
	Alias     *string     `json:"alias,omitempty"`
	Name      *string     `json:"name,omitempty"`
	Kind      *string     `json:"kind,omitempty"`      // of a new one; KindMessage
	LayoutID  *string     `json:"layout_id,omitempty"` // id or alias
	From      *string     `json:"from,omitempty"`
	ReplyTo   *string     `json:"reply_to,omitempty"`
	Subject   *string     `json:"subject,omitempty"`
	HTML      *string     `json:"html,omitempty"`
	Text      *string     `json:"text,omitempty"`
	Variables *[]Variable `json:"variables,omitempty"`

	// IfMatch is the ETag that the template must have; empty: any. If it has another
	// one, the error has the code precondition_failed.
	IfMatch string `json:"-"`
}

// TemplateVersion is a version of a template, without its texts.
type TemplateVersion struct {
	Version     int       `json:"version"`
	Status      string    `json:"status"` // draft, published or superseded
	PublishedAt time.Time `json:"published_at"`
	LayoutID    string    `json:"layout_id"`
	Subject     string    `json:"subject"`
}

// TemplatePreview is what a template makes of data, or what is wrong with either.
type TemplatePreview struct {
	Version   int                `json:"version"`
	Subject   string             `json:"subject"`
	From      string             `json:"from"`
	ReplyTo   string             `json:"reply_to"`
	HTML      string             `json:"html"`
	Text      string             `json:"text"`
	SizeBytes int                `json:"size_bytes"`
	Missing   []string           `json:"missing"` // variables that were not given
	Unused    []string           `json:"unused"`  // what was given and nothing shows
	Inferred  []InferredVariable `json:"inferred_variables"`
	Errors    []TemplateFault    `json:"errors"`
	Warnings  []Warning          `json:"warnings"`
}

// InferredVariable is a variable that a template uses.
type InferredVariable struct {
	Path     string `json:"path"` // items of an array are items[]
	Type     string `json:"type"`
	Required bool   `json:"required"`
}

// TemplateFault is what is wrong with a template, and where.
type TemplateFault struct {
	Part   string `json:"part"` // such as html; empty: the data are at fault
	In     string `json:"in"`   // the layout or partial; empty: the template itself
	Line   int    `json:"line"`
	Column int    `json:"column"`
	Detail string `json:"detail"`
}

// CreateTemplate makes a template, as a draft: publish it to have live mail made from it.
func (c *Client) CreateTemplate(ctx context.Context, e TemplateEdit) (*Template, error) {
	return c.changeTemplate(ctx, call{method: http.MethodPost, path: "/v1/templates", body: e}, "")
}

// Template reads a template by its id or alias: its draft, or for a version above zero
// that.
func (c *Client) Template(ctx context.Context, id string, version int) (*Template, error) {
	var t Template
	path, err := templatePath(id, "")
	if err != nil {
		return nil, err
	}
	q := make(url.Values)
	if version > 0 {
		q.Set("version", strconv.Itoa(version))
	}
	if _, err := c.do(ctx, call{method: http.MethodGet, path: path, query: q}, &t); err != nil {
		return nil, err
	}
	return &t, nil
}

// Templates gives all templates of a kind, newest first, without their texts; an empty
// kind is any.
func (c *Client) Templates(ctx context.Context, kind string) iter.Seq2[*Template, error] {
	q := make(url.Values)
	set(q, "kind", kind)
	return list[Template](ctx, c, "/v1/templates", q)
}

// UpdateTemplate changes the draft of a template; its alias and name change at once.
func (c *Client) UpdateTemplate(ctx context.Context, id string, e TemplateEdit) (*Template, error) {
	path, err := templatePath(id, "")
	if err != nil {
		return nil, err
	}
	return c.changeTemplate(ctx, call{method: http.MethodPatch, path: path, body: e}, e.IfMatch)
}

// PublishTemplate has messages made from the draft from now on. ifMatch is as in
// TemplateEdit.
func (c *Client) PublishTemplate(ctx context.Context, id, ifMatch string) (*Template, error) {
	path, err := templatePath(id, "/publish")
	if err != nil {
		return nil, err
	}
	return c.changeTemplate(ctx, call{method: http.MethodPost, path: path, body: struct{}{}}, ifMatch)
}

// RestoreTemplate makes a published version the draft.
func (c *Client) RestoreTemplate(ctx context.Context, id string, version int, ifMatch string) (*Template, error) {
	path, err := templatePath(id, "/versions/"+strconv.Itoa(version)+"/restore")
	if err != nil {
		return nil, err
	}
	return c.changeTemplate(ctx, call{method: http.MethodPost, path: path, body: struct{}{}}, ifMatch)
}

// TemplateVersions gives the versions of a template, newest first.
func (c *Client) TemplateVersions(ctx context.Context, id string) iter.Seq2[*TemplateVersion, error] {
	path, err := templatePath(id, "/versions")
	if err != nil {
		return func(yield func(*TemplateVersion, error) bool) { yield(nil, err) }
	}
	return list[TemplateVersion](ctx, c, path, make(url.Values))
}

// DeleteTemplate takes a template away. One that others use stays: the error has the
// code resource_in_use.
func (c *Client) DeleteTemplate(ctx context.Context, id, ifMatch string) error {
	path, err := templatePath(id, "")
	if err != nil {
		return err
	}
	_, err = c.do(ctx, call{method: http.MethodDelete, path: path, ifMatch: ifMatch}, nil)
	return err
}

// PreviewTemplate shows what a template makes of data: its draft, or for a version above
// zero that. Without data it is shown with its examples. A template or data with faults
// is no error: they are in the answer.
func (c *Client) PreviewTemplate(ctx context.Context, id string, version int, data map[string]any) (*TemplatePreview, error) {
	path, err := templatePath(id, "/preview")
	if err != nil {
		return nil, err
	}
	body := make(map[string]any)
	if version > 0 {
		body["version"] = version
	}
	if data != nil {
		body["variables"] = data
	}
	var p TemplatePreview
	if _, err := c.do(ctx, call{method: http.MethodPost, path: path, body: body}, &p); err != nil {
		return nil, err
	}
	return &p, nil
}

func (c *Client) changeTemplate(ctx context.Context, call call, ifMatch string) (*Template, error) {
	var t Template
	call.ifMatch = ifMatch
	if _, err := c.do(ctx, call, &t); err != nil {
		return nil, err
	}
	if t.ID == "" {
		return nil, fmt.Errorf("%w: it names no template", errUnreadable)
	}
	return &t, nil
}

// UnmarshalJSON keeps the answer as it came.
func (t *Template) UnmarshalJSON(raw []byte) error {
	type plain Template
	t.Raw = append(json.RawMessage(nil), raw...)
	return json.Unmarshal(raw, (*plain)(t))
}

// templatePath is a path below a template. An id from elsewhere cannot lead to another
// path.
func templatePath(id, below string) (string, error) {
	if id == "" || id == "." || id == ".." {
		return "", errors.New("a template's id or alias is needed, such as GET /v1/templates lists them")
	}
	return "/v1/templates/" + url.PathEscape(id) + below, nil
}
