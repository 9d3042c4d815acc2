package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/replay"
	"github.com/authledger/authledger/replay/bundle"
)

// routeExports may take exportTime longer than other routes, and carries at
// most exportMatched records: each brings a proof, and the answer is made
// before it is sent.
const (
	routeExports  = "/v1/exports"
	exportTime    = 2 * time.Minute
	exportMatched = 10_000
)

// CreateExport makes the bundle in a temporary file, records who gets how much
// of what, and then answers it, so that nothing leaves unrecorded and nothing
// half made is answered as whole.
func (s *Server) CreateExport(ctx context.Context, r gen.CreateExportRequestObject) (gen.CreateExportResponseObject, error) {
	if s.export == nil {
		return nil, &problem{code: "export_not_sealed", retryAfter: 60, cause: errors.New("export: this server seals no log")}
	}
	ctx, cancel := context.WithTimeout(ctx, exportTime)
	defer cancel()
	request, err := s.exportRequest(ctx, r.Body)
	if err != nil {
		return nil, err
	}
	file, err := os.CreateTemp("", "authledger-export-*.zip")
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	// The name goes at once: the bytes last as long as the file is open, even
	// when the process is killed.
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("export: %w", err), file.Close())
	}
	size, err := s.fillExport(ctx, request, file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return gen.CreateExport200ApplicationzipResponse{Body: file, ContentLength: size}, nil
}

func (s *Server) fillExport(ctx context.Context, r bundle.Request, file *os.File) (size int64, err error) {
	m, err := s.export(ctx, r, file)
	switch {
	case errors.Is(err, bundle.ErrQuery):
		return 0, &problem{code: "export_refused", detail: err.Error()}
	case errors.Is(err, bundle.ErrNotSealed):
		return 0, &problem{code: "export_not_sealed", retryAfter: 1, cause: err}
	case err != nil:
		return 0, err
	}
	query, err := json.Marshal(struct {
		Query  bundle.Query
		Window bundle.Window
	}{m.Query, m.Window})
	if err != nil {
		return 0, fmt.Errorf("export: %w", err)
	}
	if err := s.recordQuery(ctx, "createExport", string(query), r.Purpose, int(m.Counts.Matched)); err != nil {
		return 0, err
	}
	if size, err = file.Seek(0, io.SeekCurrent); err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return 0, fmt.Errorf("export: %w", err)
	}
	return size, nil
}

func (s *Server) exportRequest(ctx context.Context, b *gen.ExportRequest) (bundle.Request, error) {
	k := callOf(ctx)
	if !b.Since.IsZero() && !b.Until.IsZero() && b.Until.Before(b.Since) {
		return bundle.Request{}, faultAt("until", "order", "until must not be before since")
	}
	if b.WithRelated && b.UserId == "" {
		return bundle.Request{}, faultAt("withRelated", "exclusive", "give userId with it")
	}
	r := bundle.Request{
		ExportID: "exp_" + k.commandID.String(), RequestedBy: k.client.ID, Purpose: b.Purpose, At: s.journal.Now(),
		Query: bundle.Query{Streams: b.Streams, Types: b.Types, SinceMicros: bundle.Micros(b.Since), UntilMicros: bundle.Micros(b.Until)},
		From:  eventstore.Sequence(b.From), To: eventstore.Sequence(b.To), Matched: exportMatched,
	}
	if b.UserId == "" {
		return r, nil
	}
	streams := []string{domain.UserStream(b.UserId)}
	if b.WithRelated {
		var err error
		if streams, err = replay.Related(ctx, s.store, b.UserId); err != nil {
			return bundle.Request{}, err
		}
	}
	r.Query.Streams = append(r.Query.Streams, streams...)
	return r, nil
}
