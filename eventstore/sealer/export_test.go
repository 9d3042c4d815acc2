package sealer

import (
	"context"
	"testing"
)

// OpenProof opens the store of a directory by itself.
func OpenProof(t *testing.T, dir string) Store {
	t.Helper()
	p, err := openProof(context.Background(), dir)
	if err != nil {
		t.Fatalf("open %s: %v", dir, err)
	}
	return p
}

// FailCommit lets every publication fail before its commit, until fail is nil.
func (s *Sealer) FailCommit(fail func() error) { s.store.(*proof).faults.commit = fail }

// FileName is the file of a store in a data directory.
const FileName = proofFile
