package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/gin-gonic/gin"

	"postrider/internal/apikey"
	"postrider/internal/email"
	"postrider/internal/intake"
	"postrider/internal/library"
	"postrider/internal/store"
)

// templatesRoute stands for the route in Location and fingerprints.
const templatesRoute = "/v1/templates"

func (d *door) templateRoutes(g *gin.RouterGroup) {
	g.POST("/templates", d.handle(apikey.TemplatesWrite, nil, d.createTemplate))
	get(g, "/templates", d.handle(apikey.TemplatesRead, []string{"limit", "cursor", "kind"}, d.listTemplates))
	g.POST("/templates/preview", d.handle(apikey.TemplatesRead, nil, d.previewContent))
	get(g, "/templates/:id", d.handle(apikey.TemplatesRead, []string{"version"}, d.getTemplate))
	g.PATCH("/templates/:id", d.handle(apikey.TemplatesWrite, nil, d.updateTemplate))
	g.DELETE("/templates/:id", d.handle(apikey.TemplatesWrite, nil, d.deleteTemplate))
	g.POST("/templates/:id/publish", d.handle(apikey.TemplatesWrite, nil, d.publishTemplate))
	g.POST("/templates/:id/preview", d.handle(apikey.TemplatesRead, nil, d.previewTemplate))
	get(g, "/templates/:id/versions", d.handle(apikey.TemplatesRead, []string{"limit", "cursor"}, d.listTemplateVersions))
	g.POST("/templates/:id/versions/:n/restore", d.handle(apikey.TemplatesWrite, nil, d.restoreTemplate))
}

// ofTemplate gives the library's errors about a template their problem.
func ofTemplate(err error) error {
	var (
		invalid *library.Invalid
		taken   *library.TakenError
		inUse   *library.InUseError
		changed *library.ChangedError
		version *library.NoVersionError
	)
	switch {
	case errors.Is(err, library.ErrNotFound):
		return &problem{code: notFound, detail: "There is no template with this id or alias.", resource: "template"}
	case errors.As(err, &version):
		return &problem{code: notFound, detail: "The template has no such version, or no longer.", resource: "template_version"}
	case errors.As(err, &taken):
		return &problem{code: alreadyExists, detail: "Another template has this alias.", existingID: taken.ID}
	case errors.As(err, &inUse):
		return &problem{code: resourceInUse, detail: "The template is used by others: " + inUse.Error() + "."}
	case errors.As(err, &changed):
		return &problem{code: preconditionFailed, header: "If-Match", detail: "The template was changed: read it again.", currentETag: changed.ETag}
	case errors.As(err, &invalid):
		faults := make([]fault, len(invalid.Faults))
		for i, f := range invalid.Faults {
			faults[i] = fault{Pointer: f.Pointer, Code: f.Code, Detail: f.Detail, Line: f.Line}
			if f.Column > 0 {
				faults[i].Column = f.Column
			}
		}
		return invalidBody(faults)
	case errors.Is(err, store.ErrTooManyTemplates):
		return &intake.Invalid{Faults: []intake.Fault{{
			Pointer: "#", Code: intake.TooMany,
			Detail: fmt.Sprintf("there are %d templates already, which is the limit: delete one first", store.MaxTemplates),
		}}}
	}
	return err
}

// ofRefusedTemplate is the answer to a message whose template made no mail.
func ofRefusedTemplate(e *intake.TemplateRefused) *problem {
	p := &problem{code: code(e.Code), detail: e.Detail, missing: e.Missing, errors: faultsOf(e.Faults)}
	if len(e.Faults) > 0 {
		p.line, p.column = e.Faults[0].Line, e.Faults[0].Column
	}
	return p
}

// createTemplate is POST /templates.
func (d *door) createTemplate(c *call) error {
	doc, err := readJSON(c.Request)
	if err != nil {
		return err
	}
	return d.once(c, templatesRoute, doc, func(ctx context.Context) (*reply, error) {
		edit, err := readTemplate(doc, true)
		if err != nil {
			return nil, err
		}
		made, err := d.library().Create(ctx, d.author(c, nil), edit)
		if err != nil {
			return nil, ofTemplate(err)
		}
		return templateReply(http.StatusCreated, templatesRoute+"/"+made.ID, c.key.World, made)
	})
}

func (d *door) library() *library.Library { return d.desk.Library() }

// author is who asks, as the record of changes names them.
func (d *door) author(c *call, may library.Condition) library.Author {
	return library.Author{World: c.key.World, Name: c.key.ID, Request: c.GetString(requestIDField), At: d.now(), May: may}
}

// templateReply is an answer with a template.
func templateReply(status int, location string, w email.World, t *library.Stored) (*reply, error) {
	r, err := newReply(status, location, viewTemplate(w, t))
	if err == nil {
		r.ETag = quotedETag(t.ETag)
	}
	return r, err
}

// answerTemplate answers with a template.
func (c *call) answerTemplate(t *library.Stored) error {
	r, err := templateReply(http.StatusOK, "", c.key.World, t)
	if err == nil {
		c.replied(r)
	}
	return err
}

// getTemplate is GET /templates/{id}: the draft, or the version that is asked for.
func (d *door) getTemplate(c *call) error {
	reading, err := d.library().Read(c.ctx(), c.key.World)
	if err != nil {
		return err
	}
	found, err := c.version(reading)
	if err != nil {
		return ofTemplate(err)
	}
	return c.answerTemplate(found)
}

// version finds the template of the path in the version of the query.
func (c *call) version(r *library.Reading) (*library.Stored, error) {
	n, err := 0, error(nil)
	which := c.query.Get("version")
	if c.query.Has("version") && which != versionDraft && which != versionPublished {
		if n, err = strconv.Atoi(which); err != nil || n < 1 || strconv.Itoa(n) != which {
			return nil, badParameter("version", intake.InvalidFormat, "is neither draft nor published nor the number of a version")
		}
	}
	return r.Get(c.ctx(), c.Param("id"), n, which == versionPublished)
}

// The names of versions.
const (
	versionDraft     = "draft"
	versionPublished = "published"
)

// listTemplates is GET /templates, newest first, without their texts. There are few, so
// a page is cut from all.
func (d *door) listTemplates(c *call) error {
	limit, badLimit := c.limit()
	kind := c.query.Get("kind")
	var badKind error
	if c.query.Has("kind") && !slices.Contains([]string{library.Message, library.Layout, library.Partial}, kind) {
		badKind = badParameter("kind", intake.InvalidFormat, "is neither message nor layout nor partial")
	}
	if err := allFaults(badLimit, badKind); err != nil {
		return err
	}
	hash := listHash(c.key.World, c.filters("templates", []string{"kind"})...)
	at, err := c.cursor(hash, email.TemplatePrefix)
	if err != nil {
		return err
	}
	reading, err := d.library().Read(c.ctx(), c.key.World)
	if err != nil {
		return err
	}
	found := slices.DeleteFunc(reading.List(), func(t *store.Template) bool {
		return at.Before != "" && t.ID >= at.Before || kind != "" && t.Kind != kind
	})
	var next *cursor
	if len(found) > limit {
		found = found[:limit]
		next = &cursor{Version: cursorVersion, List: hash, Before: found[limit-1].ID}
	}
	data := make([]templateHead, len(found))
	for i, t := range found {
		data[i] = viewTemplateHead(c.key.World, t, &t.Draft)
	}
	d.answerPage(c, data, next)
	return nil
}

// listTemplateVersions is GET /templates/{id}/versions, newest first.
func (d *door) listTemplateVersions(c *call) error {
	limit, err := c.limit()
	if err != nil {
		return err
	}
	reading, err := d.library().Read(c.ctx(), c.key.World)
	if err != nil {
		return err
	}
	t, err := reading.Find(c.Param("id"))
	if err != nil {
		return ofTemplate(err)
	}
	hash := listHash(c.key.World, "versions", t.ID)
	at, err := c.cursor(hash, email.TemplatePrefix)
	if err != nil {
		return err
	}
	found := slices.Clone(t.Versions)
	if t.Draft.Number != t.Published {
		found = append(found, t.Draft)
	}
	slices.Reverse(found)
	if at.After > 0 { // the number of the last one seen
		found = slices.DeleteFunc(found, func(v store.TemplateVersion) bool { return v.Number >= at.After })
	}
	var next *cursor
	if len(found) > limit {
		found = found[:limit]
		next = &cursor{Version: cursorVersion, List: hash, After: found[limit-1].Number}
	}
	data := make([]versionView, len(found))
	for i := range found {
		data[i] = viewVersion(t, &found[i])
	}
	d.answerPage(c, data, next)
	return nil
}

// updateTemplate is PATCH /templates/{id}: what is not given stays.
func (d *door) updateTemplate(c *call) error {
	doc, err := readJSON(c.Request)
	if err != nil {
		return err
	}
	may, err := c.ifMatch()
	if err != nil {
		return err
	}
	edit, err := readTemplate(doc, false)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx()), commitTimeout)
	defer cancel()
	changed, err := d.library().Update(ctx, d.author(c, may), c.Param("id"), edit)
	if err != nil {
		return ofTemplate(err)
	}
	return c.answerTemplate(changed)
}

// deleteTemplate is DELETE /templates/{id}.
func (d *door) deleteTemplate(c *call) error {
	may, err := c.ifMatch()
	if err != nil {
		return err
	}
	if err := d.library().Delete(c.ctx(), d.author(c, may), c.Param("id")); err != nil {
		return ofTemplate(err)
	}
	c.Status(http.StatusNoContent)
	c.Writer.WriteHeaderNow()
	return nil
}

// publishTemplate is POST /templates/{id}/publish.
func (d *door) publishTemplate(c *call) error {
	return d.changeTemplate(c, "/publish", func(ctx context.Context, may library.Condition) (*library.Stored, error) {
		return d.library().Publish(ctx, d.author(c, may), c.Param("id"))
	})
}

// restoreTemplate is POST /templates/{id}/versions/{n}/restore.
func (d *door) restoreTemplate(c *call) error {
	number := c.Param("n")
	return d.changeTemplate(c, "/versions/"+number+"/restore", func(ctx context.Context, may library.Condition) (*library.Stored, error) {
		n, err := strconv.Atoi(number)
		if err != nil || strconv.Itoa(n) != number {
			n = 0 // which none has
		}
		return d.library().Restore(ctx, d.author(c, may), c.Param("id"), n)
	})
}

// changeTemplate answers a POST without a body that changes a template.
func (d *door) changeTemplate(c *call, suffix string, change func(context.Context, library.Condition) (*library.Stored, error)) error {
	doc, err := noBody(c.Request)
	if err != nil {
		return err
	}
	may, err := c.ifMatch()
	if err != nil {
		return err
	}
	return d.once(c, templatesRoute+"/"+c.Param("id")+suffix, doc, func(ctx context.Context) (*reply, error) {
		t, err := change(ctx, may)
		if err != nil {
			return nil, ofTemplate(err)
		}
		return templateReply(http.StatusOK, "", c.key.World, t)
	})
}

// templateHead is a template without its texts. Version is the one that is shown.
type templateHead struct {
	Object           string `json:"object"`
	ID               string `json:"id"`
	Livemode         bool   `json:"livemode"`
	CreatedAt        stamp  `json:"created_at"`
	UpdatedAt        stamp  `json:"updated_at"`
	Alias            text   `json:"alias"`
	Name             string `json:"name"`
	Kind             string `json:"kind"`
	Version          int    `json:"version"`
	PublishedAt      stamp  `json:"published_at"`
	DraftVersion     int    `json:"draft_version"`
	PublishedVersion *int   `json:"published_version"`
	LayoutID         text   `json:"layout_id"`
	Subject          text   `json:"subject"`
	ETag             string `json:"etag"`
}

// templateView is a template with the texts of one of its versions (api.md 14).
type templateView struct {
	templateHead
	From      text           `json:"from"`
	ReplyTo   text           `json:"reply_to"`
	HTML      text           `json:"html"`
	Text      text           `json:"text"`
	Variables []variableView `json:"variables"`
}

// variableView declares a variable.
type variableView struct {
	Key         string          `json:"key"`
	Type        string          `json:"type"`
	Required    bool            `json:"required"`
	Default     json.RawMessage `json:"default"`
	Description text            `json:"description"`
	Example     json.RawMessage `json:"example"`
}

func viewTemplateHead(w email.World, t *store.Template, v *store.TemplateVersion) templateHead {
	head := templateHead{
		Object: "template", ID: t.ID, Livemode: w.Livemode(), CreatedAt: stamp(t.CreatedAt), UpdatedAt: stamp(t.UpdatedAt),
		Alias: text(t.Alias), Name: t.Name, Kind: t.Kind, Version: v.Number, PublishedAt: stamp(v.PublishedAt),
		DraftVersion: t.Draft.Number, LayoutID: text(v.Layout), Subject: text(v.Subject), ETag: t.ETag,
	}
	if t.Published > 0 {
		head.PublishedVersion = &t.Published
	}
	return head
}

func viewTemplate(w email.World, t *library.Stored) templateView {
	v := templateView{
		templateHead: viewTemplateHead(w, t.Template, t.Version),
		From:         text(t.Content.From), ReplyTo: text(t.Content.ReplyTo), HTML: text(t.Content.HTML), Text: text(t.Content.Text),
		Variables: make([]variableView, len(t.Content.Variables)),
	}
	for i, d := range t.Content.Variables {
		v.Variables[i] = variableView{d.Key, d.Type, d.Required, d.Default, text(d.Description), d.Example}
	}
	return v
}

// versionView is a version of a template, without its texts.
type versionView struct {
	Object      string `json:"object"`
	Version     int    `json:"version"`
	Status      string `json:"status"`
	PublishedAt stamp  `json:"published_at"`
	LayoutID    text   `json:"layout_id"`
	Subject     text   `json:"subject"`
}

func viewVersion(t *store.Template, v *store.TemplateVersion) versionView {
	status := "superseded"
	switch {
	case v.PublishedAt.IsZero():
		status = versionDraft
	case v.Number == t.Published:
		status = versionPublished
	}
	return versionView{
		Object: "template_version", Version: v.Number, Status: status, PublishedAt: stamp(v.PublishedAt),
		LayoutID: text(v.Layout), Subject: text(v.Subject),
	}
}
