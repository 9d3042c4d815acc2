package journal

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

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

	w.tour()

	hunted := append([]string{number, "anna.muster", "Anna's phone", "Zürich", "192.0.2.7", "Hauptstraße", "1234567890"}, w.typed...)
	if len(hunted) < 50 {
		t.Fatalf("only %d secrets were collected", len(hunted))
	}
	for _, r := range w.records() {
		stored := string(r.Data) + string(r.Metadata)
		for _, secret := range hunted {
			if holds(blurred(stored), secret) || holds(stored, fmt.Sprintf("%x", secret)) {
				t.Errorf("%s at revision %d of %s contains a secret of %d characters", r.Type, r.Revision, r.Stream, len(secret))
			}
		}
	}
}

// holds reports whether a secret stands in a text. A PIN is looked for as a
// whole word: by chance, four digits occur in longer ones.
func holds(text, secret string) bool {
	if len(secret) > 4 {
		return strings.Contains(text, secret)
	}
	return slices.Contains(strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }), secret)
}

// tour lives through every flow in which somebody types, keeps or is told a
// secret, each with a user of its own.
func (w *world) tour() {
	w.t.Helper()
	w.user = w.person("u-11", "+491700000011") // card: order, PIN, a wrong one, change of PIN
	c := w.unit("1", suiteCardPIN)
	c.ship(w.user, "7391")
	id := c.activate(w.user, "7391")
	login := w.ask(w.user, domain.TWS).ChallengeID
	w.submit(login, c.respond(login, w.remember("2846")))
	w.submit(login, c.respond(login, "7391"))
	change := event[domain.ChallengeIssued](w.t, w.do(domain.ChangeDevicePIN{
		AuthenticatorID: id, TxnID: w.begin(w.user, domain.PurposePINChange), PIN: domain.Secret(w.remember("6158")),
	})).ChallengeID
	w.submit(change, c.respond(change, "6158"))

	w.user = w.person("u-12", "+491700000012") // online card
	cardID, cells := w.onlineCard()
	asked := event[domain.ChallengeIssued](w.t, w.do(domain.ActivateCodeCard{AuthenticatorID: cardID}))
	w.submit(asked.ChallengeID, domain.Secret(typed(cells, asked)))

	w.user = w.person("u-13", "+491700000013") // temporary passcode, read out by an agent
	w.ibkey = w.app(domain.AppIBKRMobile, domain.IOS, "handset-13").enroll(w.user, domain.UVFaceID)
	_, passcode := w.temporary()
	w.submit(w.ask(w.user, domain.TWS).ChallengeID, domain.Secret(flippedText(passcode)))
	w.submit(w.ask(w.user, domain.TWS).ChallengeID, domain.Secret(passcode))

	w.user = w.person("u-14", "+491700000014") // reset password in the app
	mine := w.app(domain.AppIBKRMobile, domain.IOS, "handset-14")
	ibkey := mine.enroll(w.user, domain.UVFaceID)
	w.verified(w.user)
	collect := mine.collection(w.deliver("Sommer-Regen-77"), w.clock.time())
	w.remember(string(collect.Proof))
	w.do(collect)
	key, _, err := w.j.OCRASecret(w.t.Context(), w.user, ibkey)
	if err != nil {
		w.t.Fatal(err)
	}
	w.remember(string(key))
	w.remember(base64.StdEncoding.EncodeToString(key))
	w.clock.advance(3 * time.Minute) // recovery by handover, which is a secret signature
	again := w.app(domain.AppIBKRMobile, domain.IOS, "handset-14")
	handover := mine.sign(handoverPrefix, HandoverText(w.user, mine.id, again.id))
	w.remember(string(handover))
	w.do(domain.StartRecovery{
		UserID: w.user, InstallationID: again.id, TxnID: w.begin(w.user, domain.PurposeRecovery), Cause: "reinstalled", Handover: handover,
	})

	w.user = w.person("u-15", "+491700000015") // migration by code
	w.app(domain.AppIBKRMobile, domain.IOS, "handset-15").enroll(w.user, domain.UVFaceID)
	target := w.app(domain.AppIBKRMobile, domain.IOS, "handset-16")
	out := w.do(domain.StartMigration{UserID: w.user, InstallationID: target.id, TxnID: w.begin(w.user, domain.PurposeMigration)})
	code := w.codeOf(domain.PurposeMigration, event[domain.ActivationCodeIssued](w.t, out))
	w.do(domain.ProveMigration{MigrationID: event[domain.MigrationStarted](w.t, out).MigrationID, Code: code})

	w.user = w.person("u-16", "+491700000016") // voice
	i := event[domain.LoginCodeIssued](w.t, w.do(domain.RequestVoiceCall{ChallengeID: w.ask(w.user, domain.ClientPortal).ChallengeID}))
	w.submit(i.ChallengeID, w.code(domain.PurposeLogin, i.ChallengeID, domain.Issued{Seq: i.Seq, Kid: i.Kid, Len: i.CodeLen}))
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
	push := withoutSecrets(domain.DecidePush{Document: "314159", Signature: "314159"}).(domain.DecidePush)
	if push.Signature != "" {
		t.Error("DecidePush keeps its signature")
	}
	secrets := 0
	for _, c := range commands() {
		told := reflect.New(reflect.TypeOf(c)).Elem()
		for i := range told.NumField() {
			if told.Field(i).Type() == reflect.TypeFor[domain.Secret]() {
				told.Field(i).SetString("314159")
				secrets++
			}
		}
		v := reflect.ValueOf(withoutSecrets(told.Interface().(domain.Command)))
		for i := range v.NumField() {
			if v.Field(i).Kind() == reflect.String && v.Field(i).String() == "314159" {
				t.Errorf("%s keeps its %s", c.Name(), v.Type().Field(i).Name)
			}
		}
	}
	if secrets < 12 {
		t.Errorf("only %d secret fields in all commands", secrets)
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
