package keyring_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/authledger/authledger/eventstore/keyring"
)

func TestSecretsDoNotPrint(t *testing.T) {
	t.Parallel()
	const clear = "ABCDEFGHIJ"
	s := keyring.Secret(clear)
	texts := map[string]string{"String": s.String(), "GoString": s.GoString(), "LogValue": s.LogValue().String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%U", "%o", "%b"} {
		texts["fmt "+verb] = fmt.Sprintf(verb, s)
		texts["fmt in a struct "+verb] = fmt.Sprintf(verb, struct{ S keyring.Secret }{s})
	}
	asJSON, err := json.Marshal(map[string]any{"s": s, "in": struct{ S keyring.Secret }{s}})
	do(t, err)
	texts["JSON"] = string(asJSON)
	asKey, err := s.MarshalText()
	do(t, err)
	texts["text"] = string(asKey)
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "s", s)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "s", s, "in", struct{ S keyring.Secret }{s})
	texts["slog"] = log.String()
	for name, text := range texts {
		if !strings.Contains(text, "[redacted]") {
			t.Errorf("%s: %s is not redacted", name, text)
		}
		for _, leak := range []string{clear, "65 66", "6566", "41424344", "0x41", "QUJD", "101 102", "A B", "U+0041"} {
			if strings.Contains(text, leak) {
				t.Errorf("%s: %s leaks", name, text)
			}
		}
	}
}

func TestKeyringDoesNotPrint(t *testing.T) {
	t.Parallel()
	k := open(t)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if got := fmt.Sprintf(verb, k); got != "keyring" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "k", k)
	if !strings.Contains(log.String(), "k=keyring\n") {
		t.Errorf("logged as %s", log.String())
	}
}

// What goes wrong with clear text must not be in the error.
func TestErrorsDoNotQuoteClearText(t *testing.T) {
	t.Parallel()
	k := open(t)
	do(t, k.Destroy(ctx, "user-1"))
	const clear = "+85291234567"
	_, sealErr := k.Seal(ctx, "user-1", event1, "phone", []byte(clear))
	_, openErr := k.Open(ctx, "user-2", event1, "phone", clear)
	_, blindErr := k.Blind(ctx, "", clear)
	_, subjectErr := k.Seal(ctx, clear+"\n", event1, "phone", nil)
	for _, err := range []error{sealErr, openErr, blindErr, subjectErr, k.PutSecret(ctx, "user-1", "a", []byte(clear))} {
		if err == nil || strings.Contains(err.Error(), clear) {
			t.Errorf("got %v", err)
		}
	}
}
