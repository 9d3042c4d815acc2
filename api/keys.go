package api

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/eventstore/keyring"
)

// The keys of the ledger. No answer holds key material.

// ListKeys implements gen.StrictServerInterface, as do all methods here.
func (s *Server) ListKeys(ctx context.Context, _ gen.ListKeysRequestObject) (gen.ListKeysResponseObject, error) {
	list, err := s.keys.Keys(ctx)
	if err != nil {
		return nil, err
	}
	return gen.ListKeys200JSONResponse(KeyList(list)), nil
}

// KeyList is the list of keys as it is answered, also for the command line.
func KeyList(list []keyring.KeyInfo) gen.KeyList {
	items := make([]gen.KeyLine, 0, len(list))
	for _, k := range list {
		items = append(items, gen.KeyLine{
			Kind: gen.KeyLineKind(k.Kind), Id: k.ID, State: gen.KeyLineState(k.State), Count: k.Count, Epoch: int64(k.Epoch),
			PublicKey: base64.StdEncoding.EncodeToString(k.Public), Since: k.Since, Ended: k.Ended,
		})
	}
	return gen.KeyList{Items: items}
}

// RotateKey rotates first and records then: the request's id is in the
// keyring, so that a repeat, or the housekeeping after a crash, records what
// was done.
func (s *Server) RotateKey(ctx context.Context, r gen.RotateKeyRequestObject) (gen.RotateKeyResponseObject, error) {
	k := callOf(ctx)
	rotation, err := s.keys.Rotate(ctx, keyring.RotationKind(r.Body.Kind), k.commandID)
	if errors.Is(err, keyring.ErrInvalid) { // the schema admits no other kind, so the key is of another request
		return nil, &problem{code: "idempotency_key_reused", cause: err}
	}
	if err != nil {
		return nil, err
	}
	out, err := s.recordRotation(ctx, rotation)
	if err != nil {
		return nil, err
	}
	return gen.RotateKey201JSONResponse{
		Kind: gen.RotatingKind(rotation.Kind), KeyId: rotation.To, PreviousKeyId: rotation.From, Epoch: int64(rotation.Epoch),
		PublicKey: base64.StdEncoding.EncodeToString(rotation.Public), Rewrapped: rotation.Rewrapped, RotatedAt: rotation.At,
		EventIds: eventIDs(out),
	}, s.wrote(ctx, out)
}

// recordRotation records a rotation, and before it those that somebody else
// left unrecorded, because the epochs of signing keys follow each other in the
// log. What is recorded already is only looked up.
func (s *Server) recordRotation(ctx context.Context, rotation keyring.Rotation) (journal.Outcome, error) {
	all, err := s.keys.Rotations(ctx, 0)
	if err != nil {
		return journal.Outcome{}, err
	}
	k := callOf(ctx)
	for _, r := range all {
		record := journal.RecordRotation(r)
		record.Actor = domain.Actor{Kind: domain.ActorSystem, Ref: "housekeeping"}
		if r.Number == rotation.Number {
			record.Actor, record.RequestID = k.actor(), k.requestID
		}
		out, err := s.journal.Execute(ctx, record)
		if err != nil || r.Number == rotation.Number {
			return out, err
		}
	}
	return journal.Outcome{}, fmt.Errorf("record rotation %d: the keyring does not list it", rotation.Number)
}
