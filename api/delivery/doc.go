// Package delivery is what follows from an event: on the way to a person text
// messages, calls, copies of codes, pushes and security notices; in the ledger
// automatic enrolment, what installations and physical units know of those who
// live there, the watch over opt-outs that a rule no longer allows, and what
// time alone brings about.
//
// It reads the log through reactors and answers with commands whose ids derive
// from the event that caused them, so that seeing an event again changes
// nothing. A text message or call is announced in the ledger before it is handed
// to a gateway: after a crash in between it counts as uncertain and is never
// sent a second time. Codes exist here in memory only, between their derivation and
// the gateway; no type of this package prints one.
//
// Several nodes may share a log. Then a record is handed to one of them, except
// what re-evaluates opt-outs, which every node does. Text messages, calls and
// copies of codes are sent at most once, because only one node can record that
// one begins; pushes and notices are sent at least once, under an id that stays
// the same. What time alone brings about is looked for by every node: the ids of
// those commands derive from what they are about, so all of them give the same
// command, and the log takes it once.
//
// It must not decide anything about a login: that is the domain's, and nothing
// here is needed for one to be decided. Most readers want New, Delivery.Register
// and a Gateway.
package delivery
