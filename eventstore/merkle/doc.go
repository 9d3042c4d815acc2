// Package merkle makes the log provable: it turns the leaf hashes of records
// into an RFC 6962 tree, signs tree heads as C2SP checkpoints, and makes and
// checks the proofs that stand on them.
//
// It holds formats and mathematics only, over golang.org/x/mod/sumdb and the
// C2SP libraries; it reads no file and knows no network. Sizes count records, so
// a tree of size n covers the sequences 1 to n, and the record with sequence s
// is leaf s-1 (Index).
//
// Most readers want Checkpoint and Keys (who signed what), Inclusion and
// Consistency (proofs), and Growing (the root of a log that is read through).
package merkle
