package journal

import (
	"encoding/base64"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/keyring"
)

// RecordRotation is the request that records a rotation of the keyring; the
// caller adds who asked. Its command id is that of the rotation, so that the
// one who rotated and the one who tidies up after a crash record it once.
func RecordRotation(r keyring.Rotation) Request {
	return Request{
		Command: domain.RecordKeyRotated{
			Kind: string(r.Kind), KeyID: r.To, PreviousKeyID: r.From, Epoch: r.Epoch,
			PublicKey: base64.StdEncoding.EncodeToString(r.Public), Rewrapped: r.Rewrapped,
		},
		CommandID: r.Request,
	}
}
