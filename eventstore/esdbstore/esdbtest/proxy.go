package esdbtest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
)

// Proxy forwards TCP connections to one address, until it is told otherwise:
// with one before each client, one of several can be cut off from a server the
// others still reach. Its methods may be called from any goroutine.
type Proxy struct {
	target   string
	listener net.Listener
	running  sync.WaitGroup // the accept loop and two pipes a connection

	mu     sync.Mutex // guards everything below
	conns  map[net.Conn]bool
	hole   chan struct{} // open while nothing is forwarded, nil otherwise
	closed bool
}

// StartProxy runs a proxy to an address until the test ends.
func StartProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	p, err := NewProxy(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// NewProxy runs a proxy to an address, on a free port of 127.0.0.1, until
// Close.
func NewProxy(target string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for a proxy: %w", err)
	}
	p := &Proxy{target: target, listener: listener, conns: map[net.Conn]bool{}}
	p.running.Go(p.accept)
	return p, nil
}

// Address is host and port clients connect to: see Server.URLAt.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Cut closes every connection. New ones are accepted.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close() // nobody is left to tell
	}
}

// Hole stops forwarding, both ways, and keeps the connections open; new ones
// are accepted and hear nothing. What arrives waits for Heal.
func (p *Proxy) Hole() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hole == nil {
		p.hole = make(chan struct{})
	}
}

// Heal ends Hole: what waited is forwarded.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hole != nil {
		close(p.hole)
		p.hole = nil
	}
}

// Close ends the proxy and every connection and waits for them.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.Cut()
	p.Heal()
	p.running.Wait()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close the proxy: %w", err)
	}
	return nil
}

func (p *Proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		if p.keep(in) {
			p.running.Go(func() { p.forward(in) })
		}
	}
}

// keep tracks a connection, or closes it when the proxy has ended.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	_ = c.Close()
}

// open waits while there is a hole.
func (p *Proxy) open() {
	for {
		p.mu.Lock()
		hole := p.hole
		p.mu.Unlock()
		if hole == nil {
			return
		}
		<-hole
	}
}

func (p *Proxy) forward(in net.Conn) {
	defer p.drop(in)
	p.open()
	out, err := net.Dial("tcp", p.target)
	if err != nil || !p.keep(out) {
		return
	}
	defer p.drop(out)
	var back sync.WaitGroup
	back.Go(func() {
		p.pipe(in, out)
		p.drop(in)
	})
	p.pipe(out, in)
	p.drop(out)
	back.Wait()
}

// pipe copies until either side ends; what was read during a hole is written
// after it.
func (p *Proxy) pipe(to io.Writer, from io.Reader) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.open()
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
