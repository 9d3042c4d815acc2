package esdbtest

import (
	"context"
	"net"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const (
	servicePrefix = "/event_store.client."
	methodAppend  = "Streams/Append"
)

// call is what the server knows of a call before it reads the request.
type call struct {
	method         string // Streams/Append
	requiresLeader bool
	user           string // empty for an anonymous one
}

type callKey struct{}

func callOf(ctx context.Context) call {
	c, _ := ctx.Value(callKey{}).(call)
	return c
}

func (m *member) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	ctx, err := m.admit(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return next(ctx, req)
}

func (m *member) streaming(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	ctx, err := m.admit(ss.Context(), info.FullMethod)
	if err == nil {
		err = next(srv, admitted{ss, ctx})
	}
	if err != nil && m.server.faults.refusesLate() && shortMethod(info.FullMethod) == methodAppend {
		// A call that ended with an error has messages left only if it was refused
		// before the end of the request.
		for ss.RecvMsg(&streams.AppendReq{}) == nil {
		}
	}
	return err
}

type admitted struct {
	grpc.ServerStream
	ctx context.Context
}

func (a admitted) Context() context.Context { return a.ctx }

// admit lets a call in, or refuses it, as a node does before it looks at the
// request: the password first, then whether it is ready and leads. That an
// append asks when it has read the whole request.
func (m *member) admit(ctx context.Context, fullMethod string) (context.Context, error) {
	c := call{method: shortMethod(fullMethod), requiresLeader: header(ctx, "requires-leader") == "true"}
	if err := m.server.faults.pass(ctx); err != nil {
		return nil, err
	}
	user, err := m.server.authenticate(ctx)
	if err != nil {
		return nil, err
	}
	c.user = user
	if c.method != methodAppend {
		if err := m.checkReady(ctx, c); err != nil {
			return nil, err
		}
	}
	return context.WithValue(ctx, callKey{}, c), nil
}

// shortMethod turns /event_store.client.streams.Streams/Append into
// Streams/Append.
func shortMethod(full string) string {
	service, method, _ := strings.Cut(strings.TrimPrefix(full, servicePrefix), "/")
	return service[strings.LastIndex(service, ".")+1:] + "/" + method
}

func header(ctx context.Context, key string) string {
	if values := metadata.ValueFromIncomingContext(ctx, key); len(values) > 0 {
		return values[0]
	}
	return ""
}

// checkReady refuses calls to streams and groups of a node that is not ready,
// and redirects what only the leader may answer. Persistent subscriptions live
// there whether the client says so or not.
func (m *member) checkReady(ctx context.Context, c call) error {
	toStreams, toGroups := strings.HasPrefix(c.method, "Streams/"), strings.HasPrefix(c.method, "PersistentSubscriptions/")
	f := &m.server.faults
	switch {
	case !toStreams && !toGroups:
		return nil
	case f.take(&f.unavailable):
		return status.Error(codes.Unavailable, "Server Is Not Ready")
	case f.take(&f.notLeader), !m.leads() && (toGroups || c.requiresLeader):
		return m.notLeader(ctx)
	}
	return nil
}

func (m *member) notLeader(ctx context.Context) error {
	leader := m.server.Leader()
	if leader < 0 {
		return status.Error(codes.Unavailable, "Server Is Not Ready")
	}
	host, port, err := net.SplitHostPort(m.server.members[leader].endpoint())
	if err != nil {
		return status.Error(codes.Internal, "the leader has no address")
	}
	return refuse(ctx, codes.NotFound, "not-leader", "Leader info available",
		"leader-endpoint-host", host, "leader-endpoint-port", port)
}

// refuse is an error with the trailers clients read: exception and pairs of key
// and value.
func refuse(ctx context.Context, code codes.Code, exception, message string, pairs ...string) error {
	trailer := metadata.Pairs(append([]string{"exception", exception}, pairs...)...)
	if err := grpc.SetTrailer(ctx, trailer); err != nil {
		return status.Errorf(codes.Internal, "set trailers of %s: %v", exception, err)
	}
	return status.Error(code, message)
}

// refused turns an error of the log into the answer of a call other than
// append, which has its own form of a wrong expected version.
func refused(ctx context.Context, stream string, err error) error {
	switch e := err.(type) {
	case *streamGone:
		return refuse(ctx, codes.FailedPrecondition, "stream-deleted", "Event stream '"+stream+"' is deleted.", "stream-name", stream)
	case *wrongVersion:
		return refuse(ctx, codes.FailedPrecondition, "wrong-expected-version", "Wrong expected version: "+e.Error(),
			"stream-name", stream, "expected-version", e.want.text(), "actual-version", e.actual())
	default:
		return status.Error(codes.Internal, err.Error())
	}
}
