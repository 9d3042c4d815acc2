package merkle

import (
	"context"
	"iter"
)

// Published is a checkpoint as the sealer published it, and what others said of
// it since.
type Published struct {
	Revision uint64  // of the history of checkpoints: dense, from 1
	Signed   []byte  // with the cosignatures known when it was read
	Stamps   []Stamp // RFC 3161 tokens over the checkpoint as the log signed it
}

// Stamp is a time stamp by an authority that is not the log.
type Stamp struct {
	Authority string // its address, as configured
	Token     []byte // RFC 3161 TimeStampResp in DER
}

// History is what was ever published of a log's tree. Readers of it trust
// nothing it says before they have checked the signatures.
type History interface {
	// Latest returns the newest checkpoint, or eventstore.ErrNotFound.
	Latest(ctx context.Context) (Published, error)
	// From yields the checkpoints from a revision on, in order. An error is the
	// last pair.
	From(ctx context.Context, revision uint64) iter.Seq2[Published, error]
	// Covering returns the first checkpoint of at least a size, or
	// eventstore.ErrNotFound.
	Covering(ctx context.Context, size uint64) (Published, error)
	// Tile returns the hashes kept of a tile, a prefix of the full one, or
	// eventstore.ErrNotFound.
	Tile(ctx context.Context, level int, n int64) ([]byte, error)
	// Keys returns the log's public keys.
	Keys(ctx context.Context) (Keys, error)
}
