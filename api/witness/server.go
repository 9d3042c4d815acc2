package witness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/authledger/authledger/eventstore/merkle"
)

// Config says what a witness works with. All fields but Logger are required.
type Config struct {
	Dir    string // holds witness.db; its loss or an older copy of it ends the witness's worth
	Key    Key
	Logs   []*LogFile // the logs it cosigns for
	Clock  func() time.Time
	Logger *slog.Logger // nil discards
}

// Server is a witness. It is safe for concurrent use.
type Server struct {
	c     Config
	state *state
	echo  *echo.Echo
	log   *slog.Logger
}

// New opens the witness's state. The caller must Close.
func New(ctx context.Context, c Config) (*Server, error) {
	if c.Key.Signer.Sign == nil || len(c.Logs) == 0 || c.Clock == nil {
		return nil, errors.New("open witness: a key, at least one log and a clock are required")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	st, err := openState(ctx, c.Dir)
	if err != nil {
		return nil, err
	}
	s := &Server{c: c, state: st, log: c.Logger}
	s.echo = s.routes()
	return s, nil
}

// Close releases the state.
func (s *Server) Close() error { return s.state.close() }

// Handler is the witness as a handler, for tests and other servers.
func (s *Server) Handler() http.Handler { return s.echo }

// Refusals lists refused checkpoints that the log's key had signed: first those
// that prove a fork, each kind newest first.
func (s *Server) Refusals(ctx context.Context, limit int) ([]Refusal, error) {
	return s.state.refusals(ctx, limit)
}

func (s *Server) routes() *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.Logger.SetOutput(io.Discard)
	e.HTTPErrorHandler = s.answerError
	e.POST("/add-checkpoint", s.addCheckpoint)
	e.GET("/", s.status) // ours; the protocol knows no status page
	return e
}

// Serve answers on the listener until ctx ends. It owns the listener.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler: s.echo, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 15 * time.Second,
		IdleTimeout: 60 * time.Second, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve the witness: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := server.Shutdown(grace)
	<-done
	return err
}

// fault is an answer that is no cosignature. status is C2SP tlog-witness's.
type fault struct {
	status int
	reason string
	size   uint64 // with 409: where the witness stands
	// evidence says that the log's own key signed what was refused, and proven
	// that it contradicts what was cosigned.
	evidence, proven bool
}

func (f *fault) Error() string { return f.reason }

// sizeType is the media type of a size in the answer to a conflict.
const sizeType = "text/x.tlog.size"

func (s *Server) answerError(err error, c echo.Context) {
	var f *fault
	var h *echo.HTTPError
	switch {
	case c.Response().Committed:
		return
	case errors.As(err, &f) && f.status == http.StatusConflict:
		err = c.Blob(f.status, sizeType, fmt.Appendf(nil, "%d\n", f.size))
	case errors.As(err, &f):
		err = c.String(f.status, f.reason+"\n")
	case errors.As(err, &h):
		err = c.String(h.Code, http.StatusText(h.Code)+"\n")
	default:
		s.log.Error("witness failed", "error", err)
		err = c.String(http.StatusInternalServerError, "the witness failed; try again\n")
	}
	if err != nil {
		s.log.Debug("answer not sent", "error", err)
	}
}

func (s *Server) addCheckpoint(c echo.Context) error {
	body, err := io.ReadAll(http.MaxBytesReader(c.Response(), c.Request().Body, maxRequest))
	if err != nil {
		return &fault{status: http.StatusBadRequest, reason: "the request could not be read, or is longer than any can be"}
	}
	ctx := c.Request().Context()
	line, checkpoint, err := s.cosign(ctx, body)
	var f *fault
	if errors.As(err, &f) && f.evidence {
		s.log.Warn("checkpoint refused", "origin", checkpoint.Origin, "status", f.status, "reason", f.reason, "proven", f.proven)
		r := Refusal{
			Origin: checkpoint.Origin, Checkpoint: checkpoint, Proven: f.proven, At: s.c.Clock(), Status: f.status, Reason: f.reason, Body: body,
		}
		if kept := s.state.refuse(context.WithoutCancel(ctx), r); kept != nil {
			return kept
		}
	}
	if err != nil {
		return err
	}
	return c.Blob(http.StatusOK, "text/plain; charset=utf-8", []byte(line))
}

// cosign checks a request and makes the new checkpoint durable before the line
// exists.
func (s *Server) cosign(ctx context.Context, body []byte) (line string, checkpoint merkle.Checkpoint, err error) {
	r, err := ParseRequest(body)
	if err != nil {
		return "", checkpoint, &fault{status: http.StatusBadRequest, reason: err.Error()}
	}
	claimed, err := merkle.Unverified(r.Checkpoint)
	if err != nil {
		return "", checkpoint, &fault{status: http.StatusBadRequest, reason: err.Error()}
	}
	keys, ok := s.keysOf(claimed.Origin)
	if !ok {
		return "", checkpoint, &fault{status: http.StatusNotFound, reason: "this witness does not know the log"}
	}
	checkpoint, err = keys.Open(r.Checkpoint)
	if err != nil {
		return "", checkpoint, &fault{status: http.StatusForbidden, reason: "the checkpoint is not signed by a key this witness knows for its size"}
	}
	now := s.c.Clock()
	err = s.state.advance(ctx, checkpoint.Origin, func(last seen) (seen, error) {
		if err := extends(last, r, checkpoint); err != nil {
			return seen{}, err
		}
		if line, err = merkle.Cosign(r.Checkpoint, s.c.Key.Name, s.c.Key.Signer, now); err != nil {
			return seen{}, err
		}
		return seen{checkpoint: checkpoint, signed: r.Checkpoint, at: now}, nil
	})
	return line, checkpoint, err
}

// extends decides whether a checkpoint is the last one or a history that
// begins with it.
func extends(last seen, r Request, c merkle.Checkpoint) error {
	contradicts := c.Size == last.checkpoint.Size && c.Root != last.checkpoint.Root
	switch {
	case r.OldSize > c.Size:
		return &fault{status: http.StatusBadRequest, reason: "the old size is larger than the checkpoint's"}
	case contradicts: // whatever the old size: nobody needs to ask well to convict the log
		return &fault{
			status: http.StatusConflict, size: last.checkpoint.Size, evidence: true, proven: true, reason: "another root was cosigned for this size",
		}
	case r.OldSize != last.checkpoint.Size:
		return &fault{
			status: http.StatusConflict, size: last.checkpoint.Size, reason: "the old size is not where this witness stands",
			evidence: c.Size < last.checkpoint.Size, // a shorter log than was cosigned
		}
	}
	if err := merkle.CheckConsistency(last.checkpoint, c, r.Path); err != nil {
		return &fault{status: http.StatusUnprocessableEntity, evidence: true, reason: "the proof does not show that the checkpoint extends what was cosigned"}
	}
	return nil
}

func (s *Server) keysOf(origin string) (merkle.Keys, bool) {
	for _, f := range s.c.Logs {
		k, err := f.Keys()
		if err != nil {
			s.log.Error("keys of a log cannot be read; those read before count", "error", err)
		}
		if k.Origin == origin {
			return k, true
		}
	}
	return merkle.Keys{}, false
}

// status says in plain text where the witness stands.
func (s *Server) status(c echo.Context) error {
	ctx := c.Request().Context()
	key, err := s.c.Key.CosignerKey()
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "witness %s\nkey %s\n", s.c.Key.Name, key)
	for _, f := range s.c.Logs {
		k, _ := f.Keys() // with an error: those read before, and the log says so at the next request
		last, ok, err := s.state.newest(ctx, k.Origin)
		if err != nil {
			return err
		}
		if !ok {
			fmt.Fprintf(&b, "\nlog %s\nnothing cosigned yet\n", k.Origin)
			continue
		}
		fmt.Fprintf(&b, "\nlog %s\ncosigned %s\n%s", k.Origin, last.at.Format(time.RFC3339), last.signed)
	}
	refused, err := s.state.refusals(ctx, 10)
	if err != nil {
		return err
	}
	for _, r := range refused {
		fmt.Fprintf(&b, "\nrefused %s %s %d %s\n", r.At.Format(time.RFC3339), r.Origin, r.Status, r.Reason)
	}
	return c.String(http.StatusOK, b.String())
}
