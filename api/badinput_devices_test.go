package api

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain/ocra"
)

// offline computes a response of a key under a suite, some minutes away.
func offline(t *testing.T, suite string, key []byte, in ocra.Input) string {
	t.Helper()
	return must[string](t)(must[ocra.Suite](t)(ocra.Parse(suite)).Compute(key, in))
}

// Category 6: OCRA. Suites are fixed at the binding; a request brings nothing
// but digits.
func TestBadResponsesOfIBKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	key := w.enrollIBKey()
	w.acts(access.Frontend, "/v1/users/"+w.user+"/seamless", map[string]any{"enabled": false}, recorded, "")
	seed := must[[]byte](t)(base64.RawURLEncoding.DecodeString(key.Ocra.Secret))
	step := func() uint64 { return uint64(w.clock.Now().Unix() / 60) }
	at := func(c gen.Challenge, steps int) func() any {
		return func() any {
			return response(offline(t, key.Ocra.Suite, seed, ocra.Input{Question: c.OfflineChallenge, Time: step() + uint64(steps)}))
		}
	}
	first, second := w.login().Challenge, w.login().Challenge
	if first.OfflineChallenge[0] == '0' || second.OfflineChallenge[0] == '0' {
		t.Fatalf("a question begins with 0: %s, %s", first.OfflineChallenge, second.OfflineChallenge)
	}
	path := "/v1/challenges/" + first.Id + "/responses"
	rejected := []string{"ResponseRejected"}
	var rows []hostile
	for name, text := range map[string]string{
		"seven digits": "1234567", "nine digits": "123456789", "letters": "ABCDEFGH", "hexadecimal": "0x123456", "spaces": "1234 5678",
		"fullwidth": "１２３４５６７８", "the question": first.OfflineChallenge, "a secret": marker,
	} {
		rows = append(rows, hostile{id: "6-" + name, path: path, body: response(text), status: 200, events: rejected})
	}
	rows = append(rows,
		hostile{id: "6-suite", path: path, body: map[string]any{"response": "12345678", "suite": "OCRA-1:HOTP-SHA1-4:QN04"}, status: 400, code: "validation_failed"},
		hostile{id: "6-question", path: path, body: map[string]any{"response": "12345678", "question": "000000"}, status: 400, code: "validation_failed"},
		hostile{id: "6-time", path: path, body: map[string]any{"response": "12345678", "time": 0}, status: 400, code: "validation_failed"},
		hostile{id: "6-negative", path: path, body: `{"response":-12345678}`, status: 400, code: "validation_failed"},
		hostile{id: "6-three steps late", path: path, body: at(first, -3), status: 200, events: rejected, counts: 1},
		hostile{id: "6-three steps early", path: path, body: at(first, 3), status: 200, events: rejected, counts: 1},
		hostile{id: "6-other question", path: path, body: at(second, 0), status: 200,
			events: []string{"ResponseRejected", "ChallengeExhausted", "AuthenticationFailed"}, counts: 1},
		hostile{id: "6-right after the last", path: path, body: at(first, 0), status: 200, events: rejected},
	)
	path = "/v1/challenges/" + second.Id + "/responses"
	rows = append(rows,
		hostile{id: "6-other key", path: path, body: func() any {
			return response(offline(t, key.Ocra.Suite, []byte(strings.Repeat("k", 32)), ocra.Input{Question: second.OfflineChallenge, Time: step()}))
		}, status: 200, events: rejected, counts: 1},
		hostile{id: "6-weaker suite", path: path, body: func() any {
			return response(offline(t, "OCRA-1:HOTP-SHA1-8:QN06-T1M", seed, ocra.Input{Question: second.OfflineChallenge, Time: step()}))
		}, status: 200, events: rejected, counts: 1},
		hostile{id: "6-without time", path: path, body: func() any {
			return response(offline(t, "OCRA-1:HOTP-SHA256-8:QN06", seed, ocra.Input{Question: second.OfflineChallenge}))
		}, status: 200, events: []string{"ResponseRejected", "ChallengeExhausted", "AuthenticationFailed"}, counts: 1},
	)
	w.attack(t, w.user, rows)
	// The two steps on either side that D-49 allows, and only once.
	last := w.login().Challenge
	late := at(last, -2)().(map[string]any)["response"].(string)
	w.respond(last.Id, late, gen.ResultAllow)
	w.respond(last.Id, late, gen.ResultDeny)
}

func TestBadResponsesOfTheCard(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPSKC)
	w.register()
	w.enrollSMS()
	w.enrollIBKey()
	card := w.card("SN-1", w.user)
	id := w.activateCard(card, w.user)
	ask := func() gen.Challenge {
		login := w.login("challenge", "defer")
		return want[gen.Challenge](t, w.post(access.Frontend, "/v1/authentications/"+login.AuthenticationId+"/challenges", map[string]any{"authenticatorId": id}), 201)
	}
	suite := must[ocra.Suite](t)(ocra.Parse(dscSuite))
	at := func(c gen.Challenge, counter uint64, pin string) any {
		return response(offline(t, dscSuite, card.seed, ocra.Input{Question: c.OfflineChallenge, Counter: counter, PINHash: suite.HashPIN([]byte(pin))}))
	}
	first, second := ask(), ask()
	path := "/v1/challenges/" + first.Id + "/responses"
	rejected, dead := []string{"ResponseRejected"}, []string{"ResponseRejected", "ChallengeExhausted", "AuthenticationFailed"}
	w.attack(t, w.user, []hostile{
		{id: "6-used counter", path: path, body: at(first, card.counter-1, "4711"), status: 200, events: rejected, counts: 1},
		{id: "6-counter too far", path: path, body: at(first, card.counter+11, "4711"), status: 200, events: rejected, counts: 1},
		{id: "6-wrong PIN", path: path, body: at(first, card.counter, "4712"), status: 200, events: dead, counts: 1},
		{id: "6-right for a dead challenge", path: path, body: at(first, card.counter, "4711"), status: 200, events: rejected},
		{id: "6-for another challenge", path: "/v1/challenges/" + second.Id + "/responses", body: at(first, card.counter, "4711"), status: 200, events: rejected, counts: 1},
		{id: "6-without PIN", path: "/v1/challenges/" + second.Id + "/responses", body: response(offline(t, "OCRA-1:HOTP-SHA256-8:C-QN06", card.seed,
			ocra.Input{Question: second.OfflineChallenge, Counter: card.counter})), status: 200, events: rejected, counts: 1},
	})
	card.counter += 10 // used elsewhere; the last one D-49 looks ahead to
	w.respond(second.Id, card.answer(second.OfflineChallenge), gen.ResultAllow)
}

// document is a decision as the app would sign it, with changes.
func (w *world) document(c gen.Challenge, change map[string]any) string {
	w.t.Helper()
	doc := map[string]any{
		"challengeId": c.Id, "transactionId": c.AuthenticationId, "installationId": w.installation, "decision": "approve",
		"matchedNumber": c.MatchNumber, "uv": "face_id", "deviceTime": w.clock.Now().Format(time.RFC3339Nano), "shown": map[string]any{"platform": "tws"},
	}
	for name, value := range change {
		if doc[name] = value; value == nil {
			delete(doc, name)
		}
	}
	return string(must[[]byte](w.t)(json.Marshal(doc)))
}

// Category 7: push. Whatever is wrong with document or signature is one and
// the same answer, and counts nothing; only a wrong number and a refusal do.
func TestBadPushDecisions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	w.enrollIBKey()
	stranger := w.install("ibkr_mobile", "ios", "hs-9")
	c, next := w.login().Challenge, w.loginNow().Challenge
	decision := func(h string, c gen.Challenge) string {
		return "/v1/installations/" + h + "/challenges/" + c.Id + "/decision"
	}
	own := handset{w.installation, w.key}
	signed := func(h handset, document string) map[string]any {
		return map[string]any{"document": document, "signature": h.sign(t, "authledger/push/v1\n"+document)}
	}
	good := w.document(c, nil)
	signature := own.sign(t, "authledger/push/v1\n"+good)
	der := must[[]byte](t)(base64.RawURLEncoding.DecodeString(signature))
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &rs); err != nil {
		t.Fatal(err)
	}
	raw := append(rs.R.FillBytes(make([]byte, 32)), rs.S.FillBytes(make([]byte, 32))...)
	zero := must[[]byte](t)(asn1.Marshal(struct{ R, S *big.Int }{big.NewInt(0), rs.S}))
	with := func(sig []byte) map[string]any {
		return map[string]any{"document": good, "signature": base64.RawURLEncoding.EncodeToString(sig)}
	}
	_, edKey, _ := ed25519.GenerateKey(nil)
	rejected := []string{"ResponseRejected"}
	forged := func(id string, body any) hostile {
		return hostile{id: "7-" + id, role: access.Device, path: decision(w.installation, c), body: body, status: 200, events: rejected}
	}
	rows := []hostile{
		{id: "7-unsigned", role: access.Device, path: decision(w.installation, c), body: map[string]any{"document": good}, status: 400, code: "validation_failed"},
		{id: "7-empty signature", role: access.Device, path: decision(w.installation, c), body: map[string]any{"document": good, "signature": ""}, status: 400, code: "validation_failed"},
		{id: "7-not base64url", role: access.Device, path: decision(w.installation, c), body: map[string]any{"document": good, "signature": "+/=="}, status: 400, code: "validation_failed"},
		{id: "7-algorithm in the request", role: access.Device, path: decision(w.installation, c), body: map[string]any{"document": good, "signature": signature, "alg": "none"}, status: 400, code: "validation_failed"},
		forged("other phone's key", signed(stranger, good)),
		forged("truncated", with(der[:len(der)-1])),
		forged("trailing byte", with(append(append([]byte(nil), der...), 0))),
		forged("raw instead of DER", with(raw)),
		forged("r is zero", with(zero)),
		forged("other algorithm", with(ed25519.Sign(edKey, []byte("authledger/push/v1\n"+good)))),
		forged("other purpose", map[string]any{"document": good, "signature": own.sign(t, "authledger/request/v1\n"+good)}),
		forged("no prefix", map[string]any{"document": good, "signature": own.sign(t, good)}),
		forged("changed after signing", map[string]any{"document": strings.Replace(good, "approve", "approve ", 1), "signature": signature}),
		forged("other login's document", signed(own, w.document(next, nil))),
		forged("other transaction", signed(own, w.document(c, map[string]any{"transactionId": next.AuthenticationId}))),
		forged("other installation", signed(own, w.document(c, map[string]any{"installationId": stranger.id}))),
		forged("member twice", signed(own, strings.Replace(good, `"decision":"approve"`, `"decision":"approve","decision":"deny"`, 1))),
		forged("member in another case", signed(own, strings.Replace(good, `"decision"`, `"Decision"`, 1))),
		forged("unknown member", signed(own, w.document(c, map[string]any{"amount": 1}))),
		forged("neither yes nor no", signed(own, w.document(c, map[string]any{"decision": "maybe"}))),
		forged("two documents", signed(own, good+good)),
		forged("no time", signed(own, w.document(c, map[string]any{"deviceTime": nil}))),
		forged("no number", signed(own, w.document(c, map[string]any{"matchedNumber": nil}))),
		forged("no local check", signed(own, w.document(c, map[string]any{"uv": "none"}))),
		{id: "7-path of another phone", role: access.Device, path: decision(stranger.id, c), body: signed(stranger, w.document(c, map[string]any{"installationId": stranger.id})), status: 200, events: rejected},
		{id: "7-typed on the login page", path: "/v1/challenges/" + c.Id + "/responses", body: response(c.MatchNumber), status: 400, code: "validation_failed"},
		{id: "7-wrong number", role: access.Device, path: decision(w.installation, c), body: signed(own, w.document(c, map[string]any{"matchedNumber": other(c.MatchNumber)})), status: 200, events: rejected, counts: 1},
		{id: "7-declined", role: access.Device, path: decision(w.installation, c), body: signed(own, w.document(c, map[string]any{"decision": "deny", "matchedNumber": nil})), status: 200,
			events: []string{"ResponseRejected", "AnomalyFlagged", "AuthenticationFailed"}, counts: 1},
		{id: "7-approved after the refusal", role: access.Device, path: decision(w.installation, c), body: with(der), status: 200, events: rejected},
		{id: "7-expired", role: access.Device, path: decision(w.installation, next), body: func() any {
			w.clock.advance(3 * time.Minute)
			return signed(own, w.document(next, nil))
		}, status: 200, reason: "CHALLENGE_EXPIRED", events: rejected},
		{id: "7-unknown challenge", role: access.Device, path: strings.Replace(decision(w.installation, c), c.Id, "chl"+w.user[3:]+"_999", 1), body: with(der), status: 404, code: "not_found"},
		{id: "7-key of another algorithm", role: access.Device, path: "/v1/installations", body: map[string]any{
			"app": "ibkr_mobile", "os": "ios", "appVersion": "1", "handsetId": "h", "keyAlgorithm": "Ed25519", "publicKey": base64.RawURLEncoding.EncodeToString(spki(t, w.key)),
		}, status: 422, code: "public_key_invalid"},
		{id: "7-key of small order", role: access.Device, path: "/v1/installations", body: map[string]any{
			"app": "ibkr_mobile", "os": "ios", "appVersion": "1", "handsetId": "h", "keyAlgorithm": "ES256", "publicKey": "MCowBQYDK2VwAyEA" + strings.Repeat("A", 43),
		}, status: 422, code: "public_key_invalid"},
	}
	w.attack(t, w.user, rows)
	// The members' order is the app's business: the exact text is what counts.
	last := w.login().Challenge
	text := `{"uv":"face_id","deviceTime":"2026-03-02T09:00:00Z","matchedNumber":"` + last.MatchNumber + `","decision":"approve","installationId":"` + w.installation +
		`","transactionId":"` + last.AuthenticationId + `","challengeId":"` + last.Id + `"}`
	if a := want[gen.PushDecisionAnswer](t, w.post(access.Device, decision(w.installation, last), signed(own, text)), 200); a.Result != gen.ResultAllow {
		t.Errorf("other order of members: %+v", a)
	}
}

// TestMovedKeyAnswersNothing: after a migration the old phone's signature is
// worth nothing (category 7).
func TestMovedKeyAnswersNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	w.enrollIBKey()
	open := w.login().Challenge
	old := handset{w.installation, w.key}
	text := w.document(open, nil)
	m := w.moving(w.install("ibkr_mobile", "ios", "hs-2"), 201)
	code := w.codeFor("migration", m.MigrationId)
	want[gen.Migration](t, w.post(access.Device, "/v1/migrations/"+m.MigrationId+"/proof", map[string]any{"code": code}), 200)
	done := want[gen.MigrationCompletion](t, w.post(access.Device, "/v1/migrations/"+m.MigrationId+"/complete", map[string]any{"uv": "face_id"}), 200)
	if done.Status != gen.MigrationCompletionStatusCompleted {
		t.Fatalf("migration: %+v", done)
	}
	w.attack(t, w.user, []hostile{{
		id: "7-moved away", role: access.Device, path: "/v1/installations/" + old.id + "/challenges/" + open.Id + "/decision",
		body:   map[string]any{"document": text, "signature": old.sign(t, "authledger/push/v1\n"+text)},
		status: 200, events: []string{"ResponseRejected", "AuthenticationFailed"},
	}})
}

// spki is the public key as an app sends it.
func spki(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	return must[[]byte](t)(x509.MarshalPKIXPublicKey(&key.PublicKey))
}
