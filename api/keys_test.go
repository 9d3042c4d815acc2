package api

import (
	"encoding/base64"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/keyring"
)

// rotations are the rotations that the ledger records, in order.
func (w *world) rotations() []domain.KeyRotated {
	w.t.Helper()
	var list []domain.KeyRotated
	for r, err := range w.store.ReadStream(w.t.Context(), domain.KeyringStream(), 0) {
		if err != nil {
			w.t.Fatal(err)
		}
		d, err := w.codec.Decode(r)
		if err != nil {
			w.t.Fatal(err)
		}
		if e, ok := d.Event.(domain.KeyRotated); ok {
			list = append(list, e)
		}
	}
	return list
}

func TestKeysAreRotatedAndRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS() // a person's key and a code key
	before := want[gen.KeyList](t, w.get(access.Auditor, "/v1/keys"), 200)
	var recorded []domain.KeyRotated
	for _, kind := range []gen.RotatingKind{gen.RotatingKindKeyEncryption, gen.RotatingKindCodeEpoch, gen.RotatingKindSigning, gen.RotatingKindSigning} {
		a := w.post(access.Operator, "/v1/keys/rotations", gen.RotateKeyRequest{Kind: kind})
		r := want[gen.KeyRotation](t, a, 201)
		if r.Kind != kind || r.KeyId == "" || r.KeyId == r.PreviousKeyId || len(r.EventIds) != 1 || !r.RotatedAt.Equal(w.clock.Now()) {
			t.Errorf("rotated %+v", r)
		}
		recorded = append(recorded, domain.KeyRotated{
			Kind: string(r.Kind), KeyID: r.KeyId, PreviousKeyID: r.PreviousKeyId, Epoch: uint32(r.Epoch), PublicKey: r.PublicKey, Rewrapped: r.Rewrapped,
		})
	}
	if diff := cmp.Diff(recorded, w.rotations()); diff != "" {
		t.Errorf("the ledger records something else (-answered +recorded):\n%s", diff)
	}
	if r := recorded[0]; r.PreviousKeyID != before.Items[0].Id || r.Rewrapped < 3 {
		t.Errorf("the first key was %s; recorded %+v", before.Items[0].Id, r)
	}
	if public, err := base64.StdEncoding.DecodeString(recorded[3].PublicKey); err != nil || len(public) != 32 || recorded[3].Epoch != 2 || recorded[3].PreviousKeyID != "s1" {
		t.Errorf("signing key %+v", recorded[3])
	}
	after := want[gen.KeyList](t, w.get(access.Operator, "/v1/keys"), 200)
	inUse := map[gen.KeyLineKind]string{}
	for _, k := range after.Items {
		if k.State == "in_use" && k.Id != "" {
			inUse[k.Kind] = k.Id
		}
		if k.Kind == gen.KeyLineKindSubject && k.Count < 1 || k.Kind == gen.KeyLineKindSigning && k.PublicKey == "" {
			t.Errorf("listed %+v", k)
		}
	}
	wanted := map[gen.KeyLineKind]string{"key_encryption": recorded[0].KeyID, "code_epoch": recorded[1].KeyID, "signing": "s2"}
	if diff := cmp.Diff(wanted, inUse); diff != "" {
		t.Errorf("keys in use (-want +got):\n%s", diff)
	}
	if w.login().Challenge.Id == "" {
		t.Error("no login with the new keys")
	}
}

// A repeated request rotates nothing again; the same key for another kind is
// refused.
func TestRepeatedRotationIsOneRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := gen.RotateKeyRequest{Kind: gen.RotatingKindKeyEncryption}
	first := w.post(access.Operator, "/v1/keys/rotations", body, headerKey, "rotate-1")
	again := w.post(access.Operator, "/v1/keys/rotations", body, headerKey, "rotate-1")
	if again.status != 201 || again.header.Get(headerReplayed) != "true" || string(again.body) != string(first.body) {
		t.Errorf("first %d %s, again %d %s", first.status, first.body, again.status, again.body)
	}
	other := w.post(access.Operator, "/v1/keys/rotations", gen.RotateKeyRequest{Kind: gen.RotatingKindSigning}, headerKey, "rotate-1")
	if other.status != http.StatusUnprocessableEntity || other.code(t) != "idempotency_key_reused" {
		t.Errorf("the same key for another kind: %d %s", other.status, other.body)
	}
	if got := len(w.rotations()); got != 1 {
		t.Errorf("%d rotations recorded, want 1", got)
	}
	for _, kind := range []string{"", "kek", "subject"} {
		if a := w.post(access.Operator, "/v1/keys/rotations", map[string]any{"kind": kind}); a.status != http.StatusBadRequest {
			t.Errorf("kind %q: %d %s", kind, a.status, a.body)
		}
	}
}

// A process that ended between a rotation and its record left one behind: the
// ledger gets both, in order.
func TestForgottenRotationIsRecordedBeforeTheNext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	forgotten, err := w.keys.Rotate(t.Context(), keyring.KindSigning, uuid.New())
	if err != nil {
		t.Fatal(err)
	}
	r := want[gen.KeyRotation](t, w.post(access.Operator, "/v1/keys/rotations", gen.RotateKeyRequest{Kind: gen.RotatingKindSigning}), 201)
	got := w.rotations()
	if len(got) != 2 || got[0].KeyID != forgotten.To || got[1].KeyID != r.KeyId || got[1].PreviousKeyID != forgotten.To {
		t.Errorf("recorded %+v", got)
	}
}
