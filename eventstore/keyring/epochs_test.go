package keyring_test

import (
	"sync"
	"testing"
	"time"

	"github.com/authledger/authledger/eventstore/keyring"
)

func TestExpiredEpochIsLeftInNoFile(t *testing.T) {
	t.Parallel()
	dir, c := t.TempDir(), &clock{t: morning}
	k := openDir(t, dir, c)
	var kids []string
	var keys [][]byte
	for day := range 40 {
		c.set(morning.AddDate(0, 0, day))
		kid, err := k.CurrentKid(ctx)
		do(t, err)
		kids, keys = append(kids, kid), append(keys, k.EpochKeyBytes(ctx, t, kid))
	}
	got, err := k.ExpireEpochs(ctx)
	do(t, err)
	if want := 9; len(got) != want { // days 0 to 8 ended 30 days before day 39
		t.Fatalf("%d epochs destroyed, want %d", len(got), want)
	}
	for i, kid := range got {
		if kid != kids[i] {
			t.Errorf("destroyed %s, want %s", kid, kids[i])
		}
		if found := inFiles(t, dir, keys[i]); found != nil {
			t.Errorf("key of %s is still in %v", kid, found)
		}
	}
	if len(inFiles(t, dir, keys[9])) == 0 {
		t.Error("the scan does not find a living epoch")
	}
}

func TestEpochsRotateAndExpire(t *testing.T) {
	t.Parallel()
	c := &clock{t: time.Date(2026, 11, 23, 23, 59, 59, 0, time.UTC)}
	k := openDir(t, t.TempDir(), c)
	first, err := k.CurrentKid(ctx)
	do(t, err)
	if len(first) != len("c2026-11-23-01234567") || first[:12] != "c2026-11-23-" {
		t.Errorf("kid %q", first)
	}
	code, err := k.Digits(ctx, first, "login.sms", "chl_1", 0, 6)
	do(t, err)
	// The day is the one in UTC, wherever the clock's location is.
	c.set(time.Date(2026, 11, 23, 20, 0, 0, 0, time.FixedZone("EST", -5*3600)))
	second, err := k.CurrentKid(ctx)
	do(t, err)
	if second[:12] != "c2026-11-24-" {
		t.Errorf("kid of the next day is %q", second)
	}
	end := time.Date(2026, 12, 24, 0, 0, 0, 0, time.UTC) // day + 1 + 30
	c.set(end.Add(-time.Microsecond))
	if got, err := k.ExpireEpochs(ctx); err != nil || len(got) != 0 {
		t.Errorf("before its time: destroyed %v, %v", got, err)
	}
	if got, err := k.Digits(ctx, first, "login.sms", "chl_1", 0, 6); err != nil || got != code {
		t.Errorf("code on the last day: %s, %v; want %s", got, err, code)
	}
	c.set(end)
	if got, err := k.ExpireEpochs(ctx); err != nil || len(got) != 1 || got[0] != first {
		t.Fatalf("destroyed %v, %v; want %s", got, err, first)
	}
	_, err = k.Digits(ctx, first, "login.sms", "chl_1", 0, 6)
	wantErr(t, err, keyring.ErrKeyDestroyed)
	_, err = k.Digits(ctx, "c2026-11-23-00000000", "login.sms", "chl_1", 0, 6)
	wantErr(t, err, keyring.ErrKeyNotFound)
	if got, err := k.ExpireEpochs(ctx); err != nil || len(got) != 0 {
		t.Errorf("again: destroyed %v, %v", got, err)
	}
	epochs, err := k.Epochs(ctx)
	if err != nil || len(epochs) != 2 || epochs[0].Kid != first || !epochs[0].Destroyed.Equal(end) || !epochs[1].Destroyed.IsZero() {
		t.Errorf("epochs %+v, %v", epochs, err)
	}
	// A clock that goes back to the destroyed day gets a new key, not the old.
	c.set(morning)
	if third, err := k.CurrentKid(ctx); err != nil || third == first {
		t.Errorf("kid after the clock went back: %s, %v", third, err)
	}
}

// The remembered kid of the day must not outlive its key.
func TestCurrentKidIsForgottenWithItsKey(t *testing.T) {
	t.Parallel()
	c := &clock{t: morning}
	k := openDir(t, t.TempDir(), c)
	first, err := k.CurrentKid(ctx)
	do(t, err)
	c.set(morning.AddDate(1, 0, 0))
	_, err = k.ExpireEpochs(ctx)
	do(t, err)
	c.set(morning)
	second, err := k.CurrentKid(ctx)
	do(t, err)
	if second == first {
		t.Errorf("%s is current although its key is destroyed", first)
	}
	_, err = k.Digits(ctx, second, "login.sms", "chl_1", 0, 6)
	do(t, err)
}

func TestConcurrentFirstUseOfADayCreatesOneEpoch(t *testing.T) {
	t.Parallel()
	k := open(t)
	kids := make([]string, 64)
	var all sync.WaitGroup
	for i := range kids {
		all.Go(func() {
			kid, err := k.CurrentKid(ctx)
			if err != nil {
				t.Error(err)
			}
			kids[i] = kid
		})
	}
	all.Wait()
	for _, kid := range kids {
		if kid != kids[0] {
			t.Fatalf("kids %s and %s on one day", kids[0], kid)
		}
	}
	if n := k.Count(ctx, t, `SELECT count(*) FROM code_epochs`); n != 1 {
		t.Errorf("%d epochs, want 1", n)
	}
}
