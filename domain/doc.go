// Package domain holds the rules of the Secure Login System: what a user, a
// client and an installation are, which commands change them, and which events
// record that they did, or why they did not.
//
// It is pure. Decide takes a state, a command, the evidence gathered for it,
// the time and the policy, and returns events or an error; Apply records an
// event in a state and judges nothing. There is no clock, no randomness, no
// I/O and no cryptography here: codes and signatures are checked by the caller
// and arrive as evidence. Rules are cited by their numbers in the rule book
// (R-41, D-10, S-2).
//
// One file holds one flow: its commands, its events and its decisions.
package domain
