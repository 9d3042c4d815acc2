// Package pskc reads and writes the files by which a manufacturer of security
// cards hands over their seeds: Portable Symmetric Key Containers (RFC 6030)
// with OCRA keys (RFC 6287), encrypted under a transport key that both sides
// know (RFC 6030 §6.1).
//
// It takes the strict part of the format: every seed is encrypted with AES-CBC
// and carries a MAC, which is checked before anything is decrypted; a seed in
// the clear is refused. A file is taken whole or not at all. What a file says
// beside its seeds is text that RFC 6030 leaves unprotected: the MAC does not
// cover serial numbers, suites and counters, so a file must come from the
// manufacturer over a channel that is itself authentic.
//
// It must not know of the ledger. Most readers want Read.
package pskc
