package main

import (
	"context"
	"io"

	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/authledger/authledger/replay/bundle"
)

// export writes an evidence bundle from the running stores. Its manifest is
// signed by the log's newest key, which says that this ledger made it.
func (s *stores) export(ctx context.Context, r bundle.Request, out io.Writer) (bundle.Manifest, error) {
	keys, err := s.sealer.Keys(ctx)
	if err != nil {
		return bundle.Manifest{}, err
	}
	newest := keys.Epochs[len(keys.Epochs)-1]
	r.Version = version
	return bundle.Write(ctx, bundle.Source{Log: s.log, History: s.sealer.History, Policy: s.witnesses, Sign: &merkle.Signer{
		Public: newest.Public,
		Sign:   func(message []byte) ([]byte, error) { return s.keys.Sign(ctx, newest.Number, message) },
	}}, r, out)
}
