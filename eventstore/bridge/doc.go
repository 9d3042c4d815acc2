// Package bridge puts watermill over the ledger's log: the one road for
// everything that follows from an event.
//
// A Subscriber follows the log and hands out its records in order, at least
// once, one message at a time: the next message leaves only after the previous
// one's Ack, because watermill's router runs a goroutine for each message. The
// messages of the topic "ledger" carry whole batches (Records), for one message
// per event is slower than a rebuild may be. NewPubSub makes the same log a
// general publisher and subscriber for outbound messages. NewSharedSubscriber is
// for a log that several nodes share: each record goes to one of them, one record
// a message and several in flight, in order within a stream. NewRouter builds the
// router whose handlers park instead of skipping.
//
// It must not know what a record means, where a consumer keeps its position,
// or what a handler does. Effect-once is the consumer's job: it writes its
// result and its position in one transaction and ignores what it has seen.
//
// Most readers want NewSubscriber, NewRouter and, for handlers that act record
// by record, NewReactor.
package bridge
