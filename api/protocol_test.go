package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authledger/authledger/api/access"
)

// serve runs the server on a port of its own until the test ends or stop is
// called, which returns what Serve returned.
func serve(t *testing.T, w *world) (address string, stop func() error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.server.Serve(ctx, l) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String(), stop
}

// raw sends bytes on a connection of its own and returns the first answer and
// whether the server closed the connection after it.
func raw(t *testing.T, address, text string) (status int, body string, closed bool) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("read answer to %.60q: %v", text, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.Close {
		_, err := r.ReadByte()
		return res.StatusCode, string(b), err == io.EOF
	}
	return res.StatusCode, string(b), false
}

func TestProtocolAbuseIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address, _ := serve(t, w)
	key := "Authorization: Bearer " + w.api[access.Frontend] + "\r\nIdempotency-Key: k\r\nContent-Type: application/json\r\n"
	length := fmt.Sprintf("Content-Length: %d\r\n", len(goodClient))
	head := "POST /v1/clients HTTP/1.1\r\nHost: a\r\n" + key
	before := w.head()
	for _, row := range []struct {
		id, text string
		status   int
		closes   bool
	}{
		{"chunked", head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 411, true},
		{"length and chunked", head + length + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411, true},
		{"two lengths", head + length + "Content-Length: 1\r\n\r\n" + goodClient, 400, true},
		{"negative length", head + "Content-Length: -1\r\n\r\n", 400, true},
		{"large length", head + "Content-Length: 70000\r\n\r\n", 413, true},
		{"huge length", head + "Content-Length: 99999999999999999999\r\n\r\n", 400, true},
		{"chunk overflow", head + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", 411, true},
		{"unknown encoding", head + "Transfer-Encoding: gzip\r\n\r\n", 501, true},
		{"100 KB header", "GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 100<<10) + "\r\n\r\n", 431, true},
		{"two hosts", "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, true},
		{"no host", "GET /healthz HTTP/1.1\r\n\r\n", 400, true},
		{"header with line feed", "GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400, true},
		{"trace", "TRACE /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 405, false},
		{"connect", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405, false},
		{"bad version", "GET /healthz HTTP/9.9\r\nHost: a\r\n\r\n", 505, true},
		{"nul in path", "GET /v1/users/%00 HTTP/1.1\r\nHost: a\r\n" + key + "\r\n", 400, false},
		{"bad escape", "GET /v1/users/%zz HTTP/1.1\r\nHost: a\r\n" + key + "\r\n", 400, true},
	} {
		status, body, closed := raw(t, address, row.text)
		if status != row.status || row.closes && !closed {
			t.Errorf("%s: %d closed=%v, want %d closed=%v: %s", row.id, status, closed, row.status, row.closes, body)
		}
	}
	if w.head() != before {
		t.Errorf("%d events were appended", w.head()-before)
	}
	status, body, _ := raw(t, address, head+length+"\r\n"+goodClient)
	if status != 201 {
		t.Errorf("a good request: %d %s", status, body)
	}
}

func TestShutdownEndsLongPolls(t *testing.T) {
	t.Parallel()
	began := make(chan struct{}, 1)
	w := newWorld(t, func(c *Config) { c.Journal = watching{c.Journal, began} })
	w.register()
	w.enrollSMS()
	c := w.login().Challenge
	address, stop := serve(t, w)
	status := make(chan int, 1)
	go func() {
		r, err := http.NewRequestWithContext(context.Background(), "GET", "http://"+address+"/v1/challenges/"+c.Id+"?wait=30", nil)
		if err != nil {
			status <- 0
			return
		}
		r.Header.Set("Authorization", "Bearer "+w.api[access.Frontend])
		r.Close = true
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			status <- 0
			return
		}
		res.Body.Close()
		status <- res.StatusCode
	}()
	<-began
	begin := time.Now()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("stopping took %s", took)
	}
	if got := <-status; got != http.StatusOK {
		t.Errorf("the poll was answered %d", got)
	}
}
