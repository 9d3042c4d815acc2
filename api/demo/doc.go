// Package demo fills an empty ledger with the history of a small broker: some
// two hundred users in five countries over three months, with logins,
// failures, lockouts, opt-outs and refusals.
//
// Beside these habits it tells stories, one for each flow, with users of their
// own whose references are fixed: Stories is the catalogue. A story is a
// function that reads from top to bottom and sleeps in between, while the rest
// of the broker goes on.
//
// Nothing is written past the rules: every fact is a command executed by the
// journal at a simulated time, codes, responses and signatures are really
// computed and checked, and messages go through the reactors to a network that
// sends nothing. The same seed gives the same history.
package demo
