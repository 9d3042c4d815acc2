package timestamp

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/digitorus/timestamp"
)

// Timeout is how long an authority may take to answer.
const Timeout = 30 * time.Second

// Media types of RFC 3161 §3.4.
const (
	typeQuery = "application/timestamp-query"
	typeReply = "application/timestamp-reply"
)

// Client asks one authority over HTTP. All fields but HTTP are required. Its
// methods may be called from any goroutine.
type Client struct {
	URL   string         // checked by CheckURL
	Roots *x509.CertPool // whom to believe; see ReadRoots
	HTTP  *http.Client   // nil: http.DefaultClient
}

// CheckURL accepts the address of an authority. It is kept with every stamp, so
// a password has no place in it.
func CheckURL(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return errors.New("want an http or https address without a user name")
	}
	return nil
}

// Stamp has the authority stamp the SHA-256 hash of signed, and returns its
// response in DER and the time in it. It returns nothing that Check would
// refuse; errors that wrap ErrToken are about what was answered. It takes at
// most Timeout.
func (c *Client) Stamp(ctx context.Context, signed []byte) (token []byte, at time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	nonce, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 64))
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("make a nonce: %w", err)
	}
	sum := sha256.Sum256(signed)
	query, err := (&timestamp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: sum[:], Certificates: true, Nonce: nonce}).Marshal()
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("write the request: %w", err)
	}
	if token, err = c.ask(ctx, query); err != nil {
		return nil, time.Time{}, fmt.Errorf("ask the time stamp authority %s: %w", c.URL, err)
	}
	stamp, err := check(token, signed, c.Roots)
	if err == nil && !sameNonce(stamp.Nonce, nonce) {
		err = errors.New("it answers another request")
	}
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("answer of %s: %w: %w", c.URL, ErrToken, err)
	}
	return token, stamp.Time.UTC(), nil
}

// ask sends a request and reads the answer.
func (c *Client) ask(ctx context.Context, query []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(query))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", typeQuery)
	r.Header.Set("Accept", typeReply)
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	media, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if answer.StatusCode != http.StatusOK || media != typeReply {
		return nil, fmt.Errorf("status %d with %q; want 200 with %s", answer.StatusCode, media, typeReply)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, MaxToken+1))
	if err == nil && len(body) > MaxToken {
		err = fmt.Errorf("more than %d bytes", MaxToken)
	}
	return body, err
}
