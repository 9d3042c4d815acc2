package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/authledger/authledger/eventstore/sealer"
)

// The log as others check it: checkpoints, tiles and proofs. These are hashes
// and headers; only the proof of one event is a read that is recorded.

// Proofs is what the interface needs of *sealer.Sealer.
type Proofs interface {
	merkle.History
	WaitFor(ctx context.Context, size uint64) error
	Status(ctx context.Context) sealer.Status
}

// sealWait is how long a proof waits for an event that was appended just now.
const sealWait = 2 * time.Second

// history is what was published, or 404 for a server that seals nothing.
func (s *Server) history() (merkle.History, error) {
	if s.proofs == nil {
		return nil, fault("not_found")
	}
	return s.proofs, nil
}

// newest is the newest checkpoint, unsigned and signed.
func newest(ctx context.Context, h merkle.History) (merkle.Checkpoint, merkle.Published, error) {
	p, err := h.Latest(ctx)
	if err != nil {
		return merkle.Checkpoint{}, p, err
	}
	c, err := merkle.Unverified(p.Signed)
	return c, p, err
}

// stored reads the tree that was published.
func stored(ctx context.Context, h merkle.History) merkle.HashReader {
	return merkle.Tiles(func(level int, n int64) ([]byte, error) { return h.Tile(ctx, level, n) }).Reader()
}

// GetLogCheckpoint implements gen.StrictServerInterface, as do all methods here
// that it names.
func (s *Server) GetLogCheckpoint(ctx context.Context, _ gen.GetLogCheckpointRequestObject) (gen.GetLogCheckpointResponseObject, error) {
	h, err := s.history()
	if err != nil {
		return nil, err
	}
	p, err := h.Latest(ctx)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(p.Signed)
	return gen.GetLogCheckpoint200TextResponse{
		Body:    string(p.Signed),
		Headers: gen.GetLogCheckpoint200ResponseHeaders{ETag: `"` + base64.RawURLEncoding.EncodeToString(sum[:]) + `"`},
	}, nil
}

// defaultPage is how many checkpoints a page has when nobody says.
const defaultPage = 100

func (s *Server) ListLogCheckpoints(ctx context.Context, r gen.ListLogCheckpointsRequestObject) (gen.ListLogCheckpointsResponseObject, error) {
	h, err := s.history()
	if err != nil {
		return nil, err
	}
	keys, err := h.Keys(ctx)
	if err != nil {
		return nil, err
	}
	limit := r.Params.Limit
	if limit == 0 {
		limit = defaultPage
	}
	out := gen.CheckpointList{Items: []gen.Checkpoint{}}
	for p, err := range h.From(ctx, uint64(max(r.Params.From, 1))) {
		if err != nil {
			return nil, err
		}
		if len(out.Items) == limit {
			out.Next = int64(p.Revision)
			break
		}
		item, err := checkpointOf(p, keys)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, item)
	}
	return gen.ListLogCheckpoints200JSONResponse(out), nil
}

func checkpointOf(p merkle.Published, keys merkle.Keys) (gen.Checkpoint, error) {
	c, err := keys.Open(p.Signed)
	if err != nil {
		return gen.Checkpoint{}, err
	}
	at, err := keys.SignedAt(p.Signed)
	if err != nil {
		return gen.Checkpoint{}, err
	}
	stamps := []gen.TimeStamp{}
	for _, t := range p.Stamps {
		stamps = append(stamps, gen.TimeStamp{Authority: t.Authority, Token: t.Token})
	}
	return gen.Checkpoint{
		Revision: int64(p.Revision), Size: int64(c.Size), Root: c.Root[:], SignedAt: at, Checkpoint: string(p.Signed), Stamps: stamps,
	}, nil
}

func (s *Server) GetLogConsistency(ctx context.Context, r gen.GetLogConsistencyRequestObject) (gen.GetLogConsistencyResponseObject, error) {
	h, err := s.history()
	if err != nil {
		return nil, err
	}
	c, _, err := newest(ctx, h)
	if err != nil {
		return nil, err
	}
	from, to := uint64(r.Params.From), uint64(r.Params.To)
	if to == 0 {
		to = c.Size
	}
	switch {
	case from > c.Size || to > c.Size:
		return nil, fault("not_found")
	case from > to:
		return nil, faultAt("from", "order", "from must not be larger than to")
	}
	path, err := merkle.ProveConsistency(stored(ctx, h), from, to)
	if err != nil {
		return nil, err
	}
	return gen.GetLogConsistency200JSONResponse{From: int64(from), To: int64(to), Path: hashBytes(path)}, nil
}

// hashBytes are hashes as JSON carries them.
func hashBytes(path []eventstore.Hash) [][]byte {
	out := make([][]byte, len(path))
	for i := range path {
		out[i] = path[i][:]
	}
	return out
}

func (s *Server) GetLogKeys(ctx context.Context, _ gen.GetLogKeysRequestObject) (gen.GetLogKeysResponseObject, error) {
	h, err := s.history()
	if err != nil {
		return nil, err
	}
	keys, err := h.Keys(ctx)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(keys)
	if err != nil {
		return nil, err
	}
	var out gen.GetLogKeys200JSONResponse
	return out, json.Unmarshal(b, &out)
}

func (s *Server) GetEventProof(ctx context.Context, r gen.GetEventProofRequestObject) (gen.GetEventProofResponseObject, error) {
	h, err := s.history()
	if err != nil {
		return nil, err
	}
	record, err := s.record(ctx, r.EventId)
	if err != nil {
		return nil, err
	}
	if err := s.sealed(ctx, uint64(record.Sequence)); err != nil {
		return nil, err
	}
	proof, err := prove(ctx, h, record)
	if err != nil {
		return nil, err
	}
	if err := s.recordRead(ctx, "getEventProof", r.Params.Purpose, 1); err != nil {
		return nil, err
	}
	if r.Params.Format == gen.Text || r.Params.Format == "" && callOf(ctx).wantsText {
		return gen.GetEventProof200TextResponse(proof.Marshal()), nil
	}
	leaf := record.Leaf()
	return gen.GetEventProof200JSONResponse{
		EventId: codec.EventIDText(record.ID), Index: int64(proof.Index), Leaf: leaf[:], Entry: record.Entry().AppendTo(nil),
		Path: hashBytes(proof.Path), Checkpoint: string(proof.Checkpoint),
	}, nil
}

// sealed waits for a checkpoint of at least a size.
func (s *Server) sealed(ctx context.Context, size uint64) error {
	wait, cancel := context.WithTimeout(ctx, s.sealWait)
	defer cancel()
	err := s.proofs.WaitFor(wait, size)
	if err != nil && ctx.Err() == nil {
		return &problem{code: "not_sealed", retryAfter: 1, cause: err}
	}
	return err
}

// prove makes the proof of a record that is sealed. It does not check it: a record
// that was changed since gets a proof that fails wherever it is verified.
func prove(ctx context.Context, h merkle.History, r eventstore.Record) (merkle.EventProof, error) {
	c, p, err := newest(ctx, h)
	if err != nil {
		return merkle.EventProof{}, err
	}
	index := merkle.Index(r.Sequence)
	path, err := merkle.ProveInclusion(stored(ctx, h), index, c.Size)
	return merkle.EventProof{Index: index, Path: path, Checkpoint: p.Signed}, err
}

// wantsText reports whether a caller prefers text to JSON.
func wantsText(accept string) bool {
	first, _, _ := strings.Cut(accept, ",")
	kind, _, _ := strings.Cut(first, ";")
	return strings.TrimSpace(kind) == echo.MIMETextPlain
}

// routeTile is the one route whose parameter has slashes in it, so that it is
// not in the specification's paths; see getLogCheckpoint there.
const routeTile = "/v1/log/tile/*"

// serveTile answers tiles of hashes and bundles of entries, C2SP tlog-tiles.
func (s *Server) serveTile(c echo.Context) error {
	h, err := s.history()
	if err != nil {
		return err
	}
	if c.Request().URL.RawQuery != "" {
		return faultAt("", "query", "a tile has no query")
	}
	path := c.Param("*")
	bundle := strings.HasPrefix(path, "entries/")
	if bundle {
		path = "0/" + strings.TrimPrefix(path, "entries/")
	}
	level, n, width, err := merkle.ParseTilePath("tile/" + path)
	if err != nil {
		return faultAt("path", "format", "want tile/<level>/<index> or tile/entries/<index> as in C2SP tlog-tiles")
	}
	tile, err := h.Tile(c.Request().Context(), level, n)
	if err != nil {
		return err
	}
	if len(tile) < width*sha256.Size {
		return fault("not_found")
	}
	data := tile[:width*sha256.Size]
	if bundle {
		if data, err = s.entries(c.Request().Context(), n, width); err != nil {
			return err
		}
	}
	if width == 1<<merkle.TileHeight {
		c.Response().Header().Set("Cache-Control", "private, max-age=31536000, immutable")
	}
	return c.Blob(http.StatusOK, echo.MIMEOctetStream, data)
}

// entries is a bundle: for each record u16 length, big-endian, and its entry.
func (s *Server) entries(ctx context.Context, n int64, width int) ([]byte, error) {
	if err := s.readLog(ctx); err != nil {
		return nil, err
	}
	first := uint64(n) << merkle.TileHeight
	var out []byte
	got := 0
	for r, err := range s.store.ReadAll(ctx, eventstore.Sequence(first+1)) {
		if err != nil {
			return nil, err
		}
		entry := r.Entry().AppendTo(nil)
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(entry))), entry...)
		if got++; got == width {
			return out, nil
		}
	}
	return nil, errors.New("the ledger is shorter than what is sealed")
}

// sealing says how the log is signed, for /readyz and metrics.
func (s *Server) sealing(ctx context.Context) gen.Sealing {
	if s.proofs == nil {
		return gen.Sealing{}
	}
	st := s.proofs.Status(ctx)
	out := gen.Sealing{
		State: gen.SealingStateSealing, Size: int64(st.Size), LagRecords: int64(st.Lag), LagSeconds: st.LagAge.Seconds(),
		CheckpointAgeSeconds: st.Age.Seconds(), LateRecords: int64(st.Late),
	}
	switch {
	case st.Stopped != nil:
		out.State, out.Reason = gen.SealingStateStopped, string(st.Stopped.Reason)
	case st.Failing != nil:
		out.State = gen.SealingStateFailing
	}
	return out
}
