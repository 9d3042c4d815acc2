package api

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/authledger/authledger/api/access"
)

type paramRef = openapi3.ParameterRef

// marker stands in rejected values; no answer and no log line may repeat it.
const marker = "S3CRET"

// bad is one row of the catalogue of bad input (security.md section 9).
type bad struct {
	id      string
	role    access.Role // frontend when empty
	method  string      // POST when empty
	path    string      // /v1/clients when empty
	body    string
	header  []string
	status  int
	code    string
	pointer string // of the first error, where it matters
}

const goodClient = `{"reference":"C-9","kind":"individual","carryingEntity":"IB","carryingCountry":"IE"}`

func badInputs() []bad {
	deep := strings.Repeat(`{"a":`, 10000) + "1" + strings.Repeat("}", 10000)
	key := strings.Repeat("0", 26)
	user, challenge := "/v1/users/usr_"+key, "/v1/challenges/chl_"+key+"_1"
	rows := []bad{
		// 1. JSON syntax
		{id: "1-empty", body: "", status: 400, code: "validation_failed"},
		{id: "1-truncated", body: `{"reference":"` + marker, status: 400, code: "json_invalid"},
		{id: "1-two-documents", body: goodClient + goodClient, status: 400, code: "json_invalid"},
		{id: "1-trailing", body: goodClient + " x", status: 400, code: "json_invalid"},
		{id: "1-trailing-null", body: goodClient + "\x00", status: 400, code: "json_invalid"},
		{id: "1-bom", body: "\xef\xbb\xbf" + goodClient, status: 400, code: "json_invalid"},
		{id: "1-utf16", body: "\xff\xfe{\x00}\x00", status: 400, code: "json_invalid"},
		{id: "1-comment", body: "/* " + marker + " */" + goodClient, status: 400, code: "json_invalid"},
		{id: "1-nan", body: `{"reference":NaN}`, status: 400, code: "json_invalid"},
		{id: "1-plus", body: `{"reference":+1}`, status: 400, code: "json_invalid"},
		{id: "1-leading-zero", body: `{"reference":01}`, status: 400, code: "json_invalid"},
		{id: "1-depth", body: deep, status: 400, code: "json_invalid"},
		{id: "1-half-surrogate", body: `{"reference":"\ud800"}`, status: 400, code: "json_invalid"},
		{id: "1-low-surrogate", body: `{"reference":"\udc00"}`, status: 400, code: "json_invalid"},
		{id: "1-bad-utf8", body: "{\"reference\":\"\xc0\xaf\"}", status: 400, code: "json_invalid"},
		{id: "1-raw-control", body: "{\"reference\":\"a\x01\"}", status: 400, code: "json_invalid"},
		{id: "1-escaped-control", body: `{"reference":"` + marker + `\u0000"}`, status: 400, code: "json_invalid"},
		{id: "1-single-quotes", body: `{'reference':'x'}`, status: 400, code: "json_invalid"},
		{id: "1-trailing-comma", body: `{"reference":"x",}`, status: 400, code: "json_invalid"},
		{id: "1-long-array", body: `{"reference":[` + strings.Repeat("1,", 1000) + `1]}`, status: 400, code: "json_invalid"},
		// 2. JSON meaning
		{id: "2-duplicate", body: `{"reference":"a","reference":"` + marker + `"}`, status: 400, code: "json_invalid"},
		{id: "2-duplicate-escaped", body: `{"reference":"a","r\u0065ference":"b"}`, status: 400, code: "json_invalid"},
		{id: "2-upper-case", body: strings.Replace(goodClient, "reference", "REFERENCE", 1), status: 400, code: "validation_failed"},
		{id: "2-extra-case", body: strings.Replace(goodClient, "{", `{"Reference":"`+marker+`",`, 1), status: 400, code: "validation_failed"},
		{id: "2-long-s", body: strings.Replace(goodClient, "carrying", "carryin\u0261", 1), status: 400, code: "validation_failed"},
		{id: "2-unknown", body: strings.Replace(goodClient, "{", `{"`+marker+`":1,`, 1), status: 400, code: "validation_failed"},
		{id: "2-null", body: `null`, status: 400, code: "validation_failed"},
		{id: "2-null-member", body: strings.Replace(goodClient, `"C-9"`, "null", 1), status: 400, code: "validation_failed", pointer: "/reference"},
		{id: "2-array", body: `[]`, status: 400, code: "validation_failed"},
		{id: "2-string", body: `"` + marker + `"`, status: 400, code: "validation_failed"},
		{id: "2-number", body: `1`, status: 400, code: "validation_failed"},
		{id: "2-number-for-text", body: strings.Replace(goodClient, `"C-9"`, "9", 1), status: 400, code: "validation_failed", pointer: "/reference"},
		{id: "2-object-for-text", body: strings.Replace(goodClient, `"C-9"`, "{}", 1), status: 400, code: "validation_failed"},
		{id: "2-exponent", role: access.Device, path: "/v1/installations/ins_" + key + "/pin", body: `{"pinPolicyVersion":1.5e0}`, status: 400, code: "validation_failed"},
		{id: "2-too-large-int", role: access.Device, path: "/v1/installations/ins_" + key + "/pin", body: `{"pinPolicyVersion":9007199254740993}`, status: 400, code: "validation_failed"},
		{id: "2-negative", role: access.Device, path: "/v1/installations/ins_" + key + "/pin", body: `{"pinPolicyVersion":-0}`, status: 400, code: "validation_failed"},
		{id: "2-text-for-bool", path: user + "/seamless", body: `{"enabled":"true"}`, status: 400, code: "validation_failed"},
		{id: "2-enum-case", body: strings.Replace(goodClient, "individual", "Individual", 1), status: 400, code: "validation_failed", pointer: "/kind"},
		{id: "2-missing", body: `{"kind":"individual"}`, status: 400, code: "validation_failed"},
		// 5. codes
		{id: "5-number", path: challenge + "/responses", body: `{"response":123456}`, status: 400, code: "validation_failed", pointer: "/response"},
		{id: "5-long", path: challenge + "/responses", body: `{"response":"` + strings.Repeat(marker, 20) + `"}`, status: 400, code: "validation_failed"},
		{id: "5-unknown-challenge", path: challenge + "/responses", body: `{"response":"` + marker + `"}`, status: 404, code: "not_found"},
		// 6. suites and secrets are nothing a request may bring
		{id: "6-suite", role: access.Device, path: "/v1/enrollments/enr_" + key + "_1/complete", body: `{"uv":"face_id","suite":"OCRA-1:HOTP-SHA1-4:QN04"}`, status: 400, code: "validation_failed"},
		// 10, 15. mass assignment
		{id: "15-actor", body: strings.Replace(goodClient, "{", `{"actor":{"kind":"system"},`, 1), status: 400, code: "validation_failed"},
		{id: "15-recorded-at", body: strings.Replace(goodClient, "{", `{"recordedAt":"2020-01-01T00:00:00Z",`, 1), status: 400, code: "validation_failed"},
		{id: "10-unknown-country", body: strings.Replace(goodClient, `"IE"`, `"ireland"`, 1), status: 400, code: "validation_failed"},
		{id: "10-fullwidth-country", body: strings.Replace(goodClient, `"IE"`, `"ＩＥ"`, 1), status: 400, code: "validation_failed"},
		// 11. idempotency
		{id: "11-no-key", body: goodClient, header: []string{headerKey, ""}, status: 400, code: "idempotency_key_missing"},
		{id: "11-space", body: goodClient, header: []string{headerKey, "a b"}, status: 400, code: "idempotency_key_missing"},
		{id: "11-not-ascii", body: goodClient, header: []string{headerKey, "é"}, status: 400, code: "idempotency_key_missing"},
		{id: "11-long", body: goodClient, header: []string{headerKey, strings.Repeat("k", 256)}, status: 400, code: "idempotency_key_missing"},
		// 12. time
		{id: "12-no-date", path: user + "/residence", body: `{"residence":"IE","effectiveOn":"2026-02-30T"}`, status: 400, code: "validation_failed"},
		{id: "12-year-0", path: user + "/residence", body: `{"residence":"IE","effectiveOn":"01-01-2026"}`, status: 400, code: "validation_failed"},
		{id: "12-epoch", role: access.Operator, path: "/dev/clock", body: `{"now":1770000000}`, status: 400, code: "validation_failed"},
		{id: "12-no-zone", role: access.Operator, path: "/dev/clock", body: `{"now":"2026-03-02T09:00:00"}`, status: 400, code: "validation_failed"},
		// 13. what of HTTP reaches handlers
		{id: "13-no-content-type", body: goodClient, header: []string{"Content-Type", ""}, status: 415, code: "media_type"},
		{id: "13-form", body: goodClient, header: []string{"Content-Type", "application/x-www-form-urlencoded"}, status: 415, code: "media_type"},
		{id: "13-utf7", body: goodClient, header: []string{"Content-Type", "application/json; charset=utf-7"}, status: 415, code: "media_type"},
		{id: "13-gzip", body: goodClient, header: []string{"Content-Encoding", "gzip"}, status: 415, code: "media_type"},
		{id: "13-large", body: `{"reference":"` + strings.Repeat("a", maxBody) + `"}`, status: 413, code: "body_too_large"},
		{id: "13-put", method: "PUT", body: goodClient, status: 405, code: "method_not_allowed"},
		{id: "13-trace", method: "TRACE", status: 405, code: "method_not_allowed"},
		{id: "13-override", method: "GET", path: "/v1/clients", header: []string{"X-HTTP-Method-Override", "POST"}, status: 405, code: "method_not_allowed"},
		{id: "13-read-with-body", method: "GET", path: user, body: goodClient, status: 400, code: "validation_failed"},
		{id: "13-unknown-path", path: "/v1/nothing", body: goodClient, status: 404, code: "not_found"},
		{id: "13-double-slash", path: "//v1//clients", body: goodClient, status: 404, code: "not_found"},
		// 16. queries
		{id: "16-limit-0", role: access.Auditor, method: "GET", path: "/v1/events?limit=0", status: 400, code: "validation_failed", pointer: "limit"},
		{id: "16-limit-negative", role: access.Auditor, method: "GET", path: "/v1/events?limit=-1", status: 400, code: "validation_failed"},
		{id: "16-limit-huge", role: access.Auditor, method: "GET", path: "/v1/events?limit=1000000000", status: 400, code: "validation_failed"},
		{id: "16-limit-text", role: access.Auditor, method: "GET", path: "/v1/events?limit=" + marker, status: 400, code: "validation_failed"},
		{id: "16-cursor", role: access.Auditor, method: "GET", path: "/v1/events?after=" + marker, status: 400, code: "cursor_invalid"},
		{id: "16-cursor-other-order", role: access.Auditor, method: "GET", path: "/v1/events?order=asc&after=MSAxIDEgMSB0cnVl", status: 400, code: "cursor_invalid"},
		{id: "16-from-after-to", role: access.Auditor, method: "GET", path: "/v1/events?since=2026-03-02T00:00:00Z&until=2026-03-01T00:00:00Z", status: 400, code: "validation_failed", pointer: "until"},
		{id: "16-sort-injection", role: access.Auditor, method: "GET", path: "/v1/events?order=seq;drop", status: 400, code: "validation_failed"},
		{id: "16-unknown-filter", role: access.Auditor, method: "GET", path: "/v1/events?" + marker + "=1", status: 400, code: "validation_failed"},
		{id: "16-twice", role: access.Auditor, method: "GET", path: "/v1/events?limit=1&limit=2", status: 400, code: "validation_failed"},
		{id: "16-two-subjects", role: access.Auditor, method: "GET", path: "/v1/events?userId=usr_" + key + "&subjectId=usr_" + key, status: 400, code: "validation_failed"},
		{id: "16-many-types", role: access.Auditor, method: "GET", path: "/v1/events?type=A" + strings.Repeat("&type=A", 20), status: 400, code: "validation_failed"},
		{id: "16-timeline-kind", role: access.Auditor, method: "GET", path: "/v1/timelines/phone/usr_" + key, status: 400, code: "validation_failed"},
		{id: "16-timeline-invented", role: access.Auditor, method: "GET", path: "/v1/timelines/planet/usr_" + key, status: 400, code: "validation_failed"},
		{id: "16-min-position", method: "GET", path: user, header: []string{headerMinPosition, "-1"}, status: 400, code: "validation_failed"},
	}
	return append(append(rows, badIDs()...), badNumbers()...)
}

// 3. Identifiers.
func badIDs() []bad {
	var rows []bad
	for name, id := range map[string]string{
		"nul": "%00", "dots": "..%2f..%2fetc", "encoded-dots": "%2e%2e", "long": strings.Repeat("0", 65), "rtl": "usr_%E2%80%AE" + strings.Repeat("0", 25),
		"zero-width": "usr_%E2%80%8B" + strings.Repeat("0", 25), "homoglyph": "us%D0%B3_" + strings.Repeat("0", 26), "uuid": "00000000-0000-0000-0000-000000000000",
		"all": "$all", "system": "$ce-user", "meta": "$$user-1", "quote": "'", "emoji": "%F0%9F%98%80", "upper": "USR_" + strings.Repeat("0", 26),
		"other-prefix": "clt_" + strings.Repeat("0", 26), "number": "usr_" + strings.Repeat("0", 26) + "_1", "letter-w": "usr_w" + strings.Repeat("0", 25),
		"huge": strings.Repeat("a", 10000),
	} {
		rows = append(rows, bad{id: "3-" + name, method: "GET", path: "/v1/users/" + id, status: 400, code: "validation_failed", pointer: "userId"})
	}
	return rows
}

// 4. Phone numbers: refused before anything is recorded, and never sent to.
func badNumbers() []bad {
	var rows []bad
	for name, n := range map[string]string{
		"no-plus": "85261234567", "double-zero": "0085261234567", "16-digits": "+8526123456712345", "unknown-code": "+999123456789",
		"satellite": "+881612345678", "inmarsat": "+870772001234", "global-toll-free": "+80012345678", "hk-7": "+8526123456", "hk-9": "+852612345678",
		"india-starting-0": "+910234567890", "extension": "+85261234567;ext=1", "extension-word": "+85261234567 ext. 5", "fullwidth": "+８５２６１２３４５６７",
		"arabic-indic": "+٨٥٢٦١٢٣٤٥٦٧", "emergency": "+852999", "emergency-112": "112", "premium-de": "+4990012345678", "shared-cost-uk": "+448431234567",
		"toll-free-us": "+18005550123", "letters": "+1800FLOWERS", "url": "tel:+85261234567", "zero-width": "+852\u200b61234567",
	} {
		rows = append(rows, bad{id: "4-" + name, path: "/v1/users/{user}/phones", body: `{"number":"` + n + `"}`, status: 422, code: "phone_invalid"})
	}
	rows = append(rows, bad{id: "4-crlf", path: "/v1/users/{user}/phones", body: `{"number":"+85261234567\r\nX: 1"}`, status: 400, code: "json_invalid"})
	return rows
}

func TestBadInputIsRefusedAndLeavesNoTrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	before := w.head()
	for _, row := range badInputs() {
		method, path, role := orText(row.method, "POST"), strings.ReplaceAll(orText(row.path, "/v1/clients"), "{user}", w.user), row.role
		if role == "" {
			role = access.Frontend
		}
		r := w.request(role, method, path, []byte(row.body), append([]string{headerKey, w.newKey()}, row.header...)...)
		for i := 0; i+1 < len(row.header); i += 2 {
			if row.header[i+1] == "" {
				r.Header.Del(row.header[i])
			}
		}
		a := w.do(r)
		if a.status != row.status || a.header.Get("Content-Type") != mediaProblem {
			t.Errorf("%s: got %d %s, want %d", row.id, a.status, a.body, row.status)
			continue
		}
		if got := a.code(t); got != row.code {
			t.Errorf("%s: code %s, want %s: %s", row.id, got, row.code, a.body)
		}
		if row.pointer != "" && !bytes.Contains(a.body, []byte(`"pointer":"`+row.pointer+`"`)) {
			t.Errorf("%s: no pointer %s: %s", row.id, row.pointer, a.body)
		}
		if bytes.Contains(a.body, []byte(marker)) || bytes.Contains(a.body, []byte("6123456")) || len(a.body) > 2000 {
			t.Errorf("%s: the answer repeats what was sent: %.300s", row.id, a.body)
		}
		if got := w.head(); got != before {
			t.Errorf("%s: %d events were appended", row.id, got-before)
			before = got
		}
	}
	w.quiet(marker, "6123456")
}

func orText(v, otherwise string) string {
	if v == "" {
		return otherwise
	}
	return v
}

func TestAcceptableNumbers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]number{
		"+85261234567":      {"+85261234567", "HK", "mobile"},
		"+852 6123 4567":    {"+85261234567", "HK", "mobile"},
		"+852 2123 4567":    {"+85221234567", "HK", "fixed"},
		"+919876543210":     {"+919876543210", "IN", "mobile"},
		"+1 (202) 555-0143": {"+12025550143", "US", "unknown"},
		"+49 170 1234567":   {"+491701234567", "DE", "mobile"},
		"+81 90-1234-5678":  {"+819012345678", "JP", "mobile"},
		"+44 7400 123456":   {"+447400123456", "GB", "mobile"},
		"+81 50-1234-5678":  {"+815012345678", "JP", "voip"},
		"+41 44 668 18 00":  {"+41446681800", "CH", "fixed"},
	} {
		if got, err := parseNumber(text); err != nil || got != want {
			t.Errorf("parseNumber(%s) = %+v, %v; want %+v", text, got, err, want)
		}
	}
	if got := mask("+12025550143"); got != "+1 •••• 0143" {
		t.Errorf("mask: %s", got)
	}
}

func TestEveryAnswerIsGuarded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"/healthz", "/docs", "/v1/nothing", "/v1/meta/reason-codes"} {
		a := w.get(access.Auditor, path, "X-Request-Id", "bad id\x7f")
		for name, value := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
		} {
			if got := a.header.Get(name); got != value {
				t.Errorf("%s: %s = %q, want %q", path, name, got, value)
			}
		}
		if id := a.header.Get("X-Request-Id"); len(id) != 16 {
			t.Errorf("%s: request id %q", path, id)
		}
	}
	if a := w.get(access.Auditor, "/healthz", "X-Request-Id", "caller-0001"); a.header.Get("X-Request-Id") != "caller-0001" {
		t.Errorf("a good request id was replaced by %q", a.header.Get("X-Request-Id"))
	}
	if a := w.get(access.Auditor, "/docs"); a.status != http.StatusOK || !bytes.Contains(a.body, []byte("/v1/authentications")) || bytes.Contains(a.body, []byte("http://")) || bytes.Contains(a.body, []byte("**")) {
		t.Errorf("reference page: %d", a.status)
	}
	for code := range problemKinds {
		if a := w.get(access.Auditor, "/problems/"+code); a.status != http.StatusOK || !bytes.Contains(a.body, []byte(code)) {
			t.Errorf("page of %s: %d", code, a.status)
		}
	}
	if a := w.get(access.Auditor, "/openapi.yaml"); a.status != http.StatusOK || !bytes.Equal(a.body, specificationText) {
		t.Errorf("specification: %d", a.status)
	}
}
