// Package delivery is what follows from an event on the way to a person: text
// messages, pushes, security notices, automatic enrolment, and the watch over
// opt-outs that a rule no longer allows.
//
// It reads the log through reactors and answers with commands whose ids derive
// from the event that caused them, so that seeing an event again changes
// nothing. A text message is announced in the ledger before it is handed to a
// gateway: after a crash in between it counts as uncertain and is never sent a
// second time. Codes exist here in memory only, between their derivation and
// the gateway; no type of this package prints one.
//
// It must not decide anything about a login: that is the domain's, and nothing
// here is needed for one to be decided. Most readers want New, Delivery.Register
// and a Gateway.
package delivery
