package delivery

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// WebhookName is the generic gateway's name in the ledger and in the path of
// its receipts.
const WebhookName = "generic"

// WebhookConfig says where messages go.
type WebhookConfig struct {
	URL     string        // https, or http to a loopback address
	Secret  string        // Standard Webhooks form: optional whsec_ and base64 of 24 to 64 bytes
	Timeout time.Duration // of one hand-over; 10 s
	// Now is the clock of signatures; time.Now. Receivers compare it with their
	// own, so it must be the real one, in a demonstration too.
	Now func() time.Time
}

// Webhook is the generic gateway: it posts each message as JSON to one URL,
// signed as Standard Webhooks 1.0 says, so that any provider is a small
// program away. It holds idle connections until Close.
type Webhook struct {
	url    string
	signer *standardwebhooks.Webhook
	client *http.Client
	now    func() time.Time
}

// secretMin and secretMax bound the key, as Standard Webhooks recommends.
const secretMin, secretMax = 24, 64

// NewWebhook checks the configuration. Its errors never quote the secret.
func NewWebhook(cfg WebhookConfig) (*Webhook, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || u.User != nil {
		return nil, errors.New("webhook URL: want https://host/path without user name and password")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return nil, errors.New("webhook URL: want https; http is for a loopback address only")
	}
	key, err := webhookKey(cfg.Secret)
	if err != nil {
		return nil, err
	}
	signer, err := standardwebhooks.NewWebhookRaw(key)
	if err != nil {
		return nil, errors.New("webhook secret: cannot be used")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 10 * time.Second
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	return &Webhook{
		url: cfg.URL, signer: signer, now: cfg.Now,
		client: &http.Client{
			Transport: transport, Timeout: cfg.Timeout,
			// A redirect would hand code and number to somebody the operator did not name.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Name implements Gateway.
func (w *Webhook) Name() string { return WebhookName }

// Close releases idle connections.
func (w *Webhook) Close() error {
	w.client.CloseIdleConnections()
	return nil
}

// webhookBody is what is posted. Members that do not apply are absent.
type webhookBody struct {
	Type      string      `json:"type"` // delivery.sms.requested, and so on for every kind
	Timestamp time.Time   `json:"timestamp"`
	Data      webhookData `json:"data"`
}

// webhookData is the message. What is done with it depends on its kind:
//
//   - sms: text goes to the number in to; the sender's name begins with
//     senderPrefix, if there is one.
//   - voice: the number in to is called and script is spoken in the language
//     locale. There is no text, so that a receiver that does not know calls
//     cannot take the script for a text message.
//   - email: text, a copy of a code, goes to the address the broker knows of
//     userId.
//   - push: text goes to the app of installationId, as a hint to fetch
//     challengeId.
//   - notice: text, about topic, goes by channel to the address the broker
//     knows of userId.
//
// What carries a code must not be handed on after expiresAt.
type webhookData struct {
	MessageID      string     `json:"messageId"`
	UserID         string     `json:"userId"`
	To             string     `json:"to,omitempty"`
	Text           string     `json:"text,omitempty"`
	Script         string     `json:"script,omitempty"`
	SenderPrefix   string     `json:"senderPrefix,omitempty"`
	TemplateID     string     `json:"templateId"`
	Locale         string     `json:"locale"`
	InstallationID string     `json:"installationId,omitempty"`
	ChallengeID    string     `json:"challengeId,omitempty"`
	ExpiresAt      *time.Time `json:"expiresAt,omitempty"`
	Topic          string     `json:"topic,omitempty"`
	Channel        string     `json:"channel,omitempty"`
}

// Send implements Gateway. 2xx is accepted, of a call: it is being dialled; and
// 4xx is rejected. Everything else, a time-out included, is uncertain and is
// not tried again.
func (w *Webhook) Send(ctx context.Context, m Message) Result {
	request, err := w.request(ctx, m)
	if err != nil {
		return Result{Outcome: Rejected, Code: "not_encodable"}
	}
	response, err := w.client.Do(request)
	if err != nil {
		return Result{Outcome: Uncertain, Code: transportCode(err)}
	}
	defer response.Body.Close()
	result := Result{Ref: m.ID, Code: "http_" + strconv.Itoa(response.StatusCode)}
	switch response.StatusCode / 100 {
	case 2:
		result.Outcome = Accepted
		answer := readAnswer(response.Body)
		if answer.ProviderMessageID != "" {
			result.Ref = answer.ProviderMessageID
		}
		result.Sender = answer.SenderID
	case 4:
		result.Outcome = Rejected
	}
	return result
}

func (w *Webhook) request(ctx context.Context, m Message) (*http.Request, error) {
	at := w.now().UTC()
	data := webhookData{
		MessageID: m.ID, UserID: m.UserID, To: string(m.To), Text: string(m.Text), TemplateID: m.TemplateID, Locale: m.Locale,
		InstallationID: m.InstallationID, ChallengeID: m.ChallengeID, Topic: m.Topic, Channel: m.Channel, SenderPrefix: m.SenderPrefix,
	}
	if m.Kind == Voice {
		data.Text, data.Script = "", data.Text
	}
	if !m.ExpiresAt.IsZero() {
		data.ExpiresAt = &m.ExpiresAt
	}
	body, err := json.Marshal(webhookBody{Type: "delivery." + string(m.Kind) + ".requested", Timestamp: at, Data: data})
	if err != nil {
		return nil, fmt.Errorf("encode message %s: %w", m.ID, err)
	}
	signature, err := w.signer.Sign(m.ID, at, body)
	if err != nil {
		return nil, fmt.Errorf("sign message %s: %w", m.ID, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("address message %s: %w", m.ID, err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "authledger")
	request.Header.Set(standardwebhooks.HeaderWebhookID, m.ID)
	request.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(at.Unix(), 10))
	request.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	return request, nil
}

// webhookAnswer is what a provider may answer with; all of it is optional.
type webhookAnswer struct {
	ProviderMessageID string `json:"providerMessageId"`
	SenderID          string `json:"senderId"`
}

// maxAnswer bounds an answer, maxRef what of it reaches the ledger.
const maxAnswer, maxRef = 64 << 10, 128

func readAnswer(body io.Reader) webhookAnswer {
	b, err := io.ReadAll(io.LimitReader(body, maxAnswer))
	var a webhookAnswer
	if err != nil || json.Unmarshal(b, &a) != nil || !reference(a.ProviderMessageID) || !reference(a.SenderID) {
		return webhookAnswer{} // accepted all the same; the references are a courtesy
	}
	return a
}

// reference accepts printable ASCII of a bounded length.
func reference(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return len(s) <= maxRef
}

// transportCode classifies an error without quoting it: it may hold the URL.
func transportCode(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	}
	return "transport"
}

// webhookKey decodes a Standard Webhooks secret. The library would take an
// empty or short one.
func webhookKey(secret string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) < secretMin || len(key) > secretMax {
		return nil, fmt.Errorf("webhook secret: want whsec_ and base64 of %d to %d bytes", secretMin, secretMax)
	}
	return key, nil
}
