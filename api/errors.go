package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/eventstore/keyring"
)

// problemKind is one row of the only table from codes to HTTP.
type problemKind struct {
	status int
	title  string
	help   string // for the page: when it happens and what to do
}

// problemKinds holds every code a problem document can carry.
var problemKinds = map[string]problemKind{
	"validation_failed":        {400, "The request is malformed", "A field breaks its format, is missing, or is not known. The list errors names each place and the rule it breaks; the value itself is never repeated. Correct the request and send it with a new Idempotency-Key."},
	"json_invalid":             {400, "The body is not acceptable JSON", "The body must be one JSON value in UTF-8 without byte order mark: no member twice, no control characters, no half surrogates, at most 16 levels deep and 1000 items in an array, and nothing after it."},
	"idempotency_key_missing":  {400, "Idempotency-Key is missing or malformed", "Every call that appends needs the header Idempotency-Key with 1 to 255 visible ASCII characters. Choose one per attempt of the user and keep it when you retry."},
	"cursor_invalid":           {400, "The cursor does not fit this query", "Pass page.next of the page before, with the same other parameters."},
	"unauthenticated":          {401, "No valid API key", "Send Authorization: Bearer and a key that has not expired or been revoked. Keys are made with authledger client create."},
	"signature_invalid":        {401, "The signature is missing or wrong", "Gateways sign receipts as Standard Webhooks says; an installation proves itself by signing method, path and time with its own key. Times may differ by 60 s (installation) or 5 min (webhook)."},
	"role_missing":             {403, "This key may not do that", "The role of the key does not admit this call. The table of roles stands at each operation in the reference."},
	"not_authorised":           {403, "Not allowed for this user", "The caller may not act for this user."},
	"second_person_required":   {403, "It takes two people", "One person asks for the release of a legal hold, another one, with a key of their own, approves it."},
	"processing_restricted":    {403, "The data is locked away", "This person asked to be forgotten; until the data may be destroyed it is open only to a regulator and for a legal claim. Give the reason regulator or legal if it is one."},
	"not_found":                {404, "There is no such thing", "The id is unknown, or nothing can be read at this address. Unknown and not visible look the same."},
	"method_not_allowed":       {405, "This method does not exist here", "The header Allow lists the methods of this address."},
	"request_timeout":          {408, "The request came too slowly", "Send the whole request within 15 seconds."},
	"exists":                   {409, "It exists already with other content", "What was registered under this reference differs from this request. Changes of facts have calls of their own."},
	"user_closed":              {409, "The user is closed", "Nothing more can be done for a closed user."},
	"enrollment_closed":        {409, "The enrolment has ended", "It was completed, given up or took too long. Start a new one."},
	"process_closed":           {409, "The process has ended", "The migration, recovery or delivery was completed, given up or took too long. Start a new one."},
	"transport_key_missing":    {409, "This server cannot open the seeds of a file", "Seeds come encrypted with a transport key agreed with the manufacturer. Start the server with that key; then send the file again."},
	"phone_unverified":         {409, "The phone is not verified", "Verify the phone first."},
	"conflict":                 {409, "The state of things does not allow it", "Read the current state and decide again."},
	"personal_data_erased":     {410, "The data was destroyed", "The key it was sealed under exists no more. The records, and what was decided, stay."},
	"length_required":          {411, "Content-Length is required", "Bodies must be sent with Content-Length; chunked bodies are refused and the connection is closed."},
	"body_too_large":           {413, "The body is too large", "Bodies may have up to 64 KiB."},
	"media_type":               {415, "The body must be JSON", "Send Content-Type: application/json in UTF-8, without Content-Encoding."},
	"idempotency_key_reused":   {422, "The Idempotency-Key was used for another request", "The same key was used before with other content. Use a new key for a new request."},
	"phone_invalid":            {422, "Codes cannot be sent to this number", "Give a mobile number in international form. Emergency, premium rate, shared cost, satellite and short numbers are refused. The number is not repeated here."},
	"public_key_invalid":       {422, "The public key is not acceptable", "Give the DER SubjectPublicKeyInfo of a P-256 key (ES256) or an Ed25519 key, in base64url without padding."},
	"pskc_invalid":             {422, "The file of seeds cannot be used", "Give a PSKC file (RFC 6030) whose seeds are encrypted with the transport key of this server and carry a MAC, each with manufacturer, serial number, an OCRA suite and a counter. Files with seeds in clear are refused. Nothing was registered."},
	"os_unsupported":           {422, "The operating system is not supported", "The app runs on iOS and Android."},
	"rate_limited":             {429, "Too many requests", "The bucket named in RateLimit-Policy is empty, or too many requests are in flight. Wait as Retry-After says."},
	"internal":                 {500, "Something broke here", "The request was logged with its id. Retrying with the same Idempotency-Key is safe."},
	"projection_behind":        {503, "The read models are behind", "They have not reached Authledger-Min-Position within two seconds; lag says how many events are missing. Retry as Retry-After says."},
	"not_sealed":               {503, "The event is not sealed yet", "No checkpoint covers it within two seconds. Retry as Retry-After says; if it stays, /readyz says why sealing stopped."},
	"export_refused":           {422, "Such an extract cannot be made", "The window or the extract has more records than a bundle may, or the question contradicts itself; the detail says which. Ask for parts with from and to."},
	"export_not_sealed":        {503, "No checkpoint covers this yet", "Evidence stands on a signed checkpoint. The log is sealed every second; Retry, or ask for an earlier end of the window."},
	"store_unavailable":        {503, "The ledger cannot be used now", "Nothing was appended. Retry with the same Idempotency-Key."},
	"outcome_unknown":          {503, "It is not known whether it was appended", "Retry with the same Idempotency-Key: if it was, the first outcome is answered."},
	"busy":                     {503, "Too many changes to the same user at once", "Nothing was appended. Retry with the same Idempotency-Key."},
	"audit_record_unavailable": {503, "The read could not be recorded", "Reads of the record are themselves recorded first. Without that there is no answer. Retry."},
	"shutting_down":            {503, "The server is stopping", "Retry with the same Idempotency-Key."},
}

// domainCodes translates the codes of domain errors that are not simply the
// same word in lower case.
var domainCodes = map[domain.Code]string{
	domain.Invalid:             "validation_failed",
	domain.Unknown:             "not_found",
	domain.IdempotencyConflict: "idempotency_key_reused",
}

// sentinels translates errors that other packages promise.
var sentinels = []struct {
	err  error
	code string
}{
	{eventstore.ErrOutcomeUnknown, "outcome_unknown"},
	{journal.ErrBusy, "busy"},
	{eventstore.ErrConflict, "busy"},
	{eventstore.ErrNotFound, "not_found"},
	{eventstore.ErrUnavailable, "store_unavailable"},
	{eventstore.ErrClosed, "shutting_down"},
	{context.Canceled, "shutting_down"},
	{context.DeadlineExceeded, "store_unavailable"},
	{keyring.ErrKeyDestroyed, "personal_data_erased"},
}

// statusCodes translates echo's own errors.
var statusCodes = map[int]string{
	http.StatusBadRequest:            "validation_failed",
	http.StatusNotFound:              "not_found",
	http.StatusMethodNotAllowed:      "method_not_allowed",
	http.StatusRequestEntityTooLarge: "body_too_large",
	http.StatusUnsupportedMediaType:  "media_type",
}

// problem is an error that knows its code. Its text holds nothing a request
// brought.
type problem struct {
	code       string
	detail     string
	errors     []gen.ProblemItem
	retryAfter int // seconds; 0 for none
	lag        int64
	cause      error // for the log
}

func (p *problem) Error() string {
	if p.cause != nil {
		return p.code + ": " + p.cause.Error()
	}
	return p.code
}

func (p *problem) Unwrap() error { return p.cause }

func fault(code string) *problem { return &problem{code: code} }

// faultAt is a validation fault at one place.
func faultAt(pointer, rule, detail string) *problem {
	return &problem{code: "validation_failed", errors: []gen.ProblemItem{{Pointer: pointer, Code: rule, Detail: detail}}}
}

// problemOf says what an error becomes. Anything unknown is internal, and its
// text stays in the log.
func problemOf(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	var d *domain.Error
	if errors.As(err, &d) {
		return domainProblem(d)
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			return &problem{code: s.code, retryAfter: 1, cause: err}
		}
	}
	var h *echo.HTTPError
	if errors.As(err, &h) {
		if code, ok := statusCodes[h.Code]; ok {
			return &problem{code: code, cause: err}
		}
	}
	return &problem{code: "internal", cause: err}
}

func domainProblem(d *domain.Error) *problem {
	code, ok := domainCodes[d.Code]
	if !ok {
		code = strings.ToLower(string(d.Code))
	}
	if _, ok := problemKinds[code]; !ok {
		code = "conflict"
	}
	p := &problem{code: code, detail: d.Detail}
	if d.Field != "" {
		p.errors = []gen.ProblemItem{{Pointer: "/" + d.Field, Code: strings.ToLower(string(d.Code)), Detail: d.Detail}}
	}
	return p
}
