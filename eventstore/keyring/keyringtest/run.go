package keyringtest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/keyring"
)

// Run tests what every keyring promises, each test on a home of its own.
func Run(t *testing.T, f Factory) {
	for name, test := range map[string]func(*world){
		"everything is there after a restart":        everythingIsThereAfterARestart,
		"a destroyed subject stays destroyed":        destroyedSubjectStaysDestroyed,
		"secrets are put, replaced and deleted":      secretsArePutReplacedAndDeleted,
		"names do not touch each other":              namesDoNotTouchEachOther,
		"one new subject gets one key":               oneNewSubjectGetsOneKey,
		"many keys are created and destroyed":        manyKeysAreCreatedAndDestroyed,
		"the id of a key outlives it":                keyIDOutlivesTheKey,
		"code keys change daily and expire":          codeKeysChangeDailyAndExpire,
		"one day gets one code key":                  oneDayGetsOneCodeKey,
		"signing keys count their epochs":            signingKeysCountTheirEpochs,
		"a repeated request rotates once":            repeatedRequestRotatesOnce,
		"a new key-encryption key opens everything":  newKEKOpensEverything,
		"a prepared key-encryption key is taken":     preparedKEKIsTaken,
		"keys are listed without material":           keysAreListed,
		"patterns of an erasure name key and secret": patternsNameKeyAndSecret,
		"closed and ended calls say so":              closedAndEndedCalls,
		"limits are kept":                            limitsAreKept,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(newWorld(t, f))
		})
	}
}

func everythingIsThereAfterARestart(w *world) {
	c := w.fill()
	w.check(c)
	w.restart()
	w.check(c)
}

func destroyedSubjectStaysDestroyed(w *world) {
	sealed, kept := w.seal("user-1", "x"), w.seal("user-2", "y")
	w.do(w.k.PutSecret(w.ctx, "user-1", "a", []byte("seed")))
	for range 2 { // the second time changes nothing
		w.do(w.k.Destroy(w.ctx, "user-1", "unknown"))
		w.wantGone("user-1", sealed)
		for _, subject := range []string{"user-1", "unknown"} {
			_, err := w.k.Seal(w.ctx, subject, event1, "phone", []byte("x"))
			w.wantErr(err, keyring.ErrKeyDestroyed)
			_, err = w.k.Secret(w.ctx, subject, "a")
			w.wantErr(err, keyring.ErrKeyDestroyed)
			w.wantErr(w.k.PutSecret(w.ctx, subject, "a", []byte("seed")), keyring.ErrKeyDestroyed)
			w.wantErr(w.k.CreateKeys(w.ctx, "other", subject), keyring.ErrKeyDestroyed)
			w.do(w.k.DeleteSecret(w.ctx, subject, "a"))
			if gone, err := w.k.Destroyed(w.ctx, subject); err != nil || !gone {
				w.Errorf("%s is destroyed: %v, %v", subject, gone, err)
			}
		}
		w.restart()
	}
	w.wantOpen("user-2", kept, "y")
	w.seal("other", "x")
	for _, subject := range []string{"user-2", "nobody"} {
		if gone, err := w.k.Destroyed(w.ctx, subject); err != nil || gone {
			w.Errorf("%s is destroyed: %v, %v", subject, gone, err)
		}
	}
	_, err := w.k.Open(w.ctx, "nobody", event1, "phone", kept)
	w.wantErr(err, keyring.ErrKeyNotFound)
	_, err = w.k.Secret(w.ctx, "nobody", "a")
	w.wantErr(err, keyring.ErrKeyNotFound)
}

func secretsArePutReplacedAndDeleted(w *world) {
	large := string(make([]byte, keyring.MaxSealed))
	for _, value := range []string{"first", "", large, "last"} {
		w.do(w.k.PutSecret(w.ctx, "user-1", "a", []byte(value)))
		w.wantSecret("user-1", "a", value)
	}
	w.do(w.k.PutSecret(w.ctx, "user-1", "b", []byte("other")))
	w.do(w.k.DeleteSecret(w.ctx, "user-1", "a"))
	w.do(w.k.DeleteSecret(w.ctx, "user-1", "a"))
	w.do(w.k.DeleteSecret(w.ctx, "nobody", "a"))
	w.restart()
	_, err := w.k.Secret(w.ctx, "user-1", "a")
	w.wantErr(err, keyring.ErrSecretNotFound)
	w.wantSecret("user-1", "b", "other")
	atOnce(8, func(i int) {
		if err := w.k.PutSecret(w.ctx, "user-1", fmt.Sprint(i), fmt.Append(nil, i)); err != nil {
			w.Error(err)
		}
	})
	for i := range 8 {
		w.wantSecret("user-1", fmt.Sprint(i), fmt.Sprint(i))
	}
}

func namesDoNotTouchEachOther(w *world) {
	c := w.fill()
	ids := map[string]string{}
	for _, name := range names {
		id, err := w.k.KeyID(w.ctx, name)
		w.do(err)
		if other, ok := ids[id]; ok {
			w.Errorf("%q and %q have the key id %s", name, other, id)
		}
		ids[id] = name
	}
	for _, name := range names[2:6] {
		w.do(w.k.Destroy(w.ctx, name))
		c.erased[name] = c.sealed[name]
		delete(c.sealed, name)
		delete(c.secrets, name)
		w.check(c)
	}
}

func oneNewSubjectGetsOneKey(w *world) {
	sealed := make([]string, 32)
	atOnce(len(sealed), func(i int) {
		var err error
		if sealed[i], err = w.k.Seal(w.ctx, "user-new", event1, "phone", fmt.Append(nil, i)); err != nil {
			w.Error(err)
		}
	})
	w.restart()
	for i, s := range sealed {
		w.wantOpen("user-new", s, fmt.Sprint(i))
	}
}

func manyKeysAreCreatedAndDestroyed(w *world) {
	list := subjects("user", 300)
	sealed := w.seal(list[7], "x")
	w.do(w.k.CreateKeys(w.ctx, append(list, list[3], list[3])...))
	w.do(w.k.CreateKeys(w.ctx))
	w.wantOpen(list[7], sealed, "x")
	last := w.seal(list[299], "y")
	w.do(w.k.Destroy(w.ctx, list[:250]...))
	w.restart()
	for _, s := range list[:250] {
		if gone, err := w.k.Destroyed(w.ctx, s); err != nil || !gone {
			w.Fatalf("%s is destroyed: %v, %v", s, gone, err)
		}
	}
	w.wantOpen(list[299], last, "y")
}

func keyIDOutlivesTheKey(w *world) {
	_, err := w.k.KeyID(w.ctx, "user-1")
	w.wantErr(err, keyring.ErrKeyNotFound)
	w.seal("user-1", "x")
	w.seal("user-2", "x")
	first, err := w.k.KeyID(w.ctx, "user-1")
	w.do(err)
	second, err := w.k.KeyID(w.ctx, "user-2")
	w.do(err)
	if first == second || first[0] != 'k' {
		w.Errorf("the keys are named %s and %s", first, second)
	}
	w.do(w.k.Destroy(w.ctx, "user-1"))
	w.restart()
	if again, err := w.k.KeyID(w.ctx, "user-1"); err != nil || again != first {
		w.Errorf("destroyed it is named %q (%v), want %s", again, err, first)
	}
}

func codeKeysChangeDailyAndExpire(w *world) {
	first := w.kid()
	code := w.code(first)
	w.clock.add(24 * time.Hour)
	second := w.kid()
	if first == second || second[:12] != "c2026-11-24-" {
		w.Errorf("kids %s and %s on two days", first, second)
	}
	r, err := w.k.RotateCodeEpoch(w.ctx)
	w.do(err)
	if r.From != second || w.kid() != r.To || r.Number != 1 {
		w.Errorf("rotation %+v from %s", r, second)
	}
	end := time.Date(2026, 12, 24, 0, 0, 0, 0, time.UTC) // the first day, 1 and 30 more
	w.clock.set(end.Add(-time.Microsecond))
	if gone, err := w.k.ExpireEpochs(w.ctx); err != nil || len(gone) != 0 || w.code(first) != code {
		w.Errorf("before its time: destroyed %v, %v", gone, err)
	}
	w.clock.set(end)
	if gone, err := w.k.ExpireEpochs(w.ctx); err != nil || len(gone) != 1 || gone[0] != first {
		w.Errorf("destroyed %v, %v; want %s", gone, err, first)
	}
	if gone, err := w.k.ExpireEpochs(w.ctx); err != nil || len(gone) != 0 {
		w.Errorf("again: destroyed %v, %v", gone, err)
	}
	w.restart()
	_, err = w.k.Digits(w.ctx, first, "login.sms", "chl_1", 0, 6)
	w.wantErr(err, keyring.ErrKeyDestroyed)
	_, err = w.k.Digits(w.ctx, "c2026-11-23-00000000", "login.sms", "chl_1", 0, 6)
	w.wantErr(err, keyring.ErrKeyNotFound)
	epochs, err := w.k.Epochs(w.ctx)
	if err != nil || len(epochs) != 3 || epochs[0].Kid != first || !epochs[0].Destroyed.Equal(end) || !epochs[2].Destroyed.IsZero() || epochs[2].Kid != r.To {
		w.Errorf("epochs %+v, %v", epochs, err)
	}
	w.clock.set(morning) // a clock that goes back gets a new key, not the destroyed one
	if third := w.kid(); third == first {
		w.Errorf("%s is current although it is destroyed", third)
	}
}

func oneDayGetsOneCodeKey(w *world) {
	kids := make([]string, 32)
	atOnce(len(kids), func(i int) {
		var err error
		if kids[i], err = w.k.CurrentKid(w.ctx); err != nil {
			w.Error(err)
		}
	})
	for _, kid := range kids {
		if kid != kids[0] {
			w.Fatalf("kids %s and %s on one day", kids[0], kid)
		}
	}
	if epochs, err := w.k.Epochs(w.ctx); err != nil || len(epochs) != 1 {
		w.Errorf("epochs %+v, %v; want one", epochs, err)
	}
}

func signingKeysCountTheirEpochs(w *world) {
	if keys, err := w.k.SigningKeys(w.ctx); err != nil || len(keys) != 0 {
		w.Fatalf("a new keyring has signing keys %v, %v", keys, err)
	}
	atOnce(8, func(int) {
		if _, err := w.k.NewSigningKey(w.ctx); err != nil {
			w.Error(err)
		}
	})
	w.restart()
	keys, err := w.k.SigningKeys(w.ctx)
	w.do(err)
	if len(keys) != 8 {
		w.Fatalf("%d keys, want 8", len(keys))
	}
	for i, key := range keys {
		if int(key.Epoch) != i+1 || !key.CreatedAt.Equal(morning) {
			w.Errorf("key %+v at place %d", key, i)
		}
		w.wantSignature(key)
	}
	w.clock.add(time.Hour)
	for range 2 { // the second time changes nothing
		w.do(w.k.RetireSigningKey(w.ctx, 3))
		_, err = w.k.Sign(w.ctx, 3, nil)
		w.wantErr(err, keyring.ErrKeyDestroyed)
		w.clock.add(time.Hour)
	}
	if keys, err = w.k.SigningKeys(w.ctx); err != nil || !keys[2].Retired.Equal(morning.Add(time.Hour)) {
		w.Errorf("retired %+v, %v", keys[2], err)
	}
	_, err = w.k.Sign(w.ctx, 9, nil)
	w.wantErr(err, keyring.ErrKeyNotFound)
	w.wantErr(w.k.RetireSigningKey(w.ctx, 9), keyring.ErrKeyNotFound)
}

func repeatedRequestRotatesOnce(w *world) {
	c := w.fill()
	before, err := w.k.Rotations(w.ctx, 0)
	w.do(err)
	kinds := []keyring.RotationKind{keyring.KindKeyEncryption, keyring.KindCodeEpoch, keyring.KindSigning}
	requests := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
	var first []keyring.Rotation
	for i, kind := range kinds {
		answers := make([]keyring.Rotation, 4)
		atOnce(len(answers), func(a int) {
			var err error
			if answers[a], err = w.k.Rotate(w.ctx, kind, requests[i]); err != nil {
				w.Error(err)
			}
		})
		for _, a := range answers {
			if !reflect.DeepEqual(a, answers[0]) || a.Request != requests[i] || a.To == "" || a.From == "" || a.Kind != kind {
				w.Errorf("answers %+v and %+v", a, answers[0])
			}
		}
		first = append(first, answers[0])
	}
	w.restart()
	for i, kind := range kinds {
		if r, err := w.k.Rotate(w.ctx, kind, requests[i]); err != nil || !reflect.DeepEqual(r, first[i]) {
			w.Errorf("after a restart %+v, %v; want %+v", r, err, first[i])
		}
	}
	notes, err := w.k.Rotations(w.ctx, int64(len(before)))
	if err != nil || !reflect.DeepEqual(notes, first) {
		w.Errorf("noted %+v, %v; want %+v", notes, err, first)
	}
	_, err = w.k.Rotate(w.ctx, keyring.KindSigning, requests[0])
	w.wantErr(err, keyring.ErrInvalid)
	_, err = w.k.Rotate(w.ctx, "unknown", uuid.New())
	w.wantErr(err, keyring.ErrInvalid)
	_, err = w.k.Rotate(w.ctx, keyring.KindSigning, uuid.Nil)
	w.wantErr(err, keyring.ErrInvalid)
	for name, sealed := range c.sealed {
		w.wantOpen(name, sealed, name)
	}
}

func newKEKOpensEverything(w *world) {
	c := w.fill()
	list, err := w.k.Keys(w.ctx)
	w.do(err)
	for range 3 {
		r, err := w.k.RotateKEK(w.ctx)
		w.do(err)
		// Every living subject, two code keys, two signing keys, two first values; in
		// side streams keys of the house may be met under the new one already.
		if want := len(c.sealed) + 2 + 2 + 2; r.Rewrapped > want || r.Rewrapped < len(c.sealed) || r.From != list[0].ID || r.To == r.From || !r.At.Equal(morning) {
			w.Errorf("rotation %+v, want %d keys from %s", r, want, list[0].ID)
		}
		w.check(c)
		w.restart()
		w.check(c)
		list, err = w.k.Keys(w.ctx)
		if err != nil || list[0].ID != r.To || list[1].Kind == list[0].Kind || !list[0].Since.Equal(morning) {
			w.Errorf("listed %+v, %v", list[:2], err)
		}
	}
}

func preparedKEKIsTaken(w *world) {
	c := w.fill()
	id, err := keyring.PrepareKEKFile(w.file)
	w.do(err)
	if again, err := keyring.PrepareKEKFile(w.file); err != nil || again != id {
		w.Errorf("prepared %s, %v; want %s", again, err, id)
	}
	w.restart() // a prepared key changes nothing
	w.check(c)
	if list, err := w.k.Keys(w.ctx); err != nil || list[0].ID == id || list[1].Kind == list[0].Kind {
		w.Errorf("listed %+v, %v", list[:2], err)
	}
	r, err := w.k.RotateKEK(w.ctx)
	if err != nil || r.To != id {
		w.Errorf("rotated to %s, %v; want %s", r.To, err, id)
	}
	w.check(c)
	w.restart()
	w.check(c)
}

func keysAreListed(w *world) {
	if list, err := w.k.Keys(w.ctx); err != nil || len(list) != 1 || list[0].Kind != "key_encryption" || list[0].State != keyring.InUse {
		w.Fatalf("a new keyring lists %+v, %v", list, err)
	}
	c := w.fill()
	list, err := w.k.Keys(w.ctx)
	w.do(err)
	count := map[string]int{}
	for _, line := range list {
		count[line.Kind+" "+string(line.State)] += line.Count
	}
	delete(count, "secret in_use") // only a home that can tell counts them
	want := map[string]int{
		"key_encryption in_use": 1, "signing destroyed": 1, "signing kept": 1, "signing in_use": 1,
		"code_epoch kept": 1, "code_epoch in_use": 1, "subject in_use": len(c.sealed), "subject destroyed": 3,
	}
	if !reflect.DeepEqual(count, want) {
		w.Errorf("listed %v, want %v", count, want)
	}
	w.clock.add(40 * 24 * time.Hour)
	_, err = w.k.ExpireEpochs(w.ctx)
	w.do(err)
	list, err = w.k.Keys(w.ctx)
	w.do(err)
	for _, line := range list {
		if line.Kind == "code_epoch" && (line.State != keyring.Destroyed || line.Count != 2 || !line.Since.Equal(morning) || !line.Ended.Equal(w.clock.now())) {
			w.Errorf("expired code keys are listed as %+v", line)
		}
	}
}

func patternsNameKeyAndSecret(w *world) {
	w.seal("user-1", "x")
	w.do(w.k.PutSecret(w.ctx, "user-1", "a", []byte("a secret of some length")))
	w.do(w.k.PutSecret(w.ctx, "user-1", "b", []byte("short")))
	w.do(w.k.Destroy(w.ctx, "user-2"))
	p, err := w.k.ErasurePatterns(w.ctx, "user-1", "user-2", "nobody")
	w.do(err)
	defer p.Wipe()
	if want := 5; p.Len() != want { // the key twice, one secret twice, the short one sealed
		w.Errorf("%d patterns, want %d", p.Len(), want)
	}
}

// calls are all that ask the vault.
func (w *world) calls() map[string]func(context.Context) error {
	k := w.k
	return map[string]func(context.Context) error{
		"Seal":         func(ctx context.Context) error { _, err := k.Seal(ctx, "u", event1, "f", nil); return err },
		"Destroy":      func(ctx context.Context) error { return k.Destroy(ctx, "u") },
		"CreateKeys":   func(ctx context.Context) error { return k.CreateKeys(ctx, "u") },
		"PutSecret":    func(ctx context.Context) error { return k.PutSecret(ctx, "u", "i", nil) },
		"Secret":       func(ctx context.Context) error { _, err := k.Secret(ctx, "u", "i"); return err },
		"DeleteSecret": func(ctx context.Context) error { return k.DeleteSecret(ctx, "u", "i") },
		"CurrentKid":   func(ctx context.Context) error { _, err := k.CurrentKid(ctx); return err },
		"ExpireEpochs": func(ctx context.Context) error { _, err := k.ExpireEpochs(ctx); return err },
		"Epochs":       func(ctx context.Context) error { _, err := k.Epochs(ctx); return err },
		"Digits":       func(ctx context.Context) error { _, err := k.Digits(ctx, "kid", "p", "s", 0, 6); return err },
		"KeyID":        func(ctx context.Context) error { _, err := k.KeyID(ctx, "u"); return err },
		"SigningKeys":  func(ctx context.Context) error { _, err := k.SigningKeys(ctx); return err },
		"Sign":         func(ctx context.Context) error { _, err := k.Sign(ctx, 1, nil); return err },
		"NewSigning":   func(ctx context.Context) error { _, err := k.NewSigningKey(ctx); return err },
		"Retire":       func(ctx context.Context) error { return k.RetireSigningKey(ctx, 1) },
		"RotateKEK":    func(ctx context.Context) error { _, err := k.RotateKEK(ctx); return err },
		"RotateCodes":  func(ctx context.Context) error { _, err := k.RotateCodeEpoch(ctx); return err },
		"RotateSigner": func(ctx context.Context) error { _, err := k.RotateSigningKey(ctx); return err },
		"Rotations":    func(ctx context.Context) error { _, err := k.Rotations(ctx, 0); return err },
		"Keys":         func(ctx context.Context) error { _, err := k.Keys(ctx); return err },
		"Destroyed":    func(ctx context.Context) error { _, err := k.Destroyed(ctx, "u"); return err },
		"Patterns":     func(ctx context.Context) error { _, err := k.ErasurePatterns(ctx, "u"); return err },
		"Export": func(ctx context.Context) error {
			for _, err := range k.Export(ctx) {
				return err
			}
			return errors.New("an export of nothing")
		},
		"Import": func(ctx context.Context) error { return k.Import(ctx, k.Export(context.Background())) },
	}
}

func closedAndEndedCalls(w *world) {
	ended, cancel := context.WithCancel(w.ctx)
	cancel()
	calls := w.calls()
	for name, call := range calls {
		if err := call(ended); !errors.Is(err, context.Canceled) {
			w.Errorf("%s with an ended context: got %v", name, err)
		}
	}
	w.do(w.k.Close())
	for name, call := range calls {
		if err := call(w.ctx); !errors.Is(err, eventstore.ErrClosed) {
			w.Errorf("%s after Close: got %v", name, err)
		}
	}
	w.do(w.k.Close())
}

func limitsAreKept(w *world) {
	for _, bad := range []string{"", string(make([]byte, 201)), "a\x1fb", "a\nb"} {
		_, err := w.k.Seal(w.ctx, bad, event1, "phone", nil)
		w.wantErr(err, keyring.ErrInvalid)
		w.wantErr(w.k.PutSecret(w.ctx, "user-1", bad, nil), keyring.ErrInvalid)
		w.wantErr(w.k.Destroy(w.ctx, "user-1", bad), keyring.ErrInvalid)
	}
	w.wantErr(w.k.PutSecret(w.ctx, "user-1", "id", make([]byte, keyring.MaxSealed+1)), keyring.ErrInvalid)
	w.wantErr(w.k.CreateKeys(w.ctx, make([]string, 1001)...), keyring.ErrInvalid)
	_, err := w.k.KeyID(w.ctx, "user-1")
	w.wantErr(err, keyring.ErrKeyNotFound)
}
