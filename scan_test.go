package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/authledger/authledger/api/gen"
)

// TestNothingSecretIsWritten runs logins of every kind and then searches every
// file of the data directory and everything the program printed for the
// secrets that were used: codes, responses, numbers to match, keys, clear phone
// numbers and user names.
func TestNothingSecretIsWritten(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), "--log-level", "debug")
	u := newPerson(p, "scan-subject", "HK", "HK")
	v, confirm := u.startVerification()
	wrong := "918273"
	u.check(v, wrong)
	u.check(v, confirm)
	u.p.until("SMS is enrolled", func() bool { return u.kinds() == "sms" })

	sms := u.authenticate("login", "client_portal", "verified")
	login := p.codeFor(string(sms.Challenge.Delivery.MessageId))
	u.respond(sms.Challenge.Id, "777333")
	u.respond(sms.Challenge.Id, login)
	u.withIBKey("android", "fingerprint")
	push := u.authenticate("login", "tws", "verified")
	p.mustRun("phone", "approve", "--file", u.phone, "--number", push.Challenge.MatchNumber)
	push2 := u.authenticate("login", "tws", "verified")
	var next gen.Challenge
	p.post("frontend", "/v1/challenges/"+string(push2.Challenge.Id)+"/fallback", gen.FallbackRequest{Cause: "poor_link"}, &next)
	response := p.mustRun("phone", "respond", "--file", u.phone, "--pin", "ab12", "--challenge", next.OfflineChallenge)
	u.respond(next.Id, response)

	var inPhone struct {
		Users []struct {
			Secret []byte `json:"secret"`
		} `json:"users"`
	}
	b, err := os.ReadFile(u.phone)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &inPhone); err != nil || len(inPhone.Users) != 1 || len(inPhone.Users[0].Secret) < 16 {
		t.Fatalf("the phone holds no key: %v", err)
	}
	activation := ""
	var inbox gen.InboxList
	if _, err := p.as("operator").Get(t.Context(), "/dev/inbox", nil, &inbox); err != nil {
		t.Fatal(err)
	}
	for _, m := range inbox.Items {
		if code := regexp.MustCompile(`^[0-9A-HJKMNP-TV-Z]{8}\b`).FindString(m.Text); code != "" {
			activation = code
		}
	}

	secret := inPhone.Users[0].Secret
	needles := map[string][]byte{
		"clear phone number": []byte(u.number), "national number": []byte(strings.TrimPrefix(u.number, "+852")),
		"user name": []byte("user-scan-subject"), "activation code": []byte(activation),
		"OCRA key": secret, "OCRA key in hex": []byte(hex.EncodeToString(secret)),
		"OCRA key in base64url": []byte(base64.RawURLEncoding.EncodeToString(secret)), "response": []byte(response),
	}
	for role, key := range p.keys {
		needles["API key of "+role] = []byte(key)
	}
	// Six digits also occur by chance inside ciphertext, ids and times, so for
	// them a hit is six digits that stand alone.
	digits := map[string]string{
		"confirm code": confirm, "wrong confirm code": wrong, "login code": login, "wrong login code": "777333",
		"number to match": push.Challenge.MatchNumber, "second number to match": push2.Challenge.MatchNumber, "challenge": next.OfflineChallenge,
	}
	for name, needle := range needles {
		if len(needle) < 8 {
			t.Fatalf("%s is %q: the test looks for nothing", name, needle)
		}
	}
	p.stop()

	texts := map[string][]byte{"standard error": []byte(p.stderr.String())}
	err = filepath.WalkDir(p.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		texts[path], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(texts) < 5 {
		t.Fatalf("only %d files to search", len(texts))
	}
	for where, text := range texts {
		for name, needle := range needles {
			if bytes.Contains(text, needle) {
				t.Errorf("%s stands in %s", name, where)
			}
		}
		for name, code := range digits {
			if code == "" {
				t.Fatalf("no %s: the test looks for nothing", name)
			}
			if regexp.MustCompile(`(^|[^0-9A-Za-z.])` + code + `($|[^0-9A-Za-z])`).Match(text) {
				t.Errorf("%s stands in %s", name, where)
			}
		}
	}
	if !bytes.Contains(texts[filepath.Join(p.data, "ledger.db")], []byte("AuthenticationSucceeded")) {
		t.Error("the scan did not reach the events: ledger.db holds no AuthenticationSucceeded")
	}
}
