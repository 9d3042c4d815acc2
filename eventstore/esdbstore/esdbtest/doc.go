// Package esdbtest is an EventStoreDB / KurrentDB server for tests, in this
// process: the real client talks gRPC to it over loopback, through the service
// stubs the client itself ships. Most readers want Start and Server.URL.
//
// What it can prove: that our adapter sends the options, revisions, ids and
// headers it means to, reads every answer and trailer rightly, resumes without
// loss or duplicate, and neither hangs nor leaks when a node, a connection or
// an answer goes missing.
//
// What it cannot prove: durability, real ordering under load, elections and
// replication timing, scavenging and access control of a specific version, and
// anything about speed. The rules written here are our reading of the server's;
// the contract suite run against a real server (AUTHLEDGER_TEST_ESDB) is what
// compares the two.
//
// The log is a small one of its own (log.go) and not memstore: a server holds
// system and foreign streams, metadata streams, tombstones, bytes that are not
// JSON, sparse positions and four forms of expected revision, all of which
// memstore refuses by contract. Both pass one suite, storetest: memstore
// directly, this server below the adapter.
//
// Production code must not import this package; a test holds that.
package esdbtest
