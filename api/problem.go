package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/authledger/authledger/api/gen"
)

const mediaProblem = "application/problem+json"

// answerError turns whatever a handler or echo returned into a problem
// document. It is the only place where an error is logged.
func (s *Server) answerError(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	p := problemOf(err)
	kind := problemKinds[p.code]
	id := ""
	if k, ok := c.Request().Context().Value(callKey{}).(*call); ok {
		id = k.requestID
	}
	gone := errors.Is(p.cause, context.Canceled) // the caller hung up: nobody's failure
	if kind.status >= http.StatusInternalServerError && p.cause != nil && !gone {
		s.log.Error("request failed", slog.String("code", p.code), slog.String("request_id", id), slog.String("route", c.Path()), slog.Any("error", p.cause))
	}
	s.metrics.problems.WithLabelValues(p.code).Inc()
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, mediaProblem)
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	if kind.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="authledger"`)
	}
	body, err := json.Marshal(document(p, kind, id))
	if err == nil {
		c.Response().WriteHeader(kind.status)
		_, err = c.Response().Write(append(body, '\n'))
	}
	if err != nil && !errors.Is(err, http.ErrHandlerTimeout) {
		s.log.Debug("problem not delivered", slog.String("request_id", id))
	}
}

// document is the body. A 5xx carries nothing but its code and the request id.
func document(p *problem, kind problemKind, requestID string) gen.Problem {
	out := gen.Problem{
		Type: "/problems/" + p.code, Title: kind.title, Status: kind.status, Code: p.code, RequestId: requestID,
		RetryAfterS: p.retryAfter,
	}
	if kind.status >= http.StatusInternalServerError {
		out.Lag = p.lag
		return out
	}
	out.Detail, out.Errors = p.detail, p.errors
	return out
}
