package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/authledger/authledger/api/erase"
	"github.com/authledger/authledger/domain"
)

// openEraser prepares to destroy what is decided to be destroyed, and destroys
// again what an older copy of keys.db would bring back, before anything is read
// with it.
func (s *stores) openEraser(ctx context.Context, dir string, logger *slog.Logger) (err error) {
	s.eraser, err = erase.New(erase.Config{
		Journal: s.journal, Log: s.log, Codec: s.codec, Keys: s.keys, Views: s.views, Dir: dir, Node: s.node(), Logger: logger,
	})
	if err != nil {
		return err
	}
	return s.eraser.Repeat(ctx)
}

// forget is the erasure of the demo broker's history, carried out as the handler
// does while the product runs. It finds out by itself what to search for.
func (s *stores) forget(ctx context.Context, e domain.PersonalDataErased, _ []string) (domain.CertifyErasure, error) {
	return s.eraser.Destroy(ctx, e)
}

// node is this node's name among several: the machine's. A ledger that is not
// shared has none.
func (s *stores) node() string {
	if !s.backend.shared() {
		return ""
	}
	name, err := os.Hostname()
	if err != nil {
		return "a node without a name"
	}
	return name
}
