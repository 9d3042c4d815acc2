package esdbtest

import (
	"net"
	"sync"
	"testing"
)

// BlackHole listens until the test ends, accepts connections and says nothing,
// as a machine behind a broken network does. It returns its address.
func BlackHole(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	accepting.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
		}
	})
	t.Cleanup(func() {
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
		accepting.Wait()
		for _, c := range open {
			_ = c.Close()
		}
	})
	return listener.Addr().String()
}
