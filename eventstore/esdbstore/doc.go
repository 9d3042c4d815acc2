// Package esdbstore is the log in an EventStoreDB or KurrentDB: replicated, and
// shared by any number of processes, each with a Store of its own.
//
// Records lie in the database's streams <prefix>.ledger-<stream>, their data as
// it is and their other fields around their metadata (envelope.go). The order of
// the log is the order of the database's $all stream. Its positions have gaps,
// so every process counts the ledger's records there and gets the same dense
// sequence; what it counted lies in a small file of its own, index.db, which can
// be thrown away. Beside the ledger lie the side streams <prefix>.<name>.
//
// The package hides the client library: no error, type or defect of it leaves
// (connection.go says which are absorbed). It must not know what a record means.
// Most readers want Open.
package esdbstore
