package eventstore

import "time"

// LateLimit is how much older than what stands before it a record of a log with
// Disorder may be without being called back-dated.
//
// A record is stamped by the process that appends it and gets its place when the
// store has it. Between the two lies the network: an append is given up after
// 10 s, and what was sent until then may wait on a connection that stalls, or in
// the store's queue while a cluster elects a leader, and land afterwards. That
// takes seconds to tens of seconds; nothing honest takes longer than a minute. It
// is also the most by which a record's time can be wrong unnoticed, so it is no
// larger than that.
const LateLimit = time.Minute

// Lateness is what a record's age says about it.
type Lateness int

// The values. Each is worse than the one before.
const (
	InTime    Lateness = iota
	Late               // by nobody's fault: worth a word
	BackDated          // its time cannot be right
)

// Judge tells what a record is that is older than something before it by so
// much, when so much is allowed. A log whose Disorder is zero has no late
// records: its only process stamps and orders in one step.
func Judge(older, allowed, disorder time.Duration) Lateness {
	switch {
	case older <= allowed:
		return InTime
	case disorder > 0 && older <= LateLimit:
		return Late
	}
	return BackDated
}
