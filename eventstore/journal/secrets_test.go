package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/keyring"
)

// Everything a user types, an app signs or we derive, and everything personal,
// must be found nowhere in the log, in its own spelling or another.
func TestStoredBytesHoldNoSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	challenge, right := w.smsLogin()
	w.do(domain.SubmitResponse{ChallengeID: challenge, Response: domain.Secret(w.remember("hunter2-Passw0rd"))})
	w.do(domain.SubmitResponse{ChallengeID: challenge, Response: right})
	w.bind()
	push := w.login()
	forged := w.decision(push, nil)
	forged.Signature = ""
	w.do(forged)
	w.do(w.decision(push, nil))
	fallen := w.login()
	next := event[domain.ChallengeIssued](t, w.do(domain.RequestFallback{ChallengeID: fallen.ChallengeID, Cause: domain.CausePoorLink}))
	w.do(domain.SubmitResponse{ChallengeID: next.ChallengeID, Response: w.ocraResponse(next.ChallengeID, 1)})

	hunted := append([]string{number, "anna.muster", "Anna's phone", "Zürich", "192.0.2.7"}, w.typed...)
	if len(hunted) < 14 {
		t.Fatalf("only %d secrets were collected", len(hunted))
	}
	for _, r := range w.records() {
		stored := string(r.Data) + string(r.Metadata)
		for _, secret := range hunted {
			if strings.Contains(blurred(stored), secret) || strings.Contains(stored, fmt.Sprintf("%x", secret)) {
				t.Errorf("%s at revision %d of %s contains a secret", r.Type, r.Revision, r.Stream)
			}
		}
	}
}

// blurred drops what is random or a time: by chance, six digits occur there.
func blurred(stored string) string {
	var out []string
	for _, part := range strings.Split(stored, `"`) {
		_, err := time.Parse(time.RFC3339Nano, part)
		hexadecimal := len(part) >= 32 && strings.Trim(part, "0123456789abcdef-") == ""
		if err == nil || hexadecimal || keyring.IsSealed(part) {
			continue
		}
		out = append(out, part)
	}
	return strings.Join(out, `"`)
}

func TestLogsAndErrorsHoldNoSecrets(t *testing.T) {
	t.Parallel()
	var logged bytes.Buffer
	w := newWorld(t, func(c *Config) {
		c.Logger = slog.New(slog.NewTextHandler(&logged, nil))
		c.SMSCounter = func(context.Context, string) (int, error) { return 0, errors.New("views are gone") }
	})
	w.register()
	if logged.Len() == 0 {
		t.Error("a counter that fails was not logged")
	}
	c := domain.SubmitResponse{ChallengeID: "chl_" + strings.TrimPrefix(w.user, "usr_") + "_999", Response: "314159"}
	_, err := w.j.Execute(t.Context(), w.request(c))
	text := fmt.Sprintf("%s %v %+v %#v", logged.String(), err, w.request(c), w.request(c))
	for _, secret := range []string{"314159", number, "192.0.2.7"} {
		if strings.Contains(text, secret) {
			t.Errorf("printed: %s", text)
		}
	}
}

func TestRulesNeverSeeWhatWasTyped(t *testing.T) {
	t.Parallel()
	for _, c := range []domain.Command{
		domain.ConfirmPhone{Code: "314159"}, domain.SubmitActivationCode{Code: "314159"}, domain.SubmitResponse{Response: "314159"},
		domain.DecidePush{Document: "314159", Signature: "314159"},
	} {
		v := reflect.ValueOf(withoutSecrets(c))
		for i := range v.NumField() {
			if strings.Contains(v.Field(i).String(), "314159") {
				t.Errorf("%s keeps its %s", c.Name(), v.Type().Field(i).Name)
			}
		}
	}
}

// A destroyed code key is an answer (the code can no longer be right); an
// erased user's data is not there to be told.
func TestDestroyedKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	challenge, right := w.smsLogin()
	c := w.challenge(challenge)
	w.clock.advance(32 * 24 * time.Hour)
	if kids, err := w.keys.ExpireEpochs(t.Context()); err != nil || len(kids) == 0 {
		t.Fatalf("expired %v, %v", kids, err)
	}
	if r := event[domain.ResponseRejected](t, w.do(domain.SubmitResponse{ChallengeID: challenge, Response: right})); r.Reason == "" {
		t.Error("no reason")
	}
	if _, err := w.j.CodeText(t.Context(), domain.PurposeLogin, challenge, c.Codes[0]); !errors.Is(err, keyring.ErrKeyDestroyed) {
		t.Errorf("code of a destroyed key: %v", err)
	}
	if err := w.keys.Destroy(t.Context(), domain.UserStream(w.user)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.j.PhoneNumber(t.Context(), w.user, w.phone); !errors.Is(err, keyring.ErrKeyDestroyed) {
		t.Errorf("number of an erased user: %v", err)
	}
}

func TestShownDigits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	sms, _ := w.smsLogin()
	if digits, err := w.j.Shown(t.Context(), w.challenge(sms)); digits != "" || err != nil {
		t.Errorf("an SMS challenge shows %q, %v", digits, err)
	}
	w.bind()
	push := w.login()
	match, err := w.j.Shown(t.Context(), w.challenge(push.ChallengeID))
	if err != nil || len(match) != 6 || match[0] == '0' {
		t.Errorf("a push shows %q, %v", match, err)
	}
	plain := w.challenge(push.ChallengeID)
	plain.NumberMatching = false
	if digits, err := w.j.Shown(t.Context(), plain); digits != "" || err != nil {
		t.Errorf("a push without number shows %q, %v", digits, err)
	}
	if _, err := w.j.CodeText(t.Context(), domain.PurposeStepUp, "x", domain.Issued{}); err == nil {
		t.Error("a purpose without codes has one")
	}
}
