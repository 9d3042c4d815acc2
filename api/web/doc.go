// Package web is the console: pages for people who need to know what happened
// to a user's login, rendered on the server and readable without scripts.
//
// It shows what its Data gives and decides nothing. Every value that came from
// outside is escaped by html/template, and the content security policy allows
// neither inline code nor other origins. Outside a demonstration a page needs a
// session, which an API key with a reading role opens; what is read is recorded
// before it is shown. The package must not know where its data is stored; Ledger
// is the one that reads the product's own. Most readers want New and NewLedger.
package web
