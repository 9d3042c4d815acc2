package api

import (
	"context"
	"encoding/base64"
	"errors"

	"github.com/authledger/authledger/api/gen"
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
	items := make([]gen.KeyLine, 0, len(list))
	for _, k := range list {
		items = append(items, gen.KeyLine{
			Kind: gen.KeyLineKind(k.Kind), Id: k.ID, State: gen.KeyLineState(k.State), Count: k.Count, Epoch: int64(k.Epoch),
			PublicKey: base64.StdEncoding.EncodeToString(k.Public), Since: k.Since, Ended: k.Ended,
		})
	}
	return gen.ListKeys200JSONResponse{Items: items}, nil
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
	record := journal.RecordRotation(rotation)
	record.Actor, record.RequestID = k.actor(), k.requestID
	out, err := s.journal.Execute(ctx, record)
	if err != nil {
		return nil, err
	}
	return gen.RotateKey201JSONResponse{
		Kind: gen.RotatingKind(rotation.Kind), KeyId: rotation.To, PreviousKeyId: rotation.From, Epoch: int64(rotation.Epoch),
		PublicKey: base64.StdEncoding.EncodeToString(rotation.Public), Rewrapped: rotation.Rewrapped, RotatedAt: rotation.At,
		EventIds: eventIDs(out),
	}, s.wrote(ctx, out)
}
