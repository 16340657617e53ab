package api

import (
	"net/http"
	"strings"

	"postrider/internal/store"
)

// templateScenes are the ways in which the operations of templates end.
func templateScenes() []scene {
	const nobody = "/v1/templates/nobody"
	own := func(h *house) string { return "/v1/templates/" + h.published(minimalTemplate) }
	scenes := []scene{
		{"createTemplate", "", ask(http.MethodPost, "/v1/templates", minimalTemplate)},
		{"createTemplate", alreadyExists, func(h *house) *answer {
			body := strings.Replace(minimalTemplate, "{", `{"alias":"scene",`, 1)
			h.post("/v1/templates", body)
			return h.post("/v1/templates", body)
		}},
		{"listTemplates", "", func(h *house) *answer { return h.get("/v1/templates?limit=1") }},
		{"getTemplate", "", func(h *house) *answer { return h.get(own(h)) }},
		{"updateTemplate", "", func(h *house) *answer { return h.do(http.MethodPatch, own(h), strings.NewReader(`{"subject":"x"}`)) }},
		{"updateTemplate", alreadyExists, func(h *house) *answer {
			return h.do(http.MethodPatch, own(h), strings.NewReader(`{"alias":"scene"}`))
		}},
		{"updateTemplate", resourceInUse, func(h *house) *answer {
			h.usedPartial("lent")
			return h.edit("lent", `{"alias":""}`)
		}},
		{"deleteTemplate", "", func(h *house) *answer { return h.do(http.MethodDelete, own(h), nil) }},
		{"deleteTemplate", resourceInUse, func(h *house) *answer {
			h.usedPartial("kept")
			return h.do(http.MethodDelete, "/v1/templates/kept", nil)
		}},
		{"publishTemplate", "", func(h *house) *answer { return h.post(own(h)+"/publish", "") }},
		{"restoreTemplateVersion", "", func(h *house) *answer { return h.post(own(h)+"/versions/1/restore", "") }},
		{"listTemplateVersions", "", func(h *house) *answer { return h.get(own(h) + "/versions") }},
		{"previewTemplate", "", func(h *house) *answer { return h.post(own(h)+"/preview", "") }},
		{"previewTemplateContent", "", func(h *house) *answer { return h.post("/v1/templates/preview", `{"text":"x"}`) }},
	}
	stale := header("If-Match", `"stale"`)
	for _, o := range []struct{ name, method, suffix string }{
		{"updateTemplate", http.MethodPatch, ""},
		{"deleteTemplate", http.MethodDelete, ""},
		{"publishTemplate", http.MethodPost, "/publish"},
		{"restoreTemplateVersion", http.MethodPost, "/versions/1/restore"},
	} {
		scenes = append(scenes, scene{o.name, preconditionFailed, func(h *house) *answer {
			return h.do(o.method, own(h)+o.suffix, strings.NewReader("{}"), stale, header("Content-Type", "application/json"))
		}})
	}
	scenes = append(scenes, sendTemplateScenes()...)
	return append(append(scenes, templateBodyScenes(nobody)...), eachTemplateScene(nobody)...)
}

// usedPartial makes a partial that a published message calls.
func (h *house) usedPartial(alias string) {
	h.t.Helper()
	h.published(`{"alias":"` + alias + `","name":"P","kind":"partial","text":"x"}`)
	h.published(`{"name":"M","subject":"s","text":"{{> ` + alias + `}}"}`)
}

// sendTemplateScenes are the ways in which a template makes no mail.
func sendTemplateScenes() []scene {
	by := func(template string) string {
		return `{"from":"a@acme.com","to":"b@example.org","template":` + template + `}`
	}
	const body = `{"name":"M","subject":"s","html":"<a href=\"{{url}}\">x</a>"}`
	return []scene{
		{"sendMessage", templateNotFound, func(h *house) *answer { return h.post("/v1/messages", by(`{"id":"nobody"}`)) }},
		{"sendMessage", templateNotPublished, func(h *house) *answer {
			id := h.template(body, as(h.keys["live"]))
			live := strings.Replace(by(`{"id":"`+id+`"}`), "b@example.org", "delivered@sandbox.test", 1)
			return h.post("/v1/messages", live, as(h.keys["live"]))
		}},
		{"sendMessage", templateVariables, func(h *house) *answer {
			return h.post("/v1/messages", by(`{"id":"`+h.published(body)+`"}`))
		}},
		{"sendMessage", templateRenderFailed, func(h *house) *answer {
			return h.post("/v1/messages", by(`{"id":"`+h.published(body)+`","variables":{"url":"data:text/html,x"}}`))
		}},
	}
}

// templateBodyScenes are those of the operations that read a body.
func templateBodyScenes(nobody string) []scene {
	var scenes []scene
	for _, o := range []struct{ name, method, path, body string }{
		{"createTemplate", http.MethodPost, "/v1/templates", minimalTemplate},
		{"updateTemplate", http.MethodPatch, nobody, "{}"},
		{"publishTemplate", http.MethodPost, nobody + "/publish", "{}"},
		{"restoreTemplateVersion", http.MethodPost, nobody + "/versions/1/restore", "{}"},
		{"previewTemplate", http.MethodPost, nobody + "/preview", "{}"},
		{"previewTemplateContent", http.MethodPost, "/v1/templates/preview", "{}"},
	} {
		preview := strings.HasSuffix(o.path, "/preview")
		scenes = append(
			scenes,
			scene{o.name, malformedJSON, ask(o.method, o.path, "{")},
			scene{o.name, duplicateMember, ask(o.method, o.path, `{"a":1,"a":2}`)},
			scene{o.name, requestTimeout, func(h *house) *answer { return h.stall(o.method, o.path) }},
			scene{o.name, requestTooLarge, func(h *house) *answer { return h.do(o.method, o.path, zeros(maxBody+1)) }},
			scene{o.name, unsupportedMediaType, ask(o.method, o.path, "{}", header("Content-Type", "text/plain"))},
			scene{o.name, validationFailed, ask(o.method, o.path, `{"x":1}`)},
		)
		if o.method == http.MethodPost {
			scenes = append(scenes, scene{o.name, invalidIdempotencyKey, ask(o.method, o.path, o.body, header("Idempotency-Key", ""))})
		}
		if preview {
			continue
		}
		scenes = append(scenes, scene{o.name, queueFull, func(h *house) *answer {
			if o.method != http.MethodPatch && o.path == "/v1/templates" {
				return h.post(o.path, o.body)
			}
			return h.fullTemplate(o.method, strings.TrimPrefix(o.path, nobody))
		}})
		if o.method == http.MethodPost {
			scenes = append(
				scenes,
				scene{o.name, idempotencyKeyReused, func(h *house) *answer {
					h.send(minimal, header("Idempotency-Key", o.name))
					return h.post(o.path, o.body, header("Idempotency-Key", o.name))
				}},
				scene{o.name, idempotencyInProgress, func(h *house) *answer { return h.whileHeld(o.path, o.body) }},
			)
		}
	}
	return scenes
}

// fullTemplate asks for a change of a template while the store is full: the template was
// made before.
func (h *house) fullTemplate(method, suffix string) *answer {
	h.t.Helper()
	ctx := h.t.Context()
	const digest = "scene"
	h.rdb.Set(ctx, "test:{tpl}:n", "1.scene", 0)
	id := "tpl_01k3b8v4z0e9x8d6w5s4r3q2p1"
	version := `{"n":1,"p":1,"d":"` + digest + `","z":1}`
	draft := `{"n":2,"d":"` + digest + `2","z":1}`
	h.rdb.HSet(ctx, "test:{tpl}:t", id, `{"n":"N","k":"message","c":1,"u":1,"d":`+draft+`,"p":1,"l":1,"v":[`+version+`],"e":"x"}`)
	for i, d := range []string{digest, digest + "2"} {
		_, packed, err := h.store.Templates.Pack(contentOf(i))
		if err != nil {
			h.t.Fatal(err)
		}
		h.rdb.HSet(ctx, "test:{tpl}:c", strings.TrimPrefix(id, "tpl_")+":"+d, packed)
	}
	return h.do(method, "/v1/templates/"+id+suffix, strings.NewReader(map[bool]string{true: `{"subject":"new"}`, false: "{}"}[method == http.MethodPatch]),
		header("Content-Type", "application/json"))
}

func contentOf(n int) *store.TemplateContent {
	return &store.TemplateContent{Subject: strings.Repeat("s", n+1), Text: "t"}
}

// eachTemplateScene are those that every operation of templates has.
func eachTemplateScene(nobody string) []scene {
	var scenes []scene
	for _, o := range []struct{ name, method, path, body string }{
		{"createTemplate", http.MethodPost, "/v1/templates", minimalTemplate},
		{"listTemplates", http.MethodGet, "/v1/templates", ""},
		{"getTemplate", http.MethodGet, nobody, ""},
		{"updateTemplate", http.MethodPatch, nobody, "{}"},
		{"deleteTemplate", http.MethodDelete, nobody, ""},
		{"publishTemplate", http.MethodPost, nobody + "/publish", ""},
		{"restoreTemplateVersion", http.MethodPost, nobody + "/versions/1/restore", ""},
		{"listTemplateVersions", http.MethodGet, nobody + "/versions", ""},
		{"previewTemplate", http.MethodPost, nobody + "/preview", ""},
		{"previewTemplateContent", http.MethodPost, "/v1/templates/preview", `{"text":"x"}`},
	} {
		scenes = append(
			scenes,
			scene{o.name, invalidParameter, ask(o.method, o.path+"?nothing=1", o.body)},
			scene{o.name, internalError, ask(o.method, o.path, o.body)},
			scene{o.name, serviceUnavailable, ask(o.method, o.path, o.body)},
		)
		if strings.HasPrefix(o.path, nobody) {
			scenes = append(scenes, scene{o.name, notFound, ask(o.method, o.path, o.body)})
		}
	}
	return scenes
}
