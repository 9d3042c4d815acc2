package keyring_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/authledger/authledger/eventstore/keyring"
)

func TestSealedTextOpensOnlyInItsPlace(t *testing.T) {
	t.Parallel()
	k := open(t)
	sealed := seal(t, k, "user-1", event1, "phone", "+85291234567")
	seal(t, k, "user-2", event1, "phone", "x")
	wantOpen(t, k, "user-1", event1, "phone", sealed, "+85291234567")
	for name, at := range map[string]struct {
		subject string
		event   uuid.UUID
		field   string
	}{
		"another subject": {"user-2", event1, "phone"},
		"another event":   {"user-1", event2, "phone"},
		"another field":   {"user-1", event1, "email"},
	} {
		if _, err := k.Open(ctx, at.subject, at.event, at.field, sealed); err == nil {
			t.Errorf("%s: opened", name)
		} else {
			wantErr(t, err, keyring.ErrNotAuthentic)
		}
	}
	_, err := k.Open(ctx, "user-3", event1, "phone", sealed)
	wantErr(t, err, keyring.ErrKeyNotFound)
}

func TestSealedTextForm(t *testing.T) {
	t.Parallel()
	k := open(t)
	clear := "+85291234567"
	sealed := seal(t, k, "user-1", event1, "phone", clear)
	text, ok := strings.CutPrefix(sealed, "k1.")
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if !ok || err != nil || len(raw) != 1+4+12+len(clear)+16 || raw[0] != 1 {
		t.Errorf("sealed text %q: %d bytes, %v", sealed, len(raw), err)
	}
	if again := seal(t, k, "user-1", event1, "phone", clear); again == sealed {
		t.Error("sealing twice gives the same text")
	}
	if !keyring.IsSealed(sealed) || !keyring.IsSealed(seal(t, k, "user-1", event1, "phone", "")) {
		t.Error("IsSealed denies a sealed text")
	}
	for _, s := range []string{"", "k1.", "k1.AQ", clear, "K1." + text, "k2." + text, "k1." + text + "="} {
		if keyring.IsSealed(s) {
			t.Errorf("IsSealed accepts %q", s)
		}
	}
}

func TestChangedTextDoesNotOpen(t *testing.T) {
	t.Parallel()
	k := open(t)
	sealed := seal(t, k, "user-1", event1, "phone", "+852912345678") // 46 bytes: the last character has unused bits
	last := len(sealed) - 1
	changed := []string{"", "k1.", "k1.AAAA", sealed[:last], sealed + "A", sealed + "=", sealed + "\n", "k1.\r" + sealed[3:], "k2" + sealed[2:], sealed[3:]}
	for i := 3; i < len(sealed); i++ { // every character, also those with unused bits
		b := []byte(sealed)
		if b[i]++; b[i] == '[' || b[i] == '{' || b[i] == ':' || b[i] == '`' || b[i] == '.' {
			b[i] = '0'
		}
		changed = append(changed, string(b))
	}
	for _, s := range changed {
		if _, err := k.Open(ctx, "user-1", event1, "phone", s); err == nil {
			t.Errorf("%q opened", s)
		} else {
			wantErr(t, err, keyring.ErrNotAuthentic)
		}
	}
}

// Without lengths these two places would have the same associated data.
func TestPlacesAreKeptApartByLengths(t *testing.T) {
	t.Parallel()
	k := open(t)
	do(t, k.PutSecret(ctx, "user-1", "a", []byte("x")))
	sealed := seal(t, k, "user-1", event1, "ab", "y")
	_, err := k.Open(ctx, "user-1", event1, "a", sealed)
	wantErr(t, err, keyring.ErrNotAuthentic)
}

// A row of keys.db given another name must not open: keys are bound to their
// subjects, epochs to their kids, secrets to their ids.
func TestExchangedRowsDoNotOpen(t *testing.T) {
	t.Parallel()
	dir, c := t.TempDir(), &clock{t: morning}
	k := openDir(t, dir, c)
	sealed := seal(t, k, "user-1", event1, "phone", "x")
	seal(t, k, "user-2", event1, "phone", "x")
	do(t, k.PutSecret(ctx, "user-1", "a", []byte("x")))
	do(t, k.PutSecret(ctx, "user-1", "b", []byte("y")))
	k.Tamper(ctx, t, `UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE id = 'b') WHERE id = 'a'`)
	_, err := k.Secret(ctx, "user-1", "a")
	wantErr(t, err, keyring.ErrNotAuthentic)

	kid, err := k.CurrentKid(ctx)
	do(t, err)
	c.set(morning.AddDate(0, 0, 1))
	other, err := k.CurrentKid(ctx)
	do(t, err)
	k.Tamper(ctx, t, `UPDATE code_epochs SET wrapped = (SELECT wrapped FROM code_epochs WHERE kid = ?) WHERE kid = ?`, other, kid)
	k.Tamper(ctx, t, `UPDATE subject_keys SET wrapped = (SELECT wrapped FROM subject_keys WHERE subject = 'user-2') WHERE subject = 'user-1'`)
	do(t, k.Close())

	k = openDir(t, dir, c)
	_, err = k.Open(ctx, "user-1", event1, "phone", sealed)
	wantErr(t, err, keyring.ErrNotAuthentic)
	_, err = k.Digits(ctx, kid, "p", "s", 0, 6)
	wantErr(t, err, keyring.ErrNotAuthentic)
}
