package sealer

import (
	"context"
	"testing"

	"github.com/authledger/authledger/eventstore"
)

// OpenProof opens the store of a directory by itself.
func OpenProof(t *testing.T, dir string) Store {
	t.Helper()
	p, err := openProof(context.Background(), dir, onlyHistory)
	if err != nil {
		t.Fatalf("open %s: %v", dir, err)
	}
	return p
}

// OpenShared opens the store of a node by itself.
func OpenShared(t *testing.T, dir string, side eventstore.Side) Store {
	t.Helper()
	s, err := openShared(context.Background(), dir, side)
	if err != nil {
		t.Fatalf("open %s: %v", dir, err)
	}
	return s
}

// FailCommit lets every publication fail before its commit, until fail is nil.
func (s *Sealer) FailCommit(fail func() error) {
	if s.shared != nil {
		s.shared.faults.commit = fail
		return
	}
	s.store.(*proof).faults.commit = fail
}

// FileName is the file of a store in a data directory.
const FileName = proofFile
