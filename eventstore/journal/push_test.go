package journal

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/codec"
)

func TestPushDecisions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.bind()
	set := func(name string, value any) func(map[string]any) { return func(m map[string]any) { m[name] = value } }
	without := func(name string) func(map[string]any) { return func(m map[string]any) { delete(m, name) } }
	c := w.login()
	other := "chl" + strings.TrimPrefix(c.TxnID, "txn")
	for name, tc := range map[string]struct {
		command domain.DecidePush
		want    domain.Code
	}{
		"another challenge":      {w.decision(c, set("challengeId", other)), domain.ReasonSignatureInvalid},
		"another transaction":    {w.decision(c, set("transactionId", c.TxnID+"0")), domain.ReasonSignatureInvalid},
		"another installation":   {w.decision(c, set("installationId", codec.InstallationIDOf([]byte("x")))), domain.ReasonSignatureInvalid},
		"an unknown member":      {w.decision(c, set("amount", 5)), domain.ReasonSignatureInvalid},
		"a member in other case": {w.decision(c, func(m map[string]any) { m["Decision"] = m["decision"]; delete(m, "decision") }), domain.ReasonSignatureInvalid},
		"another decision":       {w.decision(c, set("decision", "maybe")), domain.ReasonSignatureInvalid},
		"no decision":            {w.decision(c, without("decision")), domain.ReasonSignatureInvalid},
		"no device time":         {w.decision(c, without("deviceTime")), domain.ReasonSignatureInvalid},
		"a changed document":     {changed(w.decision(c, nil)), domain.ReasonSignatureInvalid},
		"no signature":           {unsigned(w.decision(c, nil)), domain.ReasonSignatureInvalid},
		"twice the same member":  {w.sign(c.ChallengeID, `{"decision":"deny","decision":"approve"}`), domain.ReasonSignatureInvalid},
		"too large a document":   {w.decision(c, set("shown", strings.Repeat("x", maxDocument))), domain.ReasonSignatureInvalid},
		"no number":              {w.decision(c, without("matchedNumber")), domain.ReasonNumberMatch},
		"a wrong number":         {w.decision(c, set("matchedNumber", "000000")), domain.ReasonResponseWrong},
		"no user verification":   {w.decision(c, set("uv", "none")), domain.ReasonUVRequired},
		"the other system's uv":  {w.decision(c, set("uv", "app_pin")), domain.ReasonUVMethod},
	} {
		out := w.do(tc.command)
		r := event[domain.ResponseRejected](t, out)
		if r.Reason != tc.want || !r.Document.IsZero() {
			t.Errorf("%s: %s, document kept %t", name, r.Reason, !r.Document.IsZero())
		}
	}
	approve := w.decision(c, nil)
	out := w.do(approve)
	v := event[domain.ResponseVerified](t, out)
	if !v.NumberMatched || v.UV != domain.UVFaceID || v.Signature != approve.Signature {
		t.Errorf("verified %+v", v)
	}
	w.verifyYearsLater(out)
}

func changed(c domain.DecidePush) domain.DecidePush {
	c.Document = domain.Secret(strings.Replace(string(c.Document), "Zürich", "Genève", 1))
	return c
}

func unsigned(c domain.DecidePush) domain.DecidePush {
	c.Signature = ""
	return c
}

// verifyYearsLater checks what an auditor can do: open the document and check
// the signature with the key from the installation's stream.
func (w *world) verifyYearsLater(out Outcome) {
	w.t.Helper()
	c := codec.New(w.keys)
	for _, r := range w.records() {
		if r.ID != out.Events[0].ID {
			continue
		}
		d, err := c.Decode(r)
		if err != nil {
			w.t.Fatal(err)
		}
		document, err := c.Reveal(w.t.Context(), d, "document")
		if err != nil {
			w.t.Fatal(err)
		}
		signature := d.Event.(domain.ResponseVerified).Signature
		if err := w.j.Installation(w.t.Context(), w.installation, func(i *domain.Installation) {
			if !verify(i.KeyAlgorithm, i.PublicKey, pushPrefix, []byte(document), signature) {
				w.t.Error("the stored document does not verify")
			}
		}); err != nil {
			w.t.Fatal(err)
		}
		return
	}
	w.t.Error("the event is not in the log")
}

func TestDeclinedPushKeepsWhatWasSigned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.bind()
	out := w.do(w.decision(w.login(), func(m map[string]any) { m["decision"] = "deny"; delete(m, "matchedNumber"); delete(m, "uv") }))
	r := event[domain.ResponseRejected](t, out)
	if r.Reason != domain.ReasonDeclined || r.Document.SealedText() == "" {
		t.Errorf("declined: %+v", r)
	}
	event[domain.AuthenticationFailed](t, out)
}

func TestUnknownInstallationIsNotAuthentic(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.bind()
	c := w.decision(w.login(), nil)
	c.InstallationID = codec.InstallationIDOf([]byte("nobody"))
	if r := event[domain.ResponseRejected](t, w.do(c)); r.Reason != domain.ReasonSignatureInvalid {
		t.Errorf("reason %s", r.Reason)
	}
}

func TestVerifyTakesTheAlgorithmFromTheRegistration(t *testing.T) {
	t.Parallel()
	text := func(key any) string {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(der)
	}
	message := []byte(`{}`)
	signed := append([]byte(pushPrefix), message...)
	digest := sha256.Sum256(signed)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edPublic, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	by := func(key *ecdsa.PrivateKey) string {
		sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(sig)
	}
	byEd := base64.RawURLEncoding.EncodeToString(ed25519.Sign(ed, signed))
	for name, tc := range map[string]struct {
		algorithm domain.KeyAlgorithm
		key       string
		message   []byte
		signature string
		want      bool
	}{
		"P-256":                    {domain.ES256, text(&p256.PublicKey), message, by(p256), true},
		"Ed25519":                  {domain.Ed25519, text(edPublic), message, byEd, true},
		"P-256 as Ed25519":         {domain.Ed25519, text(&p256.PublicKey), message, by(p256), false},
		"Ed25519 as P-256":         {domain.ES256, text(edPublic), message, byEd, false},
		"P-384":                    {domain.ES256, text(&p384.PublicKey), message, by(p384), false},
		"another message":          {domain.ES256, text(&p256.PublicKey), []byte(`{ }`), by(p256), false},
		"a key that is none":       {domain.ES256, "AAAA", message, by(p256), false},
		"key not in base64url":     {domain.ES256, "?", message, by(p256), false},
		"signature not in base64":  {domain.ES256, text(&p256.PublicKey), message, by(p256) + "=", false},
		"no algorithm":             {"", text(&p256.PublicKey), message, by(p256), false},
		"signature of another key": {domain.ES256, text(&p256.PublicKey), message, by(p384), false},
	} {
		if got := verify(tc.algorithm, tc.key, pushPrefix, tc.message, tc.signature); got != tc.want {
			t.Errorf("%s: %t, want %t", name, got, tc.want)
		}
	}
	if verify(domain.ES256, text(&p256.PublicKey), "authledger/request/v1\n", message, by(p256)) {
		t.Error("a signature for one purpose is right for another")
	}
}

func FuzzParseDocument(f *testing.F) {
	good := `{"challengeId":"c","transactionId":"t","installationId":"i","decision":"approve","deviceTime":"2026-03-02T09:00:00Z"}`
	for _, s := range []string{
		good, "", "{}", "null", "[]", good + good, strings.Replace(good, `"c"`, `"c","challengeId":"d"`, 1), strings.Replace(good, "decision", "Decision", 1),
		strings.Replace(good, `"c"`, `"c","shown":{"a":1,"a":2}`, 1), strings.Repeat("[", 100), `{"shown":` + strings.Repeat(`{"a":`, 50),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, ok := parseDocument(b)
		if ok && (d.Decision != "approve" && d.Decision != "deny" || d.DeviceTime.Equal(time.Time{}) || !unambiguous(b)) {
			t.Errorf("accepted %q", b)
		}
	})
}

func TestParseDocumentRefusesAmbiguity(t *testing.T) {
	t.Parallel()
	const good = `{"challengeId":"c","transactionId":"t","installationId":"i","decision":"approve","shown":{"a":[1,{"b":2}]},"deviceTime":"2026-03-02T09:00:00Z"}`
	if _, ok := parseDocument([]byte(good)); !ok {
		t.Fatal("a good document was refused")
	}
	for name, bad := range map[string]string{
		"a member twice":          strings.Replace(good, `"c"`, `"c","challengeId":"d"`, 1),
		"an escaped member twice": strings.Replace(good, `"c"`, `"c","challenge\u0049d":"d"`, 1),
		"twice further down":      strings.Replace(good, `"b":2`, `"b":2,"b":3`, 1),
		"an unknown member":       strings.Replace(good, `"c"`, `"c","x":1`, 1),
		"other case":              strings.Replace(good, `"decision"`, `"DECISION"`, 1),
		"text behind":             good + " {}",
		"an array":                "[" + good + "]",
		"null":                    "null",
		"too deep":                strings.Replace(good, `2}]`, strings.Repeat(`[`, 10)+strings.Repeat(`]`, 10)+`}]`, 1),
		"a number as text":        strings.Replace(good, `"c"`, `7`, 1),
	} {
		if _, ok := parseDocument([]byte(bad)); ok {
			t.Errorf("%s was accepted", name)
		}
	}
}
