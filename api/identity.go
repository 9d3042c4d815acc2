package api

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/authledger/authledger/api/access"
)

// authenticate finds out who calls and whether the role may. It denies by
// default: a route without a row in the table is refused for everybody.
func (s *Server) authenticate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if underConsole(r.URL.Path) {
			return next(c)
		}
		row, ok := rules[r.Method+" "+c.Path()]
		if ok && row.public {
			return next(c)
		}
		address := network(c.RealIP())
		if wait := s.strangers.empty(address); wait > 0 {
			return &problem{code: "rate_limited", retryAfter: wait}
		}
		client, err := s.access.Authenticate(r.Context(), bearer(r.Header))
		if errors.Is(err, access.ErrUnauthenticated) {
			s.strangers.take(address)
			return fault("unauthenticated")
		}
		if err != nil {
			return &problem{code: "store_unavailable", retryAfter: 1, cause: fmt.Errorf("authenticate: %w", err)}
		}
		callOf(r.Context()).client = client
		if !ok || row.demo && !s.demo {
			return s.unmatched(c)
		}
		if !row.admits(client.Role) {
			return fault("role_missing")
		}
		return next(c)
	}
}

// unmatched answers a method and address without a row: 405 when another method
// has one, 404 otherwise.
func (s *Server) unmatched(c echo.Context) error {
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		if row, ok := rules[method+" "+c.Path()]; ok && method != c.Request().Method && (s.demo || !row.demo) {
			c.Response().Header().Set("Allow", method)
			return fault("method_not_allowed")
		}
	}
	return fault("not_found")
}

// bearer is the key of the only Authorization header; empty for anything else.
func bearer(h http.Header) string {
	values := h.Values(echo.HeaderAuthorization)
	if len(values) != 1 {
		return ""
	}
	scheme, key, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return key
}

// idempotency demands the key of a call that appends and derives the command
// id from it.
func (s *Server) idempotency(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		row := rules[r.Method+" "+c.Path()]
		if !row.appends {
			return next(c)
		}
		values := r.Header.Values(headerKey)
		if len(values) == 0 && row.signedKey && s.receipts != nil {
			values = r.Header.Values("Webhook-Id")
		}
		if len(values) != 1 || !visible(values[0]) {
			return fault("idempotency_key_missing")
		}
		k := callOf(r.Context())
		k.key = values[0]
		k.commandID = commandIDOf(k.client.ID, r.Method, k.route, k.path, k.key)
		return next(c)
	}
}

// visible accepts 1 to 255 visible ASCII characters.
func visible(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 255
}
