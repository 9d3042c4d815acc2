// Package card is a small Digital Security Card+ for people and tests, and the
// factory that makes such cards: it turns a PIN and the six-digit challenge of
// the login page into the eight-digit response, and never talks to anybody.
// The seeds of a batch go to the ledger in an encrypted file of package pskc.
//
// It also looks up the cells of a code card in a file of its cells.
//
// A card keeps its seed, counter and PIN in one file of mode 0600, as a real
// one keeps them in its chip. Like a real one it cannot know whether a PIN is
// right where the suite mixes the PIN in (K-18): a wrong PIN is a wrong
// response. A card that checks its PIN by itself behaves the same here, so that
// whoever finds it learns nothing by trying; it does not lock.
package card
