// Package demo fills an empty ledger with the history of a small broker: some
// two hundred users in five countries over three months, with logins,
// failures, lockouts, opt-outs and refusals.
//
// Nothing is written past the rules: every fact is a command executed by the
// journal at a simulated time, codes and signatures are really computed and
// checked, and messages go through the reactors to a gateway that sends
// nothing. The same seed gives the same history.
package demo
