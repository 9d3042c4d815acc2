package bench

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
)

// client is one keep-alive connection. It writes requests by hand and reads
// answers with net/http's parser: the generator shares the machine with what
// it measures, and http.Client would cost more than the handlers of the
// baseline. It belongs to one goroutine.
type client struct {
	conn    net.Conn
	read    *bufio.Reader
	head    []byte // of every request, up to the idempotency key
	run     string // unique part of the idempotency keys
	sent    uint64
	request []byte
	answer  bytes.Buffer
}

func dial(base, key string) (*client, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		return nil, err
	}
	return &client{
		conn: conn, read: bufio.NewReaderSize(conn, 8<<10), run: rand.Text(),
		head: fmt.Appendf(nil, " HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nIdempotency-Key: ", u.Host, key),
	}, nil
}

func (c *client) close() error { return c.conn.Close() }

// post returns the status and the body of the answer, which is good until the
// next call.
func (c *client) post(path string, body []byte) (int, []byte, error) {
	c.sent++
	b := append(append(c.request[:0], "POST "...), path...)
	b = append(append(append(b, c.head...), c.run...), '-')
	b = append(strconv.AppendUint(b, c.sent, 10), "\r\nContent-Length: "...)
	b = append(strconv.AppendInt(b, int64(len(body)), 10), "\r\n\r\n"...)
	c.request = append(b, body...)
	if _, err := c.conn.Write(c.request); err != nil {
		return 0, nil, fmt.Errorf("send POST %s: %w", path, err)
	}
	res, err := http.ReadResponse(c.read, nil)
	if err != nil {
		return 0, nil, fmt.Errorf("read the answer of POST %s: %w", path, err)
	}
	c.answer.Reset()
	if _, err := io.Copy(&c.answer, res.Body); err != nil {
		return 0, nil, fmt.Errorf("read the answer of POST %s: %w", path, err)
	}
	return res.StatusCode, c.answer.Bytes(), res.Body.Close()
}

// startBody is what the login page sends after the password.
func startBody(userID string) []byte {
	return fmt.Appendf(nil, `{"userId":"%s","purpose":"login","platform":"client_portal","deviceRef":"browser-1","ip":"203.0.113.9","primaryFactor":"verified"}`, userID)
}

// login is one whole login: password verdict, challenge, response, session.
func (c *client) login(p *person) error { return untilLetIn(func() (bool, error) { return c.try(p) }) }

// untilLetIn logs in again after a right response was refused. People who log
// in many times a minute are now and then asked the same six digits twice, and
// a response that was used is not taken again.
func untilLetIn(try func() (in bool, err error)) error {
	const tries = 3
	for range tries {
		if in, err := try(); err != nil || in {
			return err
		}
	}
	return fmt.Errorf("a right response was refused %d times", tries)
}

func (c *client) try(p *person) (in bool, err error) {
	status, body, err := c.post(pathStart, p.started)
	if err != nil {
		return false, err
	}
	question, ok1 := text(body, "offlineChallenge")
	id, ok2 := text(body, "id")
	if status != http.StatusCreated || !ok1 || !ok2 {
		return false, unexpected(pathStart, status, body)
	}
	response, err := p.respond(question)
	if err != nil {
		return false, err
	}
	path := "/v1/challenges/" + id + "/responses"
	status, body, err = c.post(path, fmt.Appendf(nil, `{"response":"%s"}`, response))
	if err != nil {
		return false, err
	}
	if status != http.StatusOK {
		return false, unexpected(path, status, body)
	}
	result, _ := text(body, "result")
	return result == "allow", nil
}

// Paths of a login; echo's form of the second.
const (
	pathStart   = "/v1/authentications"
	pathRespond = "/v1/challenges/:challengeId/responses"
)

// text finds the first member of a name with a string without escapes. Decoding
// whole answers would take a good part of the generator's time.
func text(body []byte, name string) (string, bool) {
	_, rest, ok := bytes.Cut(body, []byte(`"`+name+`":"`))
	if !ok {
		return "", false
	}
	value, _, ok := bytes.Cut(rest, []byte{'"'})
	return string(value), ok
}

// unexpected names the problem's code, never the body: it holds what a person
// was shown.
func unexpected(path string, status int, body []byte) error {
	var problem struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal(body, &problem) // an answer that is no problem has no code
	return fmt.Errorf("POST %s: unexpected answer %d %s", path, status, problem.Code)
}
