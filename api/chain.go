package api

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// maxBody is the largest body read, in bytes.
const maxBody = 64 << 10

const (
	headerRequestID   = "X-Request-Id"
	headerKey         = "Idempotency-Key"
	headerReplayed    = "Idempotency-Replayed"
	headerPosition    = "Authledger-Position"
	headerMinPosition = "Authledger-Min-Position"
	headerReadAt      = "Authledger-Read-Position"
)

// begin gives the request its call and its id, answers errors of everything
// after it, and writes the access log and the metrics: never a body, a query,
// an address with an id of a person in it, or a number.
func (s *Server) begin(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		r := c.Request()
		k := &call{
			requestID: requestID(r.Header.Get(headerRequestID)), route: c.Path(), path: r.URL.Path, query: normalised(r.URL.RawQuery),
			wantsText: wantsText(r.Header.Get(echo.HeaderAccept)),
		}
		c.SetRequest(r.WithContext(withCall(r.Context(), k)))
		c.Response().Header().Set(headerRequestID, k.requestID)
		s.metrics.inFlight.Inc()
		defer s.metrics.inFlight.Dec()
		if err := guarded(next, c); err != nil {
			s.answerError(err, c)
		}
		s.observe(c, k, time.Since(start))
		return nil
	}
}

// guarded turns a panic into an error that shows nothing.
func guarded(next echo.HandlerFunc, c echo.Context) (err error) {
	defer func() {
		switch v := recover(); {
		case v == nil:
		case v == http.ErrAbortHandler: //nolint:errorlint // net/http panics with this very value
			panic(v)
		default:
			// Neither the panic's value nor its arguments: they may be personal.
			err = &problem{code: "internal", cause: fmt.Errorf("panic of type %T at %s", v, callers())}
		}
	}()
	return next(c)
}

// callers names the functions on the stack without their arguments.
func callers() string {
	var names []string
	for line := range strings.Lines(string(debug.Stack())) {
		if name, _, ok := strings.Cut(line, "("); ok && !strings.HasPrefix(line, "\t") && len(names) < 12 {
			names = append(names, name)
		}
	}
	return strings.Join(names, " < ")
}

// requestID accepts a caller's id of 8 to 64 harmless characters and makes one
// otherwise.
func requestID(given string) string {
	ok := len(given) >= 8 && len(given) <= 64
	for _, r := range given {
		ok = ok && (r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-' || r == '_')
	}
	if ok {
		return given
	}
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "unknown"
	}
	return hex.EncodeToString(b[:])
}

func (s *Server) observe(c echo.Context, k *call, took time.Duration) {
	route := k.route
	if route == "" || c.Response().Status == http.StatusNotFound && rules[c.Request().Method+" "+route].roles == nil {
		route = "unmatched"
	}
	status := c.Response().Status
	s.metrics.requests.WithLabelValues(knownMethod(c.Request().Method), route, strconv.Itoa(status)).Inc()
	s.metrics.duration.WithLabelValues(route).Observe(took.Seconds())
	s.log.Info("request",
		slog.String("method", knownMethod(c.Request().Method)), slog.String("route", route), slog.Int("status", status),
		slog.Float64("took_ms", float64(took.Microseconds())/1000), slog.String("request_id", k.requestID), slog.String("caller", k.client.ID))
}

// knownMethod keeps invented methods out of labels and logs.
func knownMethod(m string) string {
	if m == http.MethodGet || m == http.MethodPost {
		return m
	}
	return "other"
}

// secure sets the headers every answer carries. The console replaces the
// policy by its own.
func secure(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		if c.Request().TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
		}
		return next(c)
	}
}

// deadlines bounds how long the answer may take to be written. There is no
// timeout on the whole server, because long polls wait by design.
func (s *Server) deadlines(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		limit := s.limits.WriteTimeout
		if c.Path() == routePoll {
			limit += maxWait
		}
		if c.Path() == routeExports {
			limit += exportTime
		}
		err := http.NewResponseController(c.Response().Writer).SetWriteDeadline(time.Now().Add(limit))
		if err != nil && !errors.Is(err, http.ErrNotSupported) {
			return fmt.Errorf("set write deadline: %w", err)
		}
		return next(c)
	}
}

// protocol refuses what HTTP allows and nobody needs: other methods, chunked
// and encoded bodies, bodies of reads.
func protocol(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if underConsole(r.URL.Path) {
			return next(c)
		}
		if r.Method != http.MethodGet && r.Method != http.MethodPost {
			c.Response().Header().Set("Allow", "GET, POST")
			return fault("method_not_allowed")
		}
		switch {
		case len(r.TransferEncoding) > 0 || r.ContentLength < 0:
			// The rest of the connection cannot be trusted to begin where we think.
			return hangUp(c, fault("length_required"))
		case r.ContentLength > maxBody:
			return hangUp(c, fault("body_too_large"))
		case r.Method == http.MethodGet && r.ContentLength > 0:
			return hangUp(c, faultAt("", "body", "a read has no body"))
		}
		return next(c)
	}
}

// hangUp closes the connection after the answer, without waiting for a body
// that nobody will read.
func hangUp(c echo.Context, p *problem) error {
	c.Response().Header().Set("Connection", "close")
	err := http.NewResponseController(c.Response().Writer).SetReadDeadline(time.Now())
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("stop reading: %w", err)
	}
	return p
}

// body reads the body, once and whole, and checks it as text.
func body(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if r.ContentLength == 0 || underConsole(r.URL.Path) {
			return next(c)
		}
		if !isJSON(r.Header) {
			return fault("media_type")
		}
		content, err := io.ReadAll(http.MaxBytesReader(c.Response(), r.Body, maxBody))
		if err != nil {
			return readProblem(err)
		}
		if rule := checkJSON(content); rule != nil {
			p := fault("json_invalid")
			p.errors = faultAt("", rule.Error(), "").errors
			return p
		}
		r.Body = io.NopCloser(bytes.NewReader(content))
		return next(c)
	}
}

// isJSON accepts application/json, in UTF-8 and without Content-Encoding.
func isJSON(h http.Header) bool {
	if len(h.Values(echo.HeaderContentType)) != 1 || h.Get(echo.HeaderContentEncoding) != "" {
		return false
	}
	media, params, err := mime.ParseMediaType(h.Get(echo.HeaderContentType))
	if err != nil || media != echo.MIMEApplicationJSON {
		return false
	}
	for name, value := range params {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return false
		}
	}
	return true
}

func readProblem(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return fault("body_too_large")
	}
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fault("request_timeout")
	}
	p := faultAt("", "body", "the body ended early")
	p.cause = err
	return p
}

// known refuses query parameters the operation does not have, and repeated
// ones it does not want repeated: a misspelled filter must not widen a search.
func (s *Server) known(c echo.Context, op *operation) error {
	query, err := url.ParseQuery(c.Request().URL.RawQuery)
	if err != nil {
		return faultAt("", "query", "the query is malformed")
	}
	for name, values := range query {
		many, ok := op.query[name]
		switch {
		case !ok:
			return faultAt("", "unknown_parameter", "a query parameter is not known here; known ones: "+op.parameters)
		case len(values) > 1 && !many:
			return faultAt(name, "repeated", "give it once")
		}
	}
	return nil
}
