// Package sealer makes the log provable while it runs: it follows the records,
// builds their Merkle tree, and signs its head as a C2SP checkpoint, every
// second while there is news and every minute while there is none.
//
// What it published is never changed and lives in a Store: proof.db beside the
// ledger (Open, OpenReader) or memory (NewMemory). Before it signs, it reads the
// new records again from the ledger and compares them with what it saw when they
// were appended. Whatever contradicts what was published stops it (Status) and
// nothing else: logins go on, and a person looks at it before a restart.
//
// Several nodes may seal one log (Options.Side): the history then is in side
// streams, the next revision belongs to whoever publishes it first, and the
// others adopt it when their own tree has that root, or stop when it has not.
// proof.db is each node's copy of what it has checked.
//
// It must not know what a record means; who made it passes a function that
// recognises the rotation of a signing key.
//
// Most readers want Open, Sealer.Register and Sealer.Run, and OpenReader for
// tools beside a running server; CopyHistory moves a history between homes.
package sealer
