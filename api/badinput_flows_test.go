package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
)

// hostile is one row of the catalogue of bad input (security.md section 9,
// categories 5 to 12): what is sent to a listening server, and everything that
// may come of it.
type hostile struct {
	id     string
	role   access.Role // frontend when empty
	method string      // POST when empty
	path   string
	body   any // text as it is, anything else as JSON; a func() any is asked just before
	header []string
	status int
	code   string   // of a problem; empty for an outcome
	reason string   // reasonCode of an outcome
	events []string // appended by it, in order
	counts int      // by how much the user's failure count grows
}

// attack sends the rows one after the other to a server of its own.
func (w *world) attack(t *testing.T, user string, rows []hostile) {
	t.Helper()
	address, _ := serve(t, w)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	for _, row := range rows {
		content := row.content(t)
		before, failures := w.head(), w.failures(user)
		status, body := w.send(t, client, address, row, content)
		if status != row.status {
			t.Errorf("%s: got %d %s, want %d", row.id, status, body, row.status)
		}
		var answer struct {
			Code, ReasonCode, LastAttempt, SessionRef string
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			t.Errorf("%s: answer is not JSON: %s", row.id, body)
		}
		if answer.Code != row.code || answer.ReasonCode != row.reason {
			t.Errorf("%s: code %q, reason %q; want %q, %q: %s", row.id, answer.Code, answer.ReasonCode, row.code, row.reason, body)
		}
		if strings.HasSuffix(row.path, "/responses") && status == http.StatusOK && (answer.LastAttempt != "incorrect" || answer.SessionRef != "") {
			t.Errorf("%s: not the answer of a failure: %s", row.id, body)
		}
		if got := w.since(before); !cmp.Equal(got, row.events) {
			t.Errorf("%s: appended %v, want %v", row.id, got, row.events)
		}
		if got := w.failures(user) - failures; got != row.counts {
			t.Errorf("%s: %d failures counted, want %d", row.id, got, row.counts)
		}
		if strings.Contains(string(body), marker) || row.code != "" && len(body) > 2000 {
			t.Errorf("%s: the answer repeats what was sent: %.300s", row.id, body)
		}
	}
	w.quiet(marker)
}

func (h hostile) content(t *testing.T) []byte {
	t.Helper()
	body := h.body
	if f, ok := body.(func() any); ok {
		body = f()
	}
	switch body := body.(type) {
	case nil:
		return nil
	case string:
		return []byte(body)
	}
	return must[[]byte](t)(json.Marshal(body))
}

func (w *world) send(t *testing.T, client *http.Client, address string, h hostile, content []byte) (int, []byte) {
	t.Helper()
	method, role := orText(h.method, http.MethodPost), h.role
	if role == "" {
		role = access.Frontend
	}
	r := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), method, "http://"+address+h.path, bytes.NewReader(content)))
	r.Header.Set("Authorization", "Bearer "+w.api[role])
	if method == http.MethodPost {
		r.Header.Set(headerKey, w.newKey())
	}
	if len(content) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(h.header); i += 2 {
		r.Header.Set(h.header[i], h.header[i+1])
	}
	res := must[*http.Response](t)(client.Do(r))
	defer res.Body.Close()
	return res.StatusCode, must[[]byte](t)(io.ReadAll(res.Body))
}

// since lists the types of what was appended after a position; nil for nothing.
func (w *world) since(position eventstore.Sequence) []string {
	w.t.Helper()
	var types []string
	for r, err := range w.store.ReadAll(w.t.Context(), position+1) {
		if err != nil {
			w.t.Fatal(err)
		}
		types = append(types, r.Type)
	}
	return types
}

// failures is the user's count of consecutive failures.
func (w *world) failures(user string) (n int) {
	w.t.Helper()
	if user == "" {
		return 0
	}
	err := w.journal.User(w.t.Context(), user, func(u *domain.User, now time.Time) error {
		n = u.FailureCount(now)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// response is the body of an answer to a challenge.
func response(text string) map[string]any { return map[string]any{"response": text} }

// other is a code of the same length that is another one.
func other(code string) string {
	return fmt.Sprintf("%0*d", len(code), (atoi(code)+1)%pow10(len(code)))
}

func atoi(s string) (n int) {
	for _, c := range s {
		n = 10*n + int(c-'0')
	}
	return n
}

func pow10(n int) int {
	v := 1
	for range n {
		v *= 10
	}
	return v
}

// Category 5: codes. A failure looks like every other, and counts only when a
// living challenge was answered wrong.
func TestBadCodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	first := w.login("platform", "client_portal").Challenge
	foreign := w.login("platform", "client_portal").Challenge
	path := "/v1/challenges/" + first.Id + "/responses"
	code, otherCode := w.codeFor(domain.PurposeLogin, first.Id), w.codeFor(domain.PurposeLogin, foreign.Id)
	rejected := []string{"ResponseRejected"}
	var rows []hostile
	for name, text := range map[string]string{
		"five digits": "12345", "seven digits": "1234567", "letters": "abcdef", "fullwidth": "１２３４５６", "arabic-indic": "١٢٣٤٥٦",
		"space inside": "123 456", "space before": " 12345", "sign": "+12345", "hexadecimal": "0x1234", "decimal point": "12345.",
		"exponent": "1e0005", "password": "hunter2 " + marker,
	} {
		rows = append(rows, hostile{id: "5-" + name, path: path, body: response(text), status: 200, events: rejected})
	}
	rows = append(rows,
		hostile{id: "5-number", path: path, body: `{"response":12345}`, status: 400, code: "validation_failed"},
		hostile{id: "5-null", path: path, body: `{"response":null}`, status: 400, code: "validation_failed"},
		hostile{id: "5-list", path: path, body: `{"response":["` + marker + `"]}`, status: 400, code: "validation_failed"},
		hostile{id: "5-empty", path: path, body: response(""), status: 400, code: "validation_failed"},
		hostile{id: "5-65 characters", path: path, body: response(strings.Repeat("1", 65)), status: 400, code: "validation_failed"},
		hostile{id: "5-control character", path: path, body: response("12345\n"), status: 400, code: "json_invalid"},
		hostile{id: "5-two answers", path: path, body: `{"response":"000000","response":"` + code + `"}`, status: 400, code: "json_invalid"},
		hostile{id: "5-other login", path: path, body: map[string]any{"response": code, "authenticationId": foreign.AuthenticationId}, status: 200, events: rejected},
		hostile{id: "5-other challenge's code", path: path, body: response(otherCode), status: 200, events: rejected, counts: 1},
		hostile{id: "5-wrong", path: path, body: response(other(code)), status: 200, events: rejected, counts: 1},
		hostile{id: "5-last wrong", path: path, body: response(other(other(code))), status: 200,
			events: []string{"ResponseRejected", "ChallengeExhausted", "AuthenticationFailed"}, counts: 1},
		hostile{id: "5-right after the last", path: path, body: response(code), status: 200, events: rejected},
		hostile{id: "5-previous after resend", path: "/v1/challenges/" + foreign.Id + "/responses", body: func() any {
			w.clock.advance(2 * time.Minute)
			w.post(access.Frontend, "/v1/challenges/"+foreign.Id+"/resend", nil)
			return response(otherCode)
		}, status: 200, events: rejected},
		hostile{id: "5-expired", path: "/v1/challenges/" + foreign.Id + "/responses", body: func() any {
			newest := w.codeFor(domain.PurposeLogin, foreign.Id)
			w.clock.advance(10 * time.Minute)
			return response(newest)
		}, status: 200, reason: "CHALLENGE_EXPIRED", events: rejected},
		hostile{id: "5-unknown challenge", path: strings.Replace(path, first.Id, "chl"+w.user[3:]+"_999", 1), body: response(code), status: 404, code: "not_found"},
		hostile{id: "5-code in the query", path: path + "?response=" + code, body: response(code), status: 400, code: "validation_failed"},
	)
	w.attack(t, w.user, rows)
}

// Used codes, and activation codes, which have reasons of their own.
func TestBadCodesOfProcesses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	done := w.login("platform", "client_portal").Challenge
	code := w.codeFor(domain.PurposeLogin, done.Id)
	w.respond(done.Id, code, "allow")
	w.enrollIBKey()
	w.clock.advance(3 * time.Minute)
	m := w.moving(w.install("ibkr_mobile", "ios", "hs-2"), 201)
	path := "/v1/migrations/" + m.MigrationId + "/proof"
	right := w.codeFor(domain.PurposeMigration, m.MigrationId)
	rejected := []string{"ActivationCodeRejected"}
	w.attack(t, w.user, []hostile{
		{id: "5-used", path: "/v1/challenges/" + done.Id + "/responses", body: response(code), status: 200, events: []string{"ResponseRejected"}},
		{id: "5-activation short", role: access.Device, path: path, body: map[string]any{"code": right[:7]}, status: 200, reason: "RESPONSE_MALFORMED", events: rejected},
		{id: "5-activation alphabet", role: access.Device, path: path, body: map[string]any{"code": "ÄÖÜ" + marker}, status: 200, reason: "RESPONSE_MALFORMED", events: rejected},
		{id: "5-activation of SMS", role: access.Device, path: path, body: map[string]any{"code": code + "00"}, status: 200, reason: "ACTIVATION_CODE_WRONG", events: rejected},
		{id: "5-activation wrong", role: access.Device, path: path, body: map[string]any{"code": "00000000"}, status: 200, reason: "ACTIVATION_CODE_WRONG", events: rejected},
		{id: "5-activation last", role: access.Device, path: path, body: map[string]any{"code": "00000001"}, status: 200, reason: "ACTIVATION_CODE_WRONG", events: rejected},
		{id: "5-activation exhausted", role: access.Device, path: path, body: map[string]any{"code": right}, status: 200, reason: "ACTIVATION_CODE_EXHAUSTED", events: rejected},
		{id: "5-activation elsewhere", role: access.Device, path: "/v1/enrollments/enr" + m.MigrationId[3:] + "/activation", body: map[string]any{"code": right}, status: 404, code: "not_found"},
		{id: "5-activation late", role: access.Device, path: path, body: func() any {
			w.clock.advance(10 * time.Minute)
			return map[string]any{"code": right}
		}, status: 200, reason: "ACTIVATION_CODE_EXHAUSTED", events: []string{"ActivationCodeRejected", "MigrationExpired"}},
	})
}
