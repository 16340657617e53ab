package api

import (
	"html/template"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
)

// explanation is what a problem's page says: why it comes, and what to do.
type explanation struct{ Cause, Remedy string }

// explanations has one for each problem.
func explanations() map[code]explanation {
	all := explainedRequests()
	for _, more := range []map[code]explanation{explainedKeys(), explainedObjects(), explainedTemplates(), explainedService()} {
		for c, e := range more {
			all[c] = e
		}
	}
	return all
}

func explainedRequests() map[code]explanation {
	return map[code]explanation{
		malformedJSON: {
			"The body is not one JSON value in UTF-8 (RFC 8259), or it ended before its announced length. offset names the first octet that is wrong.",
			"Let a JSON library write the body, and send nothing before or after the value.",
		},
		duplicateMember: {
			"A member of an object stands there twice. Parsers differ in which one counts, so neither does here.",
			"Send each member once; errors lists the pointers.",
		},
		invalidParameter: {
			"A query parameter is unknown on this route, malformed, out of range, or given more than once. A cursor is valid only with the filters it was made for.",
			"Look at parameter and errors, and at the route's parameters in the documentation.",
		},
		validationFailed: {
			"The body is JSON, but members are missing, unknown, of the wrong type or not allowed. errors lists all of them, 50 at most, each with a pointer, a code and a detail.",
			"Correct what errors names. An Idempotency-Key is not used up by a refused request and may be used for the corrected one.",
		},
		batchRejected: {
			"Of a batch with mode partial no message is valid. results has one entry for each message, in their order, and says what is wrong with it.",
			"Correct what results names. Nothing was kept, and the Idempotency-Keys may be used again.",
		},
		requestTooLarge: {
			"The body is larger than limit_bytes, or the messages of a batch are, each with the defaults.",
			"Send fewer or smaller attachments, or a link to what is large.",
		},
		messageTooLarge: {
			"The mail that would be composed is larger than limit_bytes. Attachments grow by a third, as base64.",
			"Send fewer or smaller attachments, or a link to what is large.",
		},
		unsupportedMediaType: {
			"The Content-Type is not the route's, or the body has a Content-Encoding.",
			"Send Content-Type: application/json (where the documentation names no other) and no Content-Encoding.",
		},
		requestTimeout: {
			"The body did not arrive in time.",
			"Send the request again, with the same Idempotency-Key if it had one.",
		},
		methodNotAllowed: {"The route does not have this method; Allow lists those it has.", "Use one of them."},
		routeNotFound: {
			"There is no such route. Paths are case-sensitive and do not end in a slash.",
			"Compare the path with the documentation.",
		},
		misdirectedRequest: {
			"The Host header names a host that this server does not answer for. In development only names of this machine are accepted, so that web pages cannot read the mail.",
			"Call the service by the address that it printed when it started.",
		},
	}
}

func explainedKeys() map[code]explanation {
	return map[code]explanation{
		missingAPIKey: {"The request has no Authorization header.", "Send the API key as Authorization: Bearer pr_..."},
		invalidAPIKey: {
			"The Authorization header is not Bearer and a key of this installation: mistyped, revoked, or of another installation.",
			"Copy the key again, or make a new one with postrider keys create.",
		},
		insufficientScope: {
			"The key is valid but lacks required_scope. Scopes are chosen when a key is made; reading the content of mail is one of its own.",
			"Use a key that has the scope. A key makes and changes only keys that reach no further than itself.",
		},
		expiredAPIKey: {
			"The key had an expiry that has passed, or this secret was replaced by a rotation whose overlap has ended.",
			"Use the new secret, or make a new key.",
		},
		ipNotAllowed: {
			"The key is bound to networks (allowed_ips), and the request came from elsewhere; or a key asked to allow another one a network outside of its own.",
			"Send from an allowed address. Behind a reverse proxy the operator must name it in POSTRIDER_TRUSTED_PROXIES, or every request seems to come from the proxy.",
		},
		fromDomainNotAllowed: {
			"The key is bound to the domains in allowed_from_domains, and the From address is at another; or a key asked to allow another one such a domain.",
			"Send from an allowed domain, each of which counts without its subdomains, or with another key. GET /v1/me lists them.",
		},
		livemodeMismatch: {
			"A live key asked for a test key, or a test key for a live one. The two worlds know nothing of each other.",
			"Ask with a key of the world that is meant, or make the key with postrider keys create.",
		},
		sendingPaused: {
			"Somebody paused the sending of this key, perhaps because an app went wild. It may read, but sends no mail and changes no keys.",
			"Find out why, then lift the pause: PATCH /v1/api-keys/{id} with sending_paused false, by another key, or postrider keys update --resume.",
		},
		quotaExceeded: {
			"The key has a number of recipients a day (recipients_per_day), and not as many are left as the request has.",
			"Wait until resets_at, the end of the day in UTC, or have the limit raised. GET /v1/me says how many were used. Replays cost nothing.",
		},
		invalidIdempotencyKey: {
			"The Idempotency-Key is empty, longer than 255 characters, or has characters other than visible ASCII and spaces inside.",
			"Send for example a UUID, or a name such as receipt/42.",
		},
		idempotencyKeyReused: {
			"The same Idempotency-Key came with another request within the window in which keys count (24 hours, unless POSTRIDER_IDEMPOTENCY_WINDOW says otherwise). White space and the order of members make no difference; values do.",
			"Use a key of its own for each thing that you do. To repeat a request safely, send exactly the same.",
		},
		idempotencyInProgress: {
			"A request with this Idempotency-Key is being worked on.",
			"Wait for Retry-After and send the same again: it will get the same answer.",
		},
		rateLimited: {
			"The key made more requests than it may over all processes (RateLimit-Policy), or too many requests with invalid keys came from this address.",
			"Wait for Retry-After. Several mails fit into one request. The operator sets the limit with POSTRIDER_RATE_LIMIT; the pace of delivery has nothing to do with it.",
		},
	}
}

func explainedObjects() map[code]explanation {
	return map[code]explanation{
		notFound: {
			"There is no object with this id in the key's world. Live and test keys see different worlds; what is past its retention is gone.",
			"Check the id, and whether the key is of the world in which the object was made. After a DELETE this answer is harmless.",
		},
		contentExpired: {
			"The bodies and attachments of the message are no longer kept: 7 days after its last recipient was final, or at once if it was sent so.",
			"Nothing brings it back. Metadata and events are kept longer.",
		},
		cursorExpired: {
			"Events behind this cursor are no longer known: they are older than events are kept, or Redis was replaced or lost some.",
			"Read the state of the messages that matter to you by GET /v1/messages, and follow the events again without a cursor.",
		},
		messageNotCancelable: {
			"No recipient of the message can be canceled any more: each is delivered, bounced, failed or suppressed.",
			"Look at message_status; there is nothing left to stop.",
		},
		messageNotScheduled: {
			"The message does not wait for its time any more: it is on its way, or final. message_status says which.",
			"Cancel what is not delivered yet, or leave it.",
		},
		domainNotVerified: {
			"The domain of the From address has not been verified, so receivers would not trust the mail.",
			"Add the domain and publish its DNS records: postrider domains add, then postrider domains check. Test keys need none of this.",
		},
	}
}

func explainedTemplates() map[code]explanation {
	return map[code]explanation{
		alreadyExists: {
			"Another object has this name already; existing_id is its id.",
			"Change that one, or choose another name.",
		},
		resourceInUse: {
			"Others use this layout or partial, or call the partial by the alias that it would lose. detail names up to ten of them, by their drafts and by what is published.",
			"Take it out of those first and publish them.",
		},
		preconditionFailed: {
			"The template is not what If-Match says: somebody changed it since it was read. current_etag is what it is now.",
			"Read it again, and decide whether the change is still right.",
		},
		templateNotFound: {
			"The template of the message does not exist in the key's world, has no such version (the last 50 that were published are kept), or is a layout or partial.",
			"Check the id or alias. Live and test keys see different templates: postrider templates push copies a folder of them to either.",
		},
		templateNotPublished: {
			"Live mail is made from published versions only, and this template, or the version that was named, is a draft.",
			"Publish it: POST /v1/templates/{id}/publish. A test key may send drafts.",
		},
		templateVariables: {
			"The template needs variables that the request lacks, or that are null. missing has all their paths; items of arrays are counted from 0.",
			"Send them, or say in the template what is shown without them: {{default name \"there\"}}, {{#if name}}, or a default in its declaration.",
		},
		templateRenderFailed: {
			"The values do not fit to where the template shows them, such as a link that is none, or a limit of the language was reached (250 ms, 5 MiB and others). line, column and errors say where.",
			"Try the data with POST /v1/templates/{id}/preview, which shows the same without sending.",
		},
	}
}

func explainedService() map[code]explanation {
	return map[code]explanation{
		internalError: {
			"Something went wrong on our side. Nothing that was asked for is known to have happened.",
			"Repeat the request, with an Idempotency-Key if it changes something; if it goes on, tell the operator the request_id.",
		},
		serviceUnavailable: {
			"The service cannot reach its Redis, or Redis does not keep what it is told. Mail that was accepted is safe.",
			"Wait for Retry-After and repeat the request with the same Idempotency-Key.",
		},
		queueFull: {
			"So much mail waits that memory is short. New mail is refused until some is delivered.",
			"Wait for Retry-After and repeat. The operator can give Redis more memory.",
		},
		shuttingDown: {
			"This process is ending and takes no more requests.",
			"Repeat the request: another process, or the next one, answers.",
		},
	}
}

// explainPage is the page of a problem. It has no script, and styles of its own.
const explainPage = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}} - Postrider</title>
<link rel="icon" href="data:,">
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem; color: #1d2733; background: #fff }
code { background: #eef1f4; padding: .1em .3em; border-radius: 3px }
dt { font-weight: 600; margin-top: 1rem } dd { margin: 0 }
@media (prefers-color-scheme: dark) { body { color: #dfe5ec; background: #14181d } code { background: #262d36 } a { color: #7db4ff } }
</style>
<h1>{{.Title}}</h1>
<p><code>{{.Code}}</code>, status {{.Status}}. {{if .Retryable}}The same request may succeed later.{{else}}The same request will fail again.{{end}}</p>
<dl>
<dt>Why</dt><dd>{{.Cause}}</dd>
<dt>What to do</dt><dd>{{.Remedy}}</dd>
</dl>
<p><a href="/docs">Documentation of the API</a></p>
</html>
`

// explain is GET /problems/{code}.
func (d *door) explain(g *gin.Context) {
	if _, err := parseQuery(g.Request.URL.RawQuery, nil); err != nil {
		d.refuse(g, err)
		return
	}
	c := code(g.Param("code"))
	kind, ok := problemKinds()[c]
	if !ok {
		d.writeProblem(g, &problem{code: notFound, detail: "There is no problem with this code.", resource: "problem"})
		return
	}
	var page strings.Builder
	err := d.explainPage.Execute(&page, struct {
		explanation
		Code      code
		Title     string
		Status    int
		Retryable bool
	}{explanations()[c], c, kind.title, kind.status, kind.retryable})
	if err != nil {
		d.refuse(g, err)
		return
	}
	g.Header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	writeBody(g, http.StatusOK, "text/html; charset=utf-8", []byte(page.String()))
}

func newExplainPage() *template.Template {
	return template.Must(template.New("problem").Parse(explainPage))
}
