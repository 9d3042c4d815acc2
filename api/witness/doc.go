// Package witness makes a second party vouch for a log: a witness remembers the
// newest checkpoint it has seen of a log and cosigns only those that extend it,
// so that nobody, not even who holds the log's keys, can show two histories to
// two auditors.
//
// Server is such a witness (C2SP tlog-witness), to be run by somebody who does
// not run the log, on another host with another key. Collector asks the
// witnesses of a policy from the log's side. They know nothing of events.
package witness
