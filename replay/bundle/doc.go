// Package bundle writes and checks evidence bundles: a zip that carries an
// extract of the log with everything that proves, without the ledger and
// without a network, that each event in it is in the log as it was signed and
// that nothing which the question asked for was left out. docs/evidence.md is
// the format.
//
// It reads the log and the history of checkpoints and knows no keys, no codec
// and no clock: what is sealed stays sealed. Most readers want Write and
// Verify. The two other verifiers, verify.html and verify_bundle.py, travel in
// each bundle and share no code with this package.
package bundle
