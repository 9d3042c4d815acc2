package domain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const number = "+85251234567"

// carriers are the ways a personal datum or a secret may reach a printer.
func carriers() map[string]any {
	p, s := Clear(number), Secret(number)
	return map[string]any{
		"personal": p, "pointer to personal": &p, "sealed personal": Sealed(number), "secret": s, "pointer to secret": &s,
		"event": PhoneNumberAdded{PhoneID: "phn", Number: p}, "command": SubmitResponse{ChallengeID: "chl", Response: s},
		"pointer to command": &ConfirmPhone{Code: s}, "slice": []any{p, s}, "map": map[string]any{"k": p, "l": s},
		"push": DecidePush{Document: s}, "wrapped": fmt.Errorf("confirm %v", p),
	}
}

func TestPersonalDataAndSecretsAreNotPrintedUnderAnyVerb(t *testing.T) {
	t.Parallel()
	for name, v := range carriers() {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%t", "%c", "%e", "%10s", "%.2s", "%!", "%T %v"} {
			text := fmt.Sprintf(verb, v, v)
			if leaks(text) {
				t.Errorf("%s under %s: %s", name, verb, text)
			}
		}
	}
}

func TestPersonalDataAndSecretsAreNotLogged(t *testing.T) {
	t.Parallel()
	values := carriers()
	delete(values, "sealed personal") // ciphertext may be logged; here it would look like a leak
	for name, v := range values {
		var out bytes.Buffer
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			log := slog.New(h).With("bound", v)
			log.Info("request", "value", v, slog.Group("group", "inner", v))
		}
		if text := out.String(); leaks(text) {
			t.Errorf("%s: %s", name, text)
		} else if !strings.Contains(text, "request") {
			t.Errorf("%s: nothing was logged", name)
		}
	}
}

func leaks(text string) bool {
	return strings.Contains(text, number) || strings.Contains(strings.ToLower(text), fmt.Sprintf("%x", number)) || strings.Contains(text, number[3:])
}

func TestClearDatumCannotBeEncodedAndSealedOneCan(t *testing.T) {
	t.Parallel()
	if b, err := json.Marshal(PhoneNumberAdded{Number: Clear(number)}); !errors.Is(err, errNotSealed) {
		t.Errorf("encoded a clear datum: %s, %v", b, err)
	}
	b, err := json.Marshal(PhoneNumberAdded{Number: Sealed("c2VhbGVk")})
	if err != nil {
		t.Fatal(err)
	}
	var back PhoneNumberAdded
	if err := json.Unmarshal(b, &back); err != nil || back.Number.SealedText() != "c2VhbGVk" || back.Number.ClearText() != "" {
		t.Errorf("read back %q, %v", back.Number.SealedText(), err)
	}
	if Clear(number).ClearText() != number || Clear(number).SealedText() != "" || !(Personal{}).IsZero() || Clear(number).IsZero() {
		t.Error("a datum is not what was put into it")
	}
	if Clear(number).String() != redacted || Secret(number).String() != redacted {
		t.Error("String does not redact")
	}
}
