// Package phone is a small IB Key app for people and tests: it registers an
// installation, activates one user or several with the codes from their SMS,
// answers pushes by typing the number of the login page, and turns a six-digit
// challenge into the eight-digit response without a network. IB Key comes to it
// by migration from another phone, by recovery after the app was installed
// again, and by unification from the standalone app on the same phone; and
// temporary credentials wait in it.
//
// It keeps its keys in one file of mode 0600, as a phone keeps them in its key
// store, and knows of the server only what the HTTP interface tells. On Android
// it asks for the PIN of the app, which never leaves the file and is kept there
// as a digest.
package phone
