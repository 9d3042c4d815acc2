package keyring_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/authledger/authledger/eventstore/memstore"
)

func TestSharedKeyFileIsRefusedLikeAnyOther(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	id, err := keyring.CreateKEKFile(path("kek"))
	do(t, err)
	kek, err := keyring.OpenKEKFile(path("kek"))
	do(t, err)
	defer kek.Close()
	if kek.ID() != id || len(kek.Older()) != 0 {
		t.Errorf("opened %s with %v, want %s", kek.ID(), kek.Older(), id)
	}
	if info, err := os.Stat(path("kek")); err != nil || info.Mode().Perm() != 0o400 {
		t.Errorf("mode %v, %v; want 0400", info.Mode(), err)
	}
	_, err = keyring.CreateKEKFile(path("kek"))
	wantErr(t, err, fs.ErrExist)
	again, err := keyring.OpenKEKFile(path("kek")) // no lock is held
	do(t, err)
	do(t, again.Close())

	do(t, os.Symlink(path("kek"), path("link")))
	do(t, os.WriteFile(path("damaged"), []byte("{}"), 0o400))
	copyFile(t, path("kek"), path("open"))
	do(t, os.Chmod(path("open"), 0o440))
	for name, want := range map[string]keyring.Reason{
		"absent": keyring.KEKMissing, "link": keyring.KEKPermissions, "damaged": keyring.KEKCorrupt, "open": keyring.KEKPermissions,
	} {
		var refused *keyring.StartError
		if _, err := keyring.OpenKEKFile(path(name)); !errors.As(err, &refused) || refused.Reason != want {
			t.Errorf("%s: %v, want reason %s", name, err, want)
		}
	}
}

// Two processes of one machine may use one file; whatever they do to it at the
// same moment, both go on with the same keys.
func TestProcessesShareAKeyFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "kek")
	_, err := keyring.CreateKEKFile(path)
	do(t, err)
	keks := make([]keyring.KeyEncryption, 3)
	for i := range keks {
		keks[i], err = keyring.OpenKEKFile(path)
		do(t, err)
		defer keks[i].Close()
	}
	sealed, err := keks[0].Encrypt(ctx, []byte("x"), nil)
	do(t, err)
	var all sync.WaitGroup
	for _, kek := range keks {
		all.Go(func() { // the first makes a key, the others take it
			if err := kek.Rotate(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, kek := range keks {
		if kek.ID() != keks[0].ID() || !slices.Equal(kek.Older(), keks[0].Older()) || len(kek.Older()) != 1 {
			t.Errorf("one process has %s and %v, another %s and %v", keks[0].ID(), keks[0].Older(), kek.ID(), kek.Older())
		}
		clear, err := kek.Decrypt(ctx, sealed, nil)
		if err != nil || string(clear) != "x" {
			t.Errorf("opened %q, %v", clear, err)
		}
	}
	for _, kek := range keks {
		all.Go(func() {
			if err := kek.Retire(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, kek := range keks {
		_, err := kek.Decrypt(ctx, sealed, nil)
		wantErr(t, err, keyring.ErrNotAuthentic)
	}
	if err := keks[0].(keyring.Follower).Follow(ctx, "kek-00000000"); !errors.Is(err, keyring.ErrKeyNotFound) {
		t.Errorf("followed a key that is nowhere: %v", err)
	}
	wantErr(t, keks[0].(keyring.Follower).Follow(ctx, "service-key-1"), keyring.ErrKeyNotFound)
}

// A key management service is the same for all nodes, so nobody has to follow.
func TestNodesShareAKeyManagementService(t *testing.T) {
	t.Parallel()
	s, side, c := newService(), memstore.NewSide(), &clock{t: morning}
	node := func() *keyring.Keyring {
		k, err := keyring.Open(ctx, keyring.Options{Side: side, Clock: c.now, KEK: client{s}})
		do(t, err)
		t.Cleanup(func() { do(t, k.Close()) })
		return k
	}
	a, b := node(), node()
	held := fill(t, a, 50)
	for range 2 {
		rotated := make(chan error)
		go func() { _, err := a.RotateKEK(ctx); rotated <- err }()
		for i := range 20 {
			name := string(rune('a'+i)) + "-fresh"
			wantOpen(t, a, name, event1, "phone", seal(t, b, name, event1, "phone", name), name)
		}
		do(t, <-rotated)
		for _, k := range []*keyring.Keyring{a, b, node()} {
			held.check(t, k)
		}
		if list, err := b.Keys(ctx); err != nil || list[1].Kind == list[0].Kind {
			t.Errorf("an older key is left: %+v, %v", list[:2], err)
		}
	}
}

// A node that may not write its file works on, and says what is left in it.
func TestOlderKeyInAFileThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	side, c := memstore.NewSide(), &clock{t: morning}
	node := func(path string) *keyring.Keyring {
		kek, err := keyring.OpenKEKFile(path)
		do(t, err)
		k, err := keyring.Open(ctx, keyring.Options{Side: side, Clock: c.now, KEK: kek})
		do(t, err)
		t.Cleanup(func() { do(t, k.Close()) })
		return k
	}
	first, second := filepath.Join(t.TempDir(), "kek"), filepath.Join(t.TempDir(), "kek")
	_, err := keyring.CreateKEKFile(first)
	do(t, err)
	_, err = keyring.PrepareKEKFile(first)
	do(t, err)
	copyFile(t, first, second)
	do(t, os.Chmod(second, 0o400))
	obstacle := filepath.Join(second+".new", "in the way")
	do(t, os.MkdirAll(obstacle, 0o700))

	a, b := node(first), node(second)
	held := fill(t, a, 20)
	r, err := a.RotateKEK(ctx)
	do(t, err)
	for _, k := range []*keyring.Keyring{a, b} {
		held.check(t, k)
	}
	states := func(k *keyring.Keyring) (ids []string) {
		list, err := k.Keys(ctx)
		do(t, err)
		for _, line := range list {
			if line.Kind == string(keyring.KindKeyEncryption) {
				ids = append(ids, line.ID+" "+string(line.State))
			}
		}
		return ids
	}
	if got, want := states(a), []string{r.To + " in_use"}; !slices.Equal(got, want) {
		t.Errorf("the node that rotated has %v, want %v", got, want)
	}
	if got, want := states(b), []string{r.To + " in_use", r.From + " kept"}; !slices.Equal(got, want) {
		t.Errorf("the node with the file in the way has %v, want %v", got, want)
	}
	do(t, os.RemoveAll(filepath.Dir(obstacle)))
	if again, err := b.RotateKEK(ctx); err != nil || again.To != r.To { // finishes that one
		t.Errorf("rotated %+v, %v; want to %s", again, err, r.To)
	}
	if got, want := states(b), []string{r.To + " in_use"}; !slices.Equal(got, want) {
		t.Errorf("at last it has %v, want %v", got, want)
	}
	held.check(t, b)
}
