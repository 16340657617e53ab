package api

import (
	"net/http"

	"postrider/internal/intake"
)

// problemBase is where problem types are explained. It is the same for every
// installation, so that a type means the same everywhere (RFC 9457 3.1.1).
const problemBase = "https://postrider.dev/problems/"

// maxErrors bounds the errors of one answer.
const maxErrors = 50

// code is the machine-readable name of a problem, the last segment of its type.
type code string

// The problems of the routes of today.
const (
	malformedJSON         code = "malformed_json"
	invalidParameter      code = "invalid_parameter"
	invalidIdempotencyKey code = "invalid_idempotency_key"
	duplicateMember       code = "duplicate_member"
	missingAPIKey         code = "missing_api_key"
	invalidAPIKey         code = "invalid_api_key"
	expiredAPIKey         code = "expired_api_key"
	insufficientScope     code = "insufficient_scope"
	fromDomainNotAllowed  code = "from_domain_not_allowed_for_key"
	ipNotAllowed          code = "ip_not_allowed"
	livemodeMismatch      code = "livemode_mismatch"
	sendingPaused         code = "sending_paused"
	notFound              code = "not_found"
	routeNotFound         code = "route_not_found"
	methodNotAllowed      code = "method_not_allowed"
	requestTimeout        code = "request_timeout"
	idempotencyInProgress code = "idempotency_request_in_progress"
	alreadyExists         code = "already_exists"
	resourceInUse         code = "resource_in_use"
	preconditionFailed    code = "precondition_failed"
	messageNotCancelable  code = "message_not_cancelable"
	messageNotScheduled   code = "message_not_scheduled"
	contentExpired        code = "content_expired"
	cursorExpired         code = "cursor_expired"
	requestTooLarge       code = "request_too_large"
	messageTooLarge       code = "message_too_large"
	misdirectedRequest    code = "misdirected_request"
	unsupportedMediaType  code = "unsupported_media_type"
	validationFailed      code = "validation_failed"
	domainNotVerified     code = "domain_not_verified"
	templateNotFound      code = intake.TemplateNotFound
	templateNotPublished  code = intake.TemplateNotPublished
	templateVariables     code = intake.TemplateVariablesMissing
	templateRenderFailed  code = intake.TemplateRenderFailed
	batchRejected         code = "batch_rejected"
	idempotencyKeyReused  code = "idempotency_key_reused"
	rateLimited           code = "rate_limited"
	quotaExceeded         code = "quota_exceeded"
	internalError         code = "internal_error"
	serviceUnavailable    code = "service_unavailable"
	queueFull             code = "queue_full"
	shuttingDown          code = "shutting_down"
)

// kindOfProblem is what is the same for every problem with a code.
type kindOfProblem struct {
	status    int
	title     string
	retryable bool
}

// problemKinds is the table of api.md 7. Titles never vary.
func problemKinds() map[code]kindOfProblem {
	return map[code]kindOfProblem{
		malformedJSON:         {http.StatusBadRequest, "Malformed JSON", false},
		invalidParameter:      {http.StatusBadRequest, "Invalid query parameter", false},
		invalidIdempotencyKey: {http.StatusBadRequest, "Invalid Idempotency-Key", false},
		duplicateMember:       {http.StatusBadRequest, "Duplicate JSON member", false},
		missingAPIKey:         {http.StatusUnauthorized, "Missing API key", false},
		invalidAPIKey:         {http.StatusUnauthorized, "Invalid API key", false},
		expiredAPIKey:         {http.StatusUnauthorized, "Expired API key", false},
		insufficientScope:     {http.StatusForbidden, "Insufficient scope", false},
		fromDomainNotAllowed:  {http.StatusForbidden, "From domain not allowed for this API key", false},
		ipNotAllowed:          {http.StatusForbidden, "IP address not allowed", false},
		livemodeMismatch:      {http.StatusForbidden, "Livemode mismatch", false},
		sendingPaused:         {http.StatusForbidden, "Sending paused", false},
		notFound:              {http.StatusNotFound, "Not found", false},
		routeNotFound:         {http.StatusNotFound, "Route not found", false},
		methodNotAllowed:      {http.StatusMethodNotAllowed, "Method not allowed", false},
		requestTimeout:        {http.StatusRequestTimeout, "Request timeout", true},
		idempotencyInProgress: {http.StatusConflict, "Request in progress", true},
		alreadyExists:         {http.StatusConflict, "Already exists", false},
		resourceInUse:         {http.StatusConflict, "Resource in use", false},
		preconditionFailed:    {http.StatusPreconditionFailed, "Precondition failed", false},
		messageNotCancelable:  {http.StatusConflict, "Message cannot be canceled", false},
		messageNotScheduled:   {http.StatusConflict, "Message is not scheduled", false},
		contentExpired:        {http.StatusGone, "Content expired", false},
		cursorExpired:         {http.StatusGone, "Cursor expired", false},
		requestTooLarge:       {http.StatusRequestEntityTooLarge, "Request too large", false},
		messageTooLarge:       {http.StatusRequestEntityTooLarge, "Message too large", false},
		misdirectedRequest:    {http.StatusMisdirectedRequest, "Misdirected request", false},
		unsupportedMediaType:  {http.StatusUnsupportedMediaType, "Unsupported media type", false},
		validationFailed:      {http.StatusUnprocessableEntity, "Request validation failed", false},
		domainNotVerified:     {http.StatusUnprocessableEntity, "Domain not verified", false},
		templateNotFound:      {http.StatusUnprocessableEntity, "Template not found", false},
		templateNotPublished:  {http.StatusUnprocessableEntity, "Template not published", false},
		templateVariables:     {http.StatusUnprocessableEntity, "Template variables missing", false},
		templateRenderFailed:  {http.StatusUnprocessableEntity, "Template rendering failed", false},
		batchRejected:         {http.StatusUnprocessableEntity, "Batch rejected", false},
		idempotencyKeyReused:  {http.StatusUnprocessableEntity, "Idempotency-Key reused", false},
		rateLimited:           {http.StatusTooManyRequests, "Rate limited", true},
		quotaExceeded:         {http.StatusTooManyRequests, "Quota exceeded", false},
		internalError:         {http.StatusInternalServerError, "Internal error", true},
		serviceUnavailable:    {http.StatusServiceUnavailable, "Service unavailable", true},
		queueFull:             {http.StatusServiceUnavailable, "Queue full", true},
		shuttingDown:          {http.StatusServiceUnavailable, "Shutting down", true},
	}
}

// problem is a request that was refused and what to tell the caller about it: never the
// offending value, which may be a secret.
type problem struct {
	code   code
	detail string
	errors []fault

	parameter     string
	header        string
	offset        *int
	requiredScope string
	resource      string
	messageStatus string
	domain        string
	domainID      *text // nil: left out
	limitBytes    *int64
	actualBytes   *int64
	quota         string // which one is used up
	resetsAt      *stamp
	retryAfter    int // seconds; 0: as its kind says
	existingID    string
	currentETag   string
	missing       []string // variables of a template
	line, column  int      // in a template; 0: nowhere
	results       []resultView
	truncated     bool // there are more errors, beyond those of an answer
}

func (p *problem) Error() string { return string(p.code) + ": " + p.detail }

// fault is one thing wrong: in the body (pointer, line and column of a template or a CSV
// file, or header field of a raw mail) or in the query (parameter).
type fault struct {
	Pointer   string `json:"pointer,omitempty"`
	Parameter string `json:"parameter,omitempty"`
	Header    string `json:"header,omitempty"`
	Line      int    `json:"line,omitempty"`
	Column    any    `json:"column,omitempty"` // of a template its number, of a CSV file its name; nil: the whole row
	Code      string `json:"code"`
	Detail    string `json:"detail"`
}

// problemBody is a problem on the wire (RFC 9457 3).
type problemBody struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	Instance  string `json:"instance"`
	Code      code   `json:"code"`
	RequestID string `json:"request_id"`
	Retryable bool   `json:"retryable"`

	Parameter     string       `json:"parameter,omitempty"`
	Header        string       `json:"header,omitempty"`
	Offset        *int         `json:"offset,omitempty"`
	RequiredScope string       `json:"required_scope,omitempty"`
	Resource      string       `json:"resource,omitempty"`
	MessageStatus string       `json:"message_status,omitempty"`
	Domain        string       `json:"domain,omitempty"`
	DomainID      *text        `json:"domain_id,omitempty"`
	ExistingID    string       `json:"existing_id,omitempty"`
	CurrentETag   string       `json:"current_etag,omitempty"`
	Missing       []string     `json:"missing,omitempty"`
	Line          int          `json:"line,omitempty"`
	Column        int          `json:"column,omitempty"`
	LimitBytes    *int64       `json:"limit_bytes,omitempty"`
	ActualBytes   *int64       `json:"actual_bytes,omitempty"`
	Quota         string       `json:"quota,omitempty"`
	ResetsAt      *stamp       `json:"resets_at,omitempty"`
	Errors        []fault      `json:"errors,omitempty"`
	Truncated     bool         `json:"truncated,omitempty"`
	Results       []resultView `json:"results,omitempty"`
}

// body writes a problem out for one request.
func (p *problem) body(requestID string) problemBody {
	kind := problemKinds()[p.code]
	b := problemBody{
		Type: problemBase + string(p.code), Title: kind.title, Status: kind.status, Detail: p.detail,
		Instance: "/v1/requests/" + requestID, Code: p.code, RequestID: requestID, Retryable: kind.retryable,
		Parameter: p.parameter, Header: p.header, Offset: p.offset, RequiredScope: p.requiredScope,
		Resource: p.resource, MessageStatus: p.messageStatus, Domain: p.domain, DomainID: p.domainID,
		LimitBytes: p.limitBytes, ActualBytes: p.actualBytes, Errors: p.errors,
		ExistingID: p.existingID, CurrentETag: p.currentETag, Missing: p.missing, Line: p.line, Column: p.column,
		Quota: p.quota, ResetsAt: p.resetsAt, Results: p.results, Truncated: p.truncated,
	}
	if len(b.Errors) > maxErrors {
		b.Errors, b.Truncated = b.Errors[:maxErrors], true
	}
	return b
}

// faultsOf makes the errors of a body that was refused.
func faultsOf(faults []intake.Fault) []fault {
	out := make([]fault, len(faults))
	for i, f := range faults {
		out[i] = fault{Pointer: f.Pointer, Parameter: f.Parameter, Header: f.Header, Line: f.Line, Code: f.Code, Detail: f.Detail}
		if f.Column > 0 {
			out[i].Column = f.Column
		}
	}
	return out
}
