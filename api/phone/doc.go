// Package phone is a small IB Key app for people and tests: it registers an
// installation, activates with the code from the SMS, answers pushes by typing
// the number of the login page, and turns a six-digit challenge into the
// eight-digit response without a network.
//
// It keeps its keys in one file of mode 0600, as a phone keeps them in its key
// store, and knows of the server only what the HTTP interface tells.
package phone
