package keyring_test

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/eventstore/keyring"
)

// contents is something of every kind that a keyring keeps, to find again.
type contents struct {
	sealed map[string]string // by subject
	kid    string
	code   string
	blind  string
	signer keyring.SigningKey
}

func fill(t *testing.T, k *keyring.Keyring, subjects int) contents {
	t.Helper()
	c := contents{sealed: map[string]string{}}
	var names []string
	for i := range subjects {
		names = append(names, fmt.Sprintf("user-%04d", i))
	}
	do(t, k.CreateKeys(ctx, names...))
	for _, name := range names {
		c.sealed[name] = seal(t, k, name, event1, "phone", name)
	}
	do(t, k.PutSecret(ctx, names[0], "a", []byte("seed")))
	var err error
	c.kid, err = k.CurrentKid(ctx)
	do(t, err)
	c.code, err = k.Digits(ctx, c.kid, "login.sms", "chl_1", 0, 6)
	do(t, err)
	blind, err := k.Blind(ctx, "phone/v1", "+85291234567")
	do(t, err)
	c.blind, c.signer = string(blind), newSigner(t, k)
	return c
}

// check finds everything again in a keyring with cold caches.
func (c contents) check(t *testing.T, k *keyring.Keyring) {
	t.Helper()
	for name, sealed := range c.sealed {
		wantOpen(t, k, name, event1, "phone", sealed, name)
	}
	if got, err := k.Secret(ctx, "user-0000", "a"); err != nil || string(got) != "seed" {
		t.Errorf("secret: got %q, %v", []byte(got), err)
	}
	if got, err := k.Digits(ctx, c.kid, "login.sms", "chl_1", 0, 6); err != nil || got != c.code {
		t.Errorf("code: got %s, %v; want %s", got, err, c.code)
	}
	if got, err := k.Blind(ctx, "phone/v1", "+85291234567"); err != nil || string(got) != c.blind {
		t.Errorf("blind index: got %x, %v; want %x", got, err, c.blind)
	}
	wantSignature(t, k, c.signer, "a")
}

const manySubjects = 600 // several batches

func TestRotatedKeyEncryptionKeyOpensNothingAnyMore(t *testing.T) {
	onEach(t, func(t *testing.T, b backend) {
		dir := t.TempDir()
		k := b.keyring(t, dir)
		held := fill(t, k, manySubjects)
		do(t, k.Destroy(ctx, "user-0001"))
		delete(held.sealed, "user-0001")
		before := k.WrappedKeys(ctx, t)
		oldFile, oldErr := os.ReadFile(filepath.Join(dir, "kek.json"))
		list, err := k.Keys(ctx)
		do(t, err)
		old := list[0].ID

		r, err := k.RotateKEK(ctx)
		do(t, err)
		// Every subject but the destroyed one, one epoch, one signer, two values.
		if r.From != old || r.To == old || r.Rewrapped != len(before) || len(before) != manySubjects-1+4 || !r.At.Equal(morning) {
			t.Errorf("rotation %+v from %s with %d wrapped keys", r, old, len(before))
		}
		for i, key := range before {
			if found := inFiles(t, dir, key[5:]); found != nil {
				t.Errorf("key %d wrapped with the old key is still in %v", i, found)
			}
		}
		held.check(t, k)
		do(t, k.Close())
		k = b.keyring(t, dir)
		held.check(t, k)
		_, err = k.Open(ctx, "user-0001", event1, "phone", held.sealed["user-0000"])
		wantErr(t, err, keyring.ErrKeyDestroyed)
		if list, err := k.Keys(ctx); err != nil || list[0].ID != r.To || !list[0].Since.Equal(morning) || list[1].Kind == list[0].Kind {
			t.Errorf("listed %+v, %v", list[:2], err)
		}
		do(t, k.Close())
		if oldErr == nil { // only the file has an old copy that a backup may keep
			replace(t, filepath.Join(dir, "kek.json"), oldFile)
			var refused *keyring.StartError
			if _, err := keyring.Open(ctx, b.options(dir)); !errors.As(err, &refused) || refused.Reason != keyring.KEKWrong {
				t.Errorf("with the old key file: %v, want reason %s", err, keyring.KEKWrong)
			}
		}
	})
}

// Wherever a rotation is cut off, what is on the disk opens with everything in
// it, and the rotation can be finished: one rotation, not two.
func TestRotationCutOffAtAnyStepIsFinishedLater(t *testing.T) {
	onEach(t, func(t *testing.T, b backend) {
		cut := errors.New("power is off")
		steps := 0
		for finished := false; !finished; steps++ {
			dir := t.TempDir()
			k := b.keyring(t, dir)
			held := fill(t, k, manySubjects)
			list, err := k.Keys(ctx)
			do(t, err)
			k.StopAtStep(steps+1, cut)
			_, err = k.RotateKEK(ctx)
			finished = err == nil
			if !finished {
				wantErr(t, err, cut)
			}
			// The files of this moment, in a place of their own or, when the
			// service holds the key, as they are after closing.
			if b.name == "file" {
				crashed := t.TempDir()
				for _, name := range []string{"kek.json", "keys.db", "keys.db-wal"} {
					copyFile(t, filepath.Join(dir, name), filepath.Join(crashed, name))
				}
				replace(t, filepath.Join(crashed, "kek.json.new"), []byte("half"))
				held.check(t, k) // the process that goes on works, too
				do(t, k.Close())
				dir = crashed
			} else {
				do(t, k.Close())
			}
			k = b.keyring(t, dir)
			held.check(t, k)
			notes, err := k.Rotations(ctx, 0)
			do(t, err)
			if len(notes) == 0 {
				_, err = k.RotateKEK(ctx)
				do(t, err)
				notes, err = k.Rotations(ctx, 0)
				do(t, err)
			}
			if len(notes) != 1 || notes[0].From != list[0].ID || notes[0].Kind != keyring.KindKeyEncryption {
				t.Errorf("cut off after step %d: rotations %+v", steps, notes)
			}
			after, err := k.Keys(ctx)
			do(t, err)
			if after[0].ID != notes[0].To || after[1].Kind == after[0].Kind {
				t.Errorf("cut off after step %d: keys %+v", steps, after[:2])
			}
			do(t, k.Close())
			k = b.keyring(t, dir)
			held.check(t, k)
			do(t, k.Close())
		}
		if steps < 9 { // new key, 3 batches of subjects, 1 of each other table, scrubbed, noted, retired
			t.Errorf("only %d steps were cut", steps)
		}
	})
}

// Everybody goes on working during three rotations, and nothing is lost.
func TestRotationUnderLoad(t *testing.T) {
	onEach(t, func(t *testing.T, b backend) {
		dir := t.TempDir()
		k := b.keyring(t, dir)
		held := fill(t, k, manySubjects)
		stop := make(chan struct{})
		var users sync.WaitGroup
		fresh := make([]map[string]string, 8) // each owned by one goroutine
		for g := range fresh {
			fresh[g] = map[string]string{}
			users.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					if err := work(k, held, fresh[g], g, i); err != nil {
						t.Errorf("goroutine %d: %v", g, err)
						return
					}
				}
			})
		}
		for range 3 {
			if _, err := k.RotateKEK(ctx); err != nil {
				t.Errorf("rotation under load: %v", err)
			}
		}
		close(stop)
		users.Wait()
		do(t, k.Close())
		k = b.keyring(t, dir)
		held.check(t, k)
		for _, subjects := range fresh {
			if len(subjects) == 0 {
				t.Error("a goroutine did nothing")
			}
			for name, sealed := range subjects {
				wantOpen(t, k, name, event1, "phone", sealed, name)
			}
		}
		do(t, k.Close())
	})
}

// work does one thing of each kind, mostly with keys that no cache holds.
func work(k *keyring.Keyring, held contents, fresh map[string]string, g, i int) error {
	name := fmt.Sprintf("fresh-%d-%d", g, i)
	sealed, err := k.Seal(ctx, name, event1, "phone", []byte(name))
	if err != nil {
		return err
	}
	fresh[name] = sealed
	old := fmt.Sprintf("user-%04d", (g*97+i)%manySubjects)
	if clear, err := k.Open(ctx, old, event1, "phone", held.sealed[old]); err != nil || string(clear) != old {
		return fmt.Errorf("opened %q: %w", clear, err)
	}
	kid, err := k.CurrentKid(ctx)
	if err != nil {
		return err
	}
	if _, err := k.Digits(ctx, kid, "login.sms", name, 0, 6); err != nil {
		return err
	}
	signature, err := k.Sign(ctx, held.signer.Epoch, []byte(name))
	if err != nil || !ed25519.Verify(held.signer.Public, []byte(name), signature) {
		return fmt.Errorf("signed: %w", err)
	}
	if i%7 == 0 {
		if _, err := k.NewSigningKey(ctx); err != nil {
			return err
		}
	}
	if i%11 == 0 {
		return k.Destroy(ctx, fmt.Sprintf("gone-%d-%d", g, i))
	}
	return nil
}

// A key that is destroyed while a rotation wraps it anew stays destroyed.
func TestRotationDoesNotBringADestroyedKeyBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k := openDir(t, dir, &clock{t: morning})
	held := fill(t, k, manySubjects)
	rotated := make(chan error)
	go func() { _, err := k.RotateKEK(ctx); rotated <- err }()
	for i := 1; i < manySubjects; i += 20 {
		do(t, k.Destroy(ctx, fmt.Sprintf("user-%04d", i)))
	}
	do(t, <-rotated)
	do(t, k.Close())
	k = openDir(t, dir, &clock{t: morning})
	for i := 1; i < manySubjects; i += 20 {
		name := fmt.Sprintf("user-%04d", i)
		_, err := k.Open(ctx, name, event1, "phone", held.sealed[name])
		wantErr(t, err, keyring.ErrKeyDestroyed)
		if n := k.Count(ctx, t, `SELECT count(*) FROM subject_keys WHERE destroyed_at <> 9223372036854775807 AND wrapped <> zeroblob(length(wrapped))`); n != 0 {
			t.Fatalf("%d destroyed keys have bytes", n)
		}
	}
}

func TestReplacedKeyFileKeepsModeAndLock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k := openDir(t, dir, &clock{t: morning})
	kek := filepath.Join(dir, "kek.json")
	do(t, os.Link(kek, filepath.Join(dir, "old.json"))) // the old file by another name
	_, err := k.RotateKEK(ctx)
	do(t, err)
	info, err := os.Stat(kek)
	if err != nil || info.Mode().Perm() != 0o400 {
		t.Errorf("mode %v, %v; want 0400", info.Mode(), err)
	}
	old, err := os.ReadFile(filepath.Join(dir, "old.json"))
	do(t, err)
	for _, b := range old {
		if b != 0 {
			t.Fatal("the replaced key file was not overwritten")
		}
	}
	var refused *keyring.StartError
	if _, err := keyring.Open(ctx, keyring.Options{Dir: dir}); !errors.As(err, &refused) || refused.Reason != keyring.KeysLocked {
		t.Errorf("second process after a rotation: %v, want reason %s", err, keyring.KeysLocked)
	}
	if _, err := os.Stat(kek + ".new"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("temporary key file is still there: %v", err)
	}
}

func TestRotatedCodeEpochIsForNewCodesOnly(t *testing.T) {
	t.Parallel()
	c := &clock{t: morning}
	k := openDir(t, t.TempDir(), c)
	first, err := k.CurrentKid(ctx)
	do(t, err)
	code, err := k.Digits(ctx, first, "login.sms", "chl_1", 0, 9)
	do(t, err)
	c.set(morning.Add(time.Hour))
	r, err := k.RotateCodeEpoch(ctx)
	do(t, err)
	if r.From != first || r.To == first || r.To[:12] != first[:12] || r.Kind != keyring.KindCodeEpoch || !r.At.Equal(morning.Add(time.Hour)) {
		t.Errorf("rotation %+v from %s", r, first)
	}
	if got, err := k.CurrentKid(ctx); err != nil || got != r.To {
		t.Errorf("current kid %s, %v; want %s", got, err, r.To)
	}
	if got, err := k.Digits(ctx, first, "login.sms", "chl_1", 0, 9); err != nil || got != code {
		t.Errorf("code of the old key %s, %v; want %s", got, err, code)
	}
	if got, err := k.Digits(ctx, r.To, "login.sms", "chl_1", 0, 9); err != nil || got == code {
		t.Errorf("code of the new key %s, %v; the same as before", got, err)
	}
	c.set(morning.AddDate(0, 0, 31))
	gone, err := k.ExpireEpochs(ctx)
	do(t, err)
	if len(gone) != 2 {
		t.Errorf("destroyed %v, want both keys of the day", gone)
	}
	// On a day without a code the new key is the first.
	if r, err := k.RotateCodeEpoch(ctx); err != nil || r.From != "" {
		t.Errorf("rotation %+v, %v", r, err)
	}
}

func TestRotatedSigningKeyIsTheNextEpoch(t *testing.T) {
	t.Parallel()
	k := open(t)
	for epoch := uint32(1); epoch <= 3; epoch++ {
		r, err := k.RotateSigningKey(ctx)
		do(t, err)
		want := keyring.Rotation{Number: int64(epoch), Kind: keyring.KindSigning, At: morning, To: fmt.Sprintf("s%d", epoch), Epoch: epoch}
		if epoch > 1 {
			want.From = fmt.Sprintf("s%d", epoch-1)
		}
		if r.Request == uuid.Nil || len(r.Public) != ed25519.PublicKeySize {
			t.Errorf("rotation %+v lacks request or public key", r)
		}
		want.Request, want.Public = r.Request, r.Public
		if !reflect.DeepEqual(r, want) {
			t.Errorf("rotation %+v, want %+v", r, want)
		}
		keys, err := k.SigningKeys(ctx)
		if err != nil || !keys[epoch-1].Public.Equal(r.Public) {
			t.Errorf("signing keys %+v, %v", keys, err)
		}
		_, err = k.Sign(ctx, epoch, nil)
		do(t, err)
	}
	all, err := k.Rotations(ctx, 0)
	do(t, err)
	later, err := k.Rotations(ctx, 2)
	do(t, err)
	if len(all) != 3 || len(later) != 1 || !reflect.DeepEqual(later[0], all[2]) {
		t.Errorf("rotations %+v, after the second %+v", all, later)
	}
}

// A request that comes again rotates nothing again, also at the same moment and
// after it was cut off.
func TestRepeatedRequestRotatesOnce(t *testing.T) {
	onEach(t, func(t *testing.T, b backend) {
		dir := t.TempDir()
		k := b.keyring(t, dir)
		held := fill(t, k, 3)
		ids := []uuid.UUID{event1, event2, uuid.MustParse("33333333-3333-5333-8333-333333333333")}
		kinds := []keyring.RotationKind{keyring.KindKeyEncryption, keyring.KindCodeEpoch, keyring.KindSigning}
		cut := errors.New("power is off")
		k.StopAtStep(2, cut)
		_, err := k.Rotate(ctx, kinds[0], ids[0])
		wantErr(t, err, cut)
		k.StopAtStep(1000, cut)
		first := make([]keyring.Rotation, len(kinds))
		for i, kind := range kinds {
			var all sync.WaitGroup
			answers := make([]keyring.Rotation, 4)
			for a := range answers {
				all.Go(func() {
					var err error
					if answers[a], err = k.Rotate(ctx, kind, ids[i]); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			first[i] = answers[0]
			for _, a := range answers {
				if !reflect.DeepEqual(a, first[i]) {
					t.Errorf("answers %+v and %+v", a, first[i])
				}
			}
		}
		do(t, k.Close())
		k = b.keyring(t, dir)
		defer k.Close()
		for i, kind := range kinds {
			if r, err := k.Rotate(ctx, kind, ids[i]); err != nil || !reflect.DeepEqual(r, first[i]) {
				t.Errorf("after a restart %+v, %v; want %+v", r, err, first[i])
			}
		}
		notes, err := k.Rotations(ctx, 0)
		if err != nil || !reflect.DeepEqual(notes, first) {
			t.Errorf("noted %+v, %v; want %+v", notes, err, first)
		}
		_, err = k.Rotate(ctx, keyring.KindSigning, ids[0])
		wantErr(t, err, keyring.ErrInvalid)
		_, err = k.Rotate(ctx, "unknown", uuid.New())
		wantErr(t, err, keyring.ErrInvalid)
		_, err = k.Rotate(ctx, keyring.KindSigning, uuid.Nil)
		wantErr(t, err, keyring.ErrInvalid)
		held.check(t, k)
	})
}

func TestKeysAreListedWithoutMaterial(t *testing.T) {
	t.Parallel()
	c := &clock{t: morning}
	k := openDir(t, t.TempDir(), c)
	if list, err := k.Keys(ctx); err != nil || len(list) != 1 || list[0].Kind != "key_encryption" || list[0].State != keyring.InUse {
		t.Fatalf("a new keyring lists %+v, %v", list, err)
	}
	fill(t, k, 3)
	c.set(morning.Add(time.Hour))
	do(t, k.Destroy(ctx, "user-0001", "user-0002"))
	newSigner(t, k)
	do(t, k.RetireSigningKey(ctx, 1))
	r, err := k.RotateCodeEpoch(ctx)
	do(t, err)
	list, err := k.Keys(ctx)
	do(t, err)
	later := morning.Add(time.Hour)
	want := []keyring.KeyInfo{
		{Kind: "key_encryption", ID: list[0].ID, State: keyring.InUse, Count: 1},
		{Kind: "signing", ID: "s1", State: keyring.Destroyed, Count: 1, Epoch: 1, Since: morning, Ended: later},
		{Kind: "signing", ID: "s2", State: keyring.InUse, Count: 1, Epoch: 2, Since: later},
		{Kind: "code_epoch", ID: r.From, State: keyring.Kept, Count: 1, Since: morning},
		{Kind: "code_epoch", ID: r.To, State: keyring.InUse, Count: 1, Since: later},
		{Kind: "subject", State: keyring.InUse, Count: 1, Since: morning},
		{Kind: "subject", State: keyring.Destroyed, Count: 2, Since: morning, Ended: later},
		{Kind: "secret", State: keyring.InUse, Count: 1, Since: morning},
	}
	if len(list) != len(want) {
		t.Fatalf("listed %+v", list)
	}
	for i := range want {
		if list[i].Kind == "signing" && len(list[i].Public) != ed25519.PublicKeySize {
			t.Errorf("line %d has no public key", i)
		}
		want[i].Public = list[i].Public
		if !reflect.DeepEqual(list[i], want[i]) {
			t.Errorf("line %d: %+v, want %+v", i, list[i], want[i])
		}
	}
	c.set(morning.AddDate(0, 0, 40))
	_, err = k.ExpireEpochs(ctx)
	do(t, err)
	list, err = k.Keys(ctx)
	do(t, err)
	if got := list[3]; got.Kind != "code_epoch" || got.State != keyring.Destroyed || got.Count != 2 {
		t.Errorf("expired code keys are listed as %+v", got)
	}
}

// A key-encryption key that breaks its promise about lengths would let rows
// move, and leave copies of keys behind: the rotation stops and nothing is lost.
func TestRotationRefusesAnotherLength(t *testing.T) {
	t.Parallel()
	s := newService()
	k, err := keyring.Open(ctx, keyring.Options{Dir: t.TempDir(), Clock: (&clock{t: morning}).now, KEK: client{s}})
	do(t, err)
	defer k.Close()
	held := fill(t, k, 3)
	s.lengthen(1)
	if _, err := k.RotateKEK(ctx); err == nil || !strings.Contains(err.Error(), "length") {
		t.Errorf("rotated with longer keys: %v", err)
	}
	held.check(t, k)
	s.lengthen(0)
	r, err := k.RotateKEK(ctx)
	if err != nil || r.From != "service-key-1" || r.To != "service-key-2" {
		t.Errorf("finished %+v, %v", r, err)
	}
	held.check(t, k)
}

// A disk that takes no new key file leaves the old key in use.
func TestRotationWithoutANewFileChangesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k := openDir(t, dir, &clock{t: morning})
	held := fill(t, k, 3)
	before, err := k.Keys(ctx)
	do(t, err)
	obstacle := filepath.Join(dir, "kek.json.new", "in the way")
	do(t, os.MkdirAll(obstacle, 0o700))
	if _, err := k.RotateKEK(ctx); err == nil {
		t.Fatal("rotated without a new file")
	}
	held.check(t, k)
	if after, err := k.Keys(ctx); err != nil || !reflect.DeepEqual(after, before) {
		t.Errorf("keys %+v, %v; want %+v", after, err, before)
	}
	do(t, os.RemoveAll(filepath.Dir(obstacle)))
	if r, err := k.RotateKEK(ctx); err != nil || r.From != before[0].ID {
		t.Errorf("rotated %+v, %v", r, err)
	}
	held.check(t, k)
}
