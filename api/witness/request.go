package witness

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/merkle"
)

// Request is the body of add-checkpoint (C2SP tlog-witness): the size the log
// believes the witness to be at, the proof from there, and the new checkpoint.
type Request struct {
	OldSize    uint64
	Path       []eventstore.Hash // RFC 6962 consistency proof
	Checkpoint []byte            // signed
}

// Limits of a request. The proof's is C2SP's.
const (
	MaxPath    = 63
	maxRequest = 80 + MaxPath*45 + merkle.MaxCheckpoint // bytes
)

var errRequest = errors.New("malformed request")

// Marshal writes the body.
func (r Request) Marshal() []byte {
	return fmt.Appendf(nil, "old %d\n%s\n%s", r.OldSize, merkle.FormatHashes(r.Path), r.Checkpoint)
}

// ParseRequest reads exactly what Marshal writes.
func ParseRequest(body []byte) (Request, error) {
	if len(body) > maxRequest {
		return Request{}, fmt.Errorf("%w: %d bytes, at most %d", errRequest, len(body), maxRequest)
	}
	head, checkpoint, ok := strings.Cut(string(body), "\n\n")
	if !ok {
		return Request{}, fmt.Errorf("%w: no blank line before the checkpoint", errRequest)
	}
	first, proof, _ := strings.Cut(head+"\n", "\n")
	size, found := strings.CutPrefix(first, "old ")
	old, err := strconv.ParseUint(size, 10, 63)
	if !found || err != nil || strconv.FormatUint(old, 10) != size {
		return Request{}, fmt.Errorf("%w: the first line must be \"old \" and a size", errRequest)
	}
	path, err := merkle.ParseHashes(proof)
	if err != nil {
		return Request{}, fmt.Errorf("%w: %w", errRequest, err)
	}
	if len(path) > MaxPath {
		return Request{}, fmt.Errorf("%w: %d lines of proof, at most %d", errRequest, len(path), MaxPath)
	}
	return Request{OldSize: old, Path: path, Checkpoint: []byte(checkpoint)}, nil
}
