package api

import (
	"context"

	"github.com/google/uuid"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
)

// call is what the middleware knows about one request and what the handlers
// tell it about the answer. It belongs to the request's goroutine.
type call struct {
	requestID string
	route     string // pattern, such as /v1/users/:userId
	path      string
	query     string // normalised
	wantsText bool   // rather than JSON, where both are offered
	client    access.Client
	key       string    // Idempotency-Key
	commandID uuid.UUID // zero for calls that append nothing

	position eventstore.Position // of the last append
	wrote    bool
	replayed bool
	readAt   eventstore.Position
	read     bool
	etag     string
}

type callKey struct{}

func withCall(ctx context.Context, c *call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

// callOf returns the request's call. Every request has one: the chain's first
// link puts it there.
func callOf(ctx context.Context) *call {
	c, ok := ctx.Value(callKey{}).(*call)
	if !ok {
		panic("api: context without a call: the handler was reached around the middleware")
	}
	return c
}

// actor is who is behind the commands of this caller.
func (c *call) actor() domain.Actor {
	kind := domain.ActorClient
	switch c.client.Role {
	case access.Gateway:
		kind = domain.ActorProvider
	case access.Operator, access.Auditor, access.Incident:
		kind = domain.ActorAgent
	case access.Compliance:
		kind = domain.ActorCompliance
	}
	return domain.Actor{Kind: kind, Ref: c.client.ID}
}

// namespaceCommand is the UUIDv5 name space of command ids; fixed for ever,
// because the ids stand in the ledger.
var namespaceCommand = uuid.MustParse("b3f0c8b4-6a0e-5a53-9b7e-3f8b1f5c2a10")

// commandIDOf derives the command id from what makes a request the same
// request: the caller, the route and path, and the key it chose.
func commandIDOf(caller, method, route, path, key string) uuid.UUID {
	const separator = "\x1f"
	return uuid.NewSHA1(namespaceCommand, []byte(caller+separator+method+" "+route+separator+path+separator+key))
}
