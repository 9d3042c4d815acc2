// Package timestamp has checkpoints of the log stamped by an authority that is
// not us (RFC 3161), and checks what it answered. A time stamp proves that the
// checkpoint, and so the whole history before it, existed at that time: whoever
// takes over the ledger and its keys later cannot rewrite what was stamped.
package timestamp
