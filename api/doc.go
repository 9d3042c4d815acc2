// Package api is the HTTP interface of the ledger, as api/openapi.yaml
// describes it: handlers that translate a request into one command or query,
// call once, and translate the answer back.
//
// It decides nothing about users; the rules are in package domain and reach it
// through the journal. Answers to writes come from the decided events and the
// journal's state, never from a read model. Everything that guards the
// handlers (body rules, validation, keys, roles, limits, idempotency) is
// middleware in one chain, see server.go; who may call what stands in one
// table, roles.go; what an error becomes in another, errors.go.
//
// Most readers want Config, New and Server.Serve.
package api
