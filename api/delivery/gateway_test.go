package delivery

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/authledger/authledger/domain"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr"

func sample() Message {
	return Message{
		ID: "sms_1", Kind: SMS, UserID: "usr_1", To: number, Text: "123456 is your code", TemplateID: "login_code@1", Locale: "en", ExpiresAt: noon,
	}
}

func newWebhook(t *testing.T, url string, timeout time.Duration) *Webhook {
	t.Helper()
	w, err := NewWebhook(WebhookConfig{URL: url, Secret: secret, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func TestMessagePrintsNeitherTextNorNumber(t *testing.T) {
	t.Parallel()
	m := sample()
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	logger.Info("sent", "message", m, "pointer", &m, "list", []Message{m}, "entry", InboxMessage{Message: m})
	encoded, err := json.Marshal(map[string]any{"m": m, "inbox": InboxMessage{Message: m}})
	if err != nil {
		t.Fatal(err)
	}
	printed := log.String() + string(encoded) + m.String() + fmt.Sprintf("%v %+v %#v %s %q %v %+v", m, m, m, m, m, &m, InboxMessage{Message: m})
	for _, secret := range []string{"123456", "4915112345678"} {
		if strings.Contains(printed, secret) {
			t.Errorf("prints %s: %s", secret, printed)
		}
	}
	if !strings.Contains(printed, "sms_1") {
		t.Errorf("does not name the message: %s", printed)
	}
}

func TestWebhookSignsAndMapsAnswers(t *testing.T) {
	t.Parallel()
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		status int
		answer string
		want   Result
	}{
		"accepted":                     {200, `{"providerMessageId":"SM1","senderId":"IBKR"}`, Result{Outcome: Accepted, Ref: "SM1", Sender: "IBKR", Code: "http_200"}},
		"accepted without a reference": {202, ``, Result{Outcome: Accepted, Ref: "sms_1", Code: "http_202"}},
		"accepted with rubbish":        {200, "{\"providerMessageId\":\"\\u0000<script>\"}", Result{Outcome: Accepted, Ref: "sms_1", Code: "http_200"}},
		"reference too long":           {200, `{"providerMessageId":"` + strings.Repeat("x", 129) + `"}`, Result{Outcome: Accepted, Ref: "sms_1", Code: "http_200"}},
		"refused":                      {422, ``, Result{Outcome: Rejected, Ref: "sms_1", Code: "http_422"}},
		"provider broken":              {500, ``, Result{Outcome: Uncertain, Ref: "sms_1", Code: "http_500"}},
		"redirect":                     {307, ``, Result{Outcome: Uncertain, Ref: "sms_1", Code: "http_307"}},
	} {
		var mu sync.Mutex
		calls := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			calls++
			mu.Unlock()
			body, _ := io.ReadAll(r.Body)
			if err := verifier.Verify(body, r.Header); err != nil {
				t.Errorf("%s: signature: %v", name, err)
			}
			var got map[string]any
			if err := json.Unmarshal(body, &got); err != nil {
				t.Errorf("%s: body: %v", name, err)
			}
			want := map[string]any{
				"messageId": "sms_1", "userId": "usr_1", "to": number, "text": "123456 is your code", "templateId": "login_code@1",
				"locale": "en", "expiresAt": "2026-11-23T12:00:00Z",
			}
			if diff := cmp.Diff(want, got["data"]); diff != "" || got["type"] != "delivery.sms.requested" {
				t.Errorf("%s: %v (-want +got):\n%s", name, got["type"], diff)
			}
			if r.Header.Get("webhook-id") != "sms_1" || r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: headers %v", name, r.Header)
			}
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.answer)
		}))
		got := newWebhook(t, server.URL, 0).Send(t.Context(), sample())
		server.Close()
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if calls != 1 {
			t.Errorf("%s: %d calls, want 1", name, calls)
		}
	}
}

func TestWebhookTimeoutAndOutageAreUncertain(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	r := newWebhook(t, server.URL, 20*time.Millisecond).Send(t.Context(), sample())
	if r.Outcome != Uncertain || r.Code != "timeout" {
		t.Errorf("time-out: %+v", r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := newWebhook(t, server.URL, 0).Send(ctx, sample()); r.Outcome != Uncertain || r.Code != "cancelled" {
		t.Errorf("cancelled: %+v", r)
	}
	close(release)
	server.Close()
	if r := newWebhook(t, server.URL, 0).Send(t.Context(), sample()); r.Outcome != Uncertain || r.Code != "transport" {
		t.Errorf("nobody there: %+v", r)
	}
}

func TestNewWebhookRefusesUnsafeConfiguration(t *testing.T) {
	t.Parallel()
	for _, c := range []WebhookConfig{
		{URL: "", Secret: secret}, {URL: "ftp://example.com", Secret: secret}, {URL: "http://example.com", Secret: secret},
		{URL: "https://user:pass@example.com", Secret: secret}, {URL: "https://", Secret: secret}, {URL: "http://127.0.0.1.example.com", Secret: secret},
		{URL: "https://example.com"}, {URL: "https://example.com", Secret: "whsec_"}, {URL: "https://example.com", Secret: "whsec_c2hvcnQ="},
		{URL: "https://example.com", Secret: "whsec_???"},
	} {
		if _, err := NewWebhook(c); err == nil {
			t.Errorf("no error for %q", c.URL)
		} else if c.Secret != "" && strings.Contains(err.Error(), strings.TrimPrefix(c.Secret, "whsec_")) && len(c.Secret) > 6 {
			t.Errorf("error quotes the secret: %v", err)
		}
	}
	for _, u := range []string{"https://example.com/x", "http://127.0.0.1:1/x", "http://[::1]:1", "http://localhost:1"} {
		if _, err := NewWebhook(WebhookConfig{URL: u, Secret: secret}); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
}

// Each kind of message has a body of its own.
func TestWebhookBodiesByKind(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var got map[string]any
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		got = nil
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Errorf("body: %v", err)
		}
	}))
	defer server.Close()
	w := newWebhook(t, server.URL, 0)
	common := func(m map[string]any) map[string]any {
		m["messageId"], m["userId"], m["templateId"], m["locale"] = "m1", "usr_1", "t@1", "en"
		return m
	}
	for _, c := range []struct {
		m    Message
		want map[string]any
	}{
		{Message{Kind: SMS, To: number, Text: "x", SenderPrefix: "#", ExpiresAt: noon}, map[string]any{
			"to": number, "text": "x", "senderPrefix": "#", "expiresAt": "2026-11-23T12:00:00Z",
		}},
		{Message{Kind: Voice, To: number, Text: "x", ExpiresAt: noon}, map[string]any{"to": number, "script": "x", "expiresAt": "2026-11-23T12:00:00Z"}},
		{Message{Kind: Email, Text: "x", Channel: "email", ExpiresAt: noon}, map[string]any{
			"text": "x", "channel": "email", "expiresAt": "2026-11-23T12:00:00Z",
		}},
		{Message{Kind: Push, Text: "x", InstallationID: "i", ChallengeID: "c", ExpiresAt: noon}, map[string]any{
			"text": "x", "installationId": "i", "challengeId": "c", "expiresAt": "2026-11-23T12:00:00Z",
		}},
		{Message{Kind: Notice, Text: "x", Topic: "login", Channel: "email"}, map[string]any{"text": "x", "topic": "login", "channel": "email"}},
	} {
		c.m.ID, c.m.UserID, c.m.TemplateID, c.m.Locale = "m1", "usr_1", "t@1", "en"
		if r := w.Send(t.Context(), c.m); r.Outcome != Accepted {
			t.Fatalf("%s: %+v", c.m.Kind, r)
		}
		mu.Lock()
		if diff := cmp.Diff(common(c.want), got["data"]); diff != "" || got["type"] != "delivery."+string(c.m.Kind)+".requested" {
			t.Errorf("%v (-want +got):\n%s", got["type"], diff)
		}
		mu.Unlock()
	}
}

func TestInboxSendsAsTheRulesDemand(t *testing.T) {
	t.Parallel()
	b := NewInbox(time.Now)
	for range 2 {
		if r := b.Send(t.Context(), Message{ID: "1", Kind: SMS, SenderPrefix: "#"}); r.Sender != "#inbox" {
			t.Errorf("sender %q", r.Sender)
		}
	}
	if r := b.Send(t.Context(), Message{ID: "2", Kind: Voice}); r.Outcome != Accepted || r.Sender != InboxName {
		t.Errorf("call: %+v", r)
	}
}

func TestInboxKeepsTheNewest(t *testing.T) {
	t.Parallel()
	at := noon
	b := NewInbox(func() time.Time { at = at.Add(time.Second); return at })
	for i := range inboxSize + 3 {
		m := Message{ID: fmt.Sprint(i), Kind: SMS, UserID: "usr_" + fmt.Sprint(i%2), Text: domain.Secret(fmt.Sprint(i))}
		if r := b.Send(t.Context(), m); r.Outcome != Accepted || r.Ref != m.ID {
			t.Fatalf("message %d: %+v", i, r)
		}
	}
	version := b.Version()
	b.Send(t.Context(), Message{ID: fmt.Sprint(inboxSize), Kind: SMS}) // again
	all, one := b.Messages(""), b.Messages("usr_1")
	if len(all) != inboxSize || all[0].ID != fmt.Sprint(inboxSize+2) || all[inboxSize-1].ID != "3" || b.Version() != version {
		t.Errorf("%d messages from %s to %s", len(all), all[0].ID, all[len(all)-1].ID)
	}
	for i := 1; i < len(all); i++ {
		if !all[i].At.Before(all[i-1].At) {
			t.Fatalf("message %d is not older than the one before", i)
		}
	}
	if len(one) != inboxSize/2 || one[0].ID != fmt.Sprint(inboxSize+1) {
		t.Errorf("%d messages of one user, first %s", len(one), one[0].ID)
	}
	if got := NewInbox(time.Now).Messages(""); len(got) != 0 {
		t.Errorf("empty inbox has %d messages", len(got))
	}
}
