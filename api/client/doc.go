// Package client calls the HTTP interface with an API key. It is small on
// purpose: one call with the conventions every operation shares (idempotency
// key, position, problem documents); the bodies are the types of api/gen. The
// simulated phone, the end-to-end tests and the benchmark use it.
package client
