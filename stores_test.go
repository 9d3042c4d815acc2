package main

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/google/uuid"
)

// A newcomer types --data data, and a test elsewhere types an absolute path.
func TestStoresOpenInARelativeDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	for range 2 {
		s, err := openStores(t.Context(), "data", time.Now, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	}
}

// A code epoch's key is destroyed thirty days after its day, and the log says
// so, once, whatever happens in between.
func TestExpiredCodeEpochsAreRecordedOnce(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	dir := t.TempDir()
	open := func() *stores {
		s, err := openStores(t.Context(), dir, func() time.Time { return now }, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	kid, err := s.keys.CurrentKid(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	recorded := func(s *stores) (kids []string) {
		for r, err := range s.log.ReadStream(t.Context(), domain.KeyringStream(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			d, err := s.codec.Decode(r)
			if err != nil {
				t.Fatal(err)
			}
			kids = append(kids, d.Event.(domain.CodeEpochDestroyed).Kid)
		}
		return kids
	}
	for _, step := range []struct {
		wait time.Duration
		want int
	}{{0, 0}, {30 * 24 * time.Hour, 0}, {24 * time.Hour, 1}, {time.Hour, 1}} {
		now = now.Add(step.wait)
		if err := s.expireCodes(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := recorded(s); len(got) != step.want || step.want == 1 && got[0] != kid {
			t.Errorf("at %s recorded %v, want %d of %s", now, got, step.want, kid)
		}
	}
	if _, err := s.keys.Digits(t.Context(), kid, "login", "chl", 1, 6); err == nil {
		t.Error("a destroyed epoch still computes codes")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open() // as after a crash: nothing is remembered
	defer s.Close()
	if err := s.expireCodes(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := recorded(s); len(got) != 1 {
		t.Errorf("after a restart recorded %v, want once", got)
	}
}

// A rotation is recorded by whoever comes first: the one who rotated, or the
// housekeeping after a crash; once.
func TestForgottenRotationsAreRecordedOnce(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for range 2 { // the second start finds everything recorded
		s, err := openStores(t.Context(), dir, func() time.Time { return now }, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		rotations, err := s.keys.Rotations(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(rotations) == 0 {
			for _, kind := range []keyring.RotationKind{keyring.KindSigning, keyring.KindKeyEncryption, keyring.KindCodeEpoch} {
				if _, err := s.keys.Rotate(t.Context(), kind, uuid.New()); err != nil {
					t.Fatal(err)
				}
			}
			if rotations, err = s.keys.Rotations(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
		}
		for _, r := range rotations {
			want = append(want, r.To)
		}
		for range 2 {
			if err := s.tidyKeys(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for r, err := range s.log.ReadStream(t.Context(), domain.KeyringStream(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			d, err := s.codec.Decode(r)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, d.Event.(domain.KeyRotated).KeyID)
		}
		if len(got) != 3 || !slices.Equal(got, want) {
			t.Errorf("recorded %v, want %v", got, want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
