package esdbstore_test

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/esdbstore/esdbtest"
	"github.com/authledger/authledger/eventstore/storetest"
)

// points forwards connections to one server or another.
type points struct {
	mu     sync.Mutex
	target string
	open   []net.Conn
}

func (p *points) to(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
	for _, c := range p.open {
		_ = c.Close()
	}
	p.open = nil
}

func (p *points) listen(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			out, err := net.Dial("tcp", p.target)
			if err != nil {
				p.mu.Unlock()
				_ = in.Close()
				continue
			}
			p.open = append(p.open, in, out)
			p.mu.Unlock()
			running.Go(func() { _, _ = io.Copy(out, in); _ = out.Close() })
			running.Go(func() { _, _ = io.Copy(in, out); _ = in.Close() })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.to("")
		running.Wait()
	})
	return l.Addr().String()
}

// TestLogPutBackUnderARunningNode: a database that is restored from an older
// backup while a node runs stops the node: nothing is read or written any more.
func TestLogPutBackUnderARunningNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t, esdbtest.Options{})
	p := &points{target: w.Address(0)}
	s := w.node(t, w.URLAt(p.listen(t)))
	if _, err := s.Append(soon(t), "user-1", eventstore.NoStream(), storetest.Events("first", 2)); err != nil {
		t.Fatal(err)
	}
	log(t, s)
	restored := esdbtest.Start(t, esdbtest.Options{})
	for _, e := range w.Events(w.prefix + ".identity") {
		if _, err := restored.Put(e.Stream, esdbtest.Proposed{ID: e.ID, Type: e.Type, Data: e.Data, Metadata: e.Metadata}); err != nil {
			t.Fatal(err)
		}
	}
	p.to(restored.Address(0))
	var last error
	for _, err := range s.Follow(soon(t), 2, 10) {
		last = err
	}
	if !errors.Is(last, eventstore.ErrDamaged) {
		t.Errorf("follow: got %v, want %v", last, eventstore.ErrDamaged)
	}
	if _, err := s.Append(soon(t), "user-2", eventstore.NoStream(), storetest.Events("second", 1)); !errors.Is(err, eventstore.ErrDamaged) {
		t.Errorf("append: got %v, want %v", err, eventstore.ErrDamaged)
	}
	if n := len(restored.Events(w.prefix + ".ledger-")); n != 0 {
		t.Errorf("%d records were written to the restored database", n)
	}
}
