package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/authledger/authledger/api/gen"
)

// Client calls one server with one API key. It is safe for concurrent use.
type Client struct {
	base string
	key  string
	http *http.Client
}

// New calls base, such as http://127.0.0.1:8080, with an API key.
func New(base, key string) *Client {
	return &Client{base: strings.TrimRight(base, "/"), key: key, http: &http.Client{}}
}

// With returns a client that uses another HTTP client.
func (c *Client) With(h *http.Client) *Client {
	d := *c
	d.http = h
	return &d
}

// Answer is what every answer tells beside its body.
type Answer struct {
	Status   int
	Position string // Authledger-Position of a write
	Replayed bool   // the idempotency key had been used for the same request
	ETag     string
}

// Problem is a fault the server reported.
type Problem struct{ gen.Problem }

func (p *Problem) Error() string {
	s := fmt.Sprintf("%d %s: %s", p.Status, p.Code, p.Title)
	if p.Detail != "" {
		s += ": " + p.Detail
	}
	for _, e := range p.Errors {
		s += fmt.Sprintf("; %s %s %s", e.Pointer, e.Code, e.Detail)
	}
	return s
}

// Post sends in as JSON under a new idempotency key and reads the answer into
// out, which may be nil. A fault is a *Problem.
func (c *Client) Post(ctx context.Context, path string, in, out any) (Answer, error) {
	return c.PostAs(ctx, rand.Text(), path, in, out)
}

// PostAs is Post under a given idempotency key.
func (c *Client) PostAs(ctx context.Context, idempotencyKey, path string, in, out any) (Answer, error) {
	if in == nil {
		in = struct{}{}
	}
	body, err := json.Marshal(in)
	if err != nil {
		return Answer{}, fmt.Errorf("encode request to %s: %w", path, err)
	}
	header := http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {idempotencyKey}}
	return c.do(ctx, http.MethodPost, path, header, body, out)
}

// Get reads path into out; header may be nil.
func (c *Client) Get(ctx context.Context, path string, header http.Header, out any) (Answer, error) {
	return c.do(ctx, http.MethodGet, path, header, nil, out)
}

// Download is Post for an answer that is no JSON: it is written to out as it
// comes. An answer that ends early is an error, and what was written is of no
// use then.
func (c *Client) Download(ctx context.Context, path string, in any, out io.Writer) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode request to %s: %w", path, err)
	}
	res, err := c.send(ctx, http.MethodPost, path, http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {rand.Text()}}, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode >= 400 {
		text, err := io.ReadAll(res.Body)
		if err != nil {
			return fmt.Errorf("read the answer of POST %s: %w", path, err)
		}
		return problem(res.StatusCode, text)
	}
	if _, err := io.Copy(out, res.Body); err != nil {
		return fmt.Errorf("read the answer of POST %s: %w", path, err)
	}
	return nil
}

func (c *Client) send(ctx context.Context, method, path string, header http.Header, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("request to %s: %w", path, err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("call %s %s: %w", method, path, err)
	}
	return res, nil
}

func (c *Client) do(ctx context.Context, method, path string, header http.Header, body []byte, out any) (Answer, error) {
	res, err := c.send(ctx, method, path, header, body)
	if err != nil {
		return Answer{}, err
	}
	defer res.Body.Close()
	a := Answer{
		Status: res.StatusCode, Position: res.Header.Get("Authledger-Position"),
		Replayed: res.Header.Get("Idempotency-Replayed") == "true", ETag: res.Header.Get("ETag"),
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return a, fmt.Errorf("read the answer of %s %s: %w", method, path, err)
	}
	if res.StatusCode >= 400 {
		return a, problem(res.StatusCode, text)
	}
	if out == nil || len(text) == 0 {
		return a, nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return a, fmt.Errorf("decode the answer of %s %s: %w", method, path, err)
	}
	return a, nil
}

func problem(status int, text []byte) error {
	p := &Problem{}
	if err := json.Unmarshal(text, &p.Problem); err != nil || p.Code == "" {
		p.Status, p.Code, p.Title = status, "unexpected", http.StatusText(status)
	}
	return p
}
