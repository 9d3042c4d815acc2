package eventstore

import "crypto/sha256"

// Stored is a record as it lies in a store, for whoever trusts nothing that the
// store says of itself.
type Stored struct {
	Record
	// Running is the hash kept beside the record: that of the log up to it
	// (Mark). Zero in a store that keeps none.
	Running Hash
	// Malformed says why the row is no record; of the rest only Sequence is
	// then meant. Empty for a record.
	Malformed string
}

// Mark is a place in the log and the running hash there: 32 zero bytes before
// the first record, then SHA-256(running of the record before ‖ leaf).
type Mark struct {
	Sequence Sequence
	Running  Hash
}

// Next is the mark after one more record.
func (m Mark) Next(leaf Hash) Mark {
	var both [64]byte
	copy(both[:32], m.Running[:])
	copy(both[32:], leaf[:])
	return Mark{Sequence: m.Sequence + 1, Running: sha256.Sum256(both[:])}
}
