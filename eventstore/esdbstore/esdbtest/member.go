package esdbtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
)

// maxMessage is above every limit the server enforces, so that too large an
// append meets the server's rule and not gRPC's.
const maxMessage = 1 << 30

// member is one node: a listener and the services behind it.
type member struct {
	server  *Server
	index   int
	id      uuid.UUID
	address string // fixed by the first start

	mu         sync.Mutex // guards everything below
	rpc        *grpc.Server
	served     chan struct{} // closed when rpc has ended
	conns      map[string]net.Conn
	lag        int    // events a follower is behind
	advertised string // address in gossip and redirects; its own when empty
}

func newMember(s *Server, index int) *member {
	return &member{server: s, index: index, id: uuid.New(), conns: map[string]net.Conn{}}
}

// start listens on the member's address, a free one at first.
func (m *member) start() error {
	listener, err := listenAgain(m.address)
	if err != nil {
		return fmt.Errorf("listen for member %d: %w", m.index, err)
	}
	rpc, served := m.newRPC(), make(chan struct{})
	m.mu.Lock()
	m.address, m.rpc, m.served = listener.Addr().String(), rpc, served
	m.mu.Unlock()
	go func() {
		defer close(served)
		if err := rpc.Serve(tracked{listener, m}); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			panic("esdbtest: serve: " + err.Error())
		}
	}()
	return nil
}

// listenAgain listens on an address used before, or on a free port it can be
// had on again: one below those the kernel gives to whoever asks for any port
// (from 32768 on Linux), so that no client takes it while a member is stopped.
func listenAgain(address string) (net.Listener, error) {
	if address != "" {
		return net.Listen("tcp", address)
	}
	for range 100 {
		port := 20_000 + rand.IntN(12_000)
		if listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return listener, nil
		}
	}
	return net.Listen("tcp", "127.0.0.1:0")
}

func (m *member) newRPC() *grpc.Server {
	options := []grpc.ServerOption{
		grpc.WaitForHandlers(true),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.UnaryInterceptor(m.unary),
		grpc.StreamInterceptor(m.streaming),
		// The client pings every 10 s, calls or not; gRPC's default is to hang up on that.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
	}
	if t := m.server.tls; t != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(t.config)))
	}
	rpc := grpc.NewServer(options...)
	serverfeatures.RegisterServerFeaturesServer(rpc, &featuresService{m: m})
	gossip.RegisterGossipServer(rpc, &gossipService{m: m})
	streams.RegisterStreamsServer(rpc, &streamsService{m: m})
	persistent.RegisterPersistentSubscriptionsServer(rpc, &persistentService{m: m})
	return rpc
}

// stop ends the member and waits for its calls; a member may be stopped twice.
func (m *member) stop() {
	m.mu.Lock()
	rpc, served := m.rpc, m.served
	m.rpc = nil
	m.mu.Unlock()
	if rpc == nil {
		return
	}
	rpc.Stop()
	<-served
}

func (m *member) running() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rpc != nil
}

// cut closes every connection; the listener goes on.
func (m *member) cut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.conns {
		_ = c.Close() // nobody is left to tell
	}
}

// hangUp closes the connection a call came by.
func (m *member) hangUp(ctx context.Context) {
	from, ok := peer.FromContext(ctx)
	if !ok {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.conns[from.Addr.String()]; c != nil {
		_ = c.Close()
	}
}

// horizon is how far the member sees: to the end when it leads.
func (m *member) horizon() (uint64, <-chan struct{}) {
	m.mu.Lock()
	lag := m.lag
	m.mu.Unlock()
	if m.leads() {
		lag = 0
	}
	return m.server.log.horizon(lag)
}

func (m *member) leads() bool {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	return m.server.leader == m.index
}

// endpoint is where clients are told to find the member.
func (m *member) endpoint() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.advertised != "" {
		return m.advertised
	}
	return m.address
}

// tracked is a listener whose connections the member can close.
type tracked struct {
	net.Listener
	m *member
}

func (t tracked) Accept() (net.Conn, error) {
	c, err := t.Listener.Accept()
	if err != nil {
		return nil, err
	}
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	key := c.RemoteAddr().String()
	t.m.conns[key] = c
	return &trackedConn{Conn: c, forget: func() {
		t.m.mu.Lock()
		defer t.m.mu.Unlock()
		if t.m.conns[key] == c {
			delete(t.m.conns, key)
		}
	}}, nil
}

type trackedConn struct {
	net.Conn
	forget func()
}

func (c *trackedConn) Close() error {
	c.forget()
	return c.Conn.Close()
}
