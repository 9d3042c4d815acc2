package esdbtest

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// Options of a server. The zero value is one insecure node that lets everybody
// do everything.
type Options struct {
	// Clock stamps events and judges $maxAge and message timeouts. The real one
	// when nil. After moving a fake clock call Server.Tick.
	Clock func() time.Time
	// TLS serves with a certificate of an authority made for this server.
	TLS bool
	// User and Password are asked for when User is not empty. The client sends
	// them over TLS only, so they need TLS.
	User, Password string
	// Admin puts the user into $admins, whom no access list stops. Only then may
	// it read $all, unless the list of $all says otherwise.
	Admin bool
	// Version is what GetSupportedMethods reports: numbers with dots. 26.1.0 when
	// empty.
	Version string
	// Members is the size of the cluster, 1 when 0. All members share one log;
	// member 0 leads at first.
	Members int
	// MaxAppendSize is the most bytes one append may carry, 1 MiB when 0: the
	// default of 23.10 (26.x allows 256 MiB).
	MaxAppendSize int
}

func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Version == "" {
		o.Version = "26.1.0"
	}
	if o.Members == 0 {
		o.Members = 1
	}
	if o.MaxAppendSize == 0 {
		o.MaxAppendSize = 1 << 20
	}
	return o
}

// Server is a cluster of one or more members over one log. Its methods may be
// called from any goroutine.
type Server struct {
	options Options
	log     *ledger
	members []*member
	groups  *groups
	faults  faults
	counts  counts
	tls     *authority // nil without TLS

	lifecycle sync.Mutex // held by whoever starts, stops or restarts members

	mu     sync.Mutex // guards everything below
	leader int        // index of the leading member, -1 without one
	closed bool
}

// Start runs a server until the test ends.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// New runs a server on free ports of 127.0.0.1 until Close.
func New(o Options) (*Server, error) {
	o = o.withDefaults()
	if o.User != "" && !o.TLS {
		return nil, errors.New("a user needs TLS: without it the client sends no password")
	}
	s := &Server{options: o}
	s.faults.maxAppendSize = o.MaxAppendSize
	s.log = newLedger(func() time.Time { return o.Clock().Add(s.faults.clockOffset()) })
	s.groups = newGroups(s)
	if o.TLS {
		a, err := newAuthority()
		if err != nil {
			return nil, err
		}
		s.tls = a
	}
	s.Interleave(3) // a real log is never empty
	for i := range o.Members {
		s.members = append(s.members, newMember(s, i))
	}
	for _, m := range s.members {
		if err := m.start(); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	s.groups.start()
	return s, nil
}

// Close ends every connection and waits for what the server runs.
func (s *Server) Close() error {
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	s.mu.Lock()
	done := s.closed
	s.closed = true
	s.mu.Unlock()
	if done {
		return nil
	}
	for _, m := range s.members {
		m.stop()
	}
	s.groups.stop()
	if s.tls == nil {
		return nil
	}
	if err := os.RemoveAll(s.tls.dir); err != nil {
		return fmt.Errorf("remove the certificate of the test server: %w", err)
	}
	return nil
}

// Restart ends every member and starts all, stopped ones too, on the same
// addresses with the same log. Persistent subscriptions go on from their
// checkpoints.
func (s *Server) Restart() error {
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	for _, m := range s.members {
		m.stop()
	}
	s.groups.stop()
	s.groups.rewind()
	for _, m := range s.members {
		if err := m.start(); err != nil {
			return err
		}
	}
	s.setLeader(s.electable())
	s.groups.start()
	return nil
}

// URL is the connection string of all members.
func (s *Server) URL() string {
	addresses := make([]string, len(s.members))
	for i, m := range s.members {
		addresses[i] = m.address
	}
	return s.URLAt(addresses...)
}

// URLAt is the connection string with other addresses, say of a Proxy. Several
// make the client ask for the members of the cluster and leave the addresses.
func (s *Server) URLAt(addresses ...string) string {
	login, query := "", "tls=false"
	if s.tls != nil {
		query = "tls=true&tlsCaFile=" + url.QueryEscape(s.tls.file)
	}
	if s.options.User != "" {
		login = url.UserPassword(s.options.User, s.options.Password).String() + "@"
	}
	return "esdb://" + login + strings.Join(addresses, ",") + "?" + query
}

// Address is host and port of a member.
func (s *Server) Address(member int) string { return s.members[member].address }

// CAFile is the PEM file of the authority that signed the certificate; empty
// without TLS.
func (s *Server) CAFile() string {
	if s.tls == nil {
		return ""
	}
	return s.tls.file
}

// Tick looks at the clock again: message timeouts that are over take effect.
func (s *Server) Tick() { s.log.wake() }
