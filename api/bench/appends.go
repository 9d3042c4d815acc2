package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/sqlitestore"
)

// appends measures durable appends of single events to random streams against
// rawLog, at several numbers of callers. The ledger grows from round to round,
// as ledgers do.
func (s *session) appends(ctx context.Context, dir string) (rows []Row, err error) {
	content, err := singles(ctx)
	if err != nil {
		return nil, err
	}
	store, err := sqlitestore.Open(ctx, sqlitestore.Options{Dir: filepath.Join(dir, "ledger"), Clock: time.Now})
	if err != nil {
		return nil, err
	}
	// The index file outlives the store here: closing it earlier would drop the
	// locks SQLite has on it, as POSIX has it.
	index, err := os.Open(filepath.Join(dir, "ledger", "ledger.db-shm"))
	defer func() { err = errors.Join(err, store.Close(), index.Close()) }()
	if err != nil {
		return nil, err
	}
	a := &appending{session: s, dir: dir, store: store, index: index, content: content, frames: frames(content), expected: make([]eventstore.Expected, s.streams)}
	for i := range s.streams {
		a.names = append(a.names, domain.UserStream(codec.UserIDOf(fmt.Sprintf("stream-%d", i))))
	}
	results := make([]appendResult, len(s.callers))
	for round := range s.rounds {
		for i, callers := range s.callers {
			s.say("append: round %d of %d, %d callers", round+1, s.rounds, callers)
			if err := a.round(ctx, round, callers, &results[i]); err != nil {
				return nil, err
			}
		}
	}
	for i, callers := range s.callers {
		rows = append(rows, results[i].rows(callers, a.frameSize())...)
	}
	return rows, nil
}

type appending struct {
	*session
	dir     string
	store   *sqlitestore.Store
	index   *os.File // of the store's write-ahead log
	content []eventstore.Proposed
	frames  [][]byte // the same as bytes of a sequential file

	// By stream; each caller of a measurement has streams of its own.
	names    []string
	expected []eventstore.Expected
}

// appendResult is what the rounds at one number of callers came to.
type appendResult struct {
	rate, p50, p99, perCommit             series
	rawRate, rawP50, rawP99, rawPerCommit series
	written                               series // bytes per event
}

func (a *appending) round(ctx context.Context, round, callers int, out *appendResult) error {
	raw := func() error {
		l, perCommit, err := measureRaw(ctx, a.dir, a.preallocated, callers, extent{window: a.window}, func(n int) []byte { return a.frames[n%len(a.frames)] })
		if err != nil {
			return err
		}
		out.rawRate, out.rawP50, out.rawP99 = append(out.rawRate, l.rate()), append(out.rawP50, l.p50()), append(out.rawP99, l.p99())
		out.rawPerCommit = append(out.rawPerCommit, perCommit)
		return nil
	}
	own := func() error {
		return a.profiled(fmt.Sprintf("append-%d", callers), round, func() error { return a.own(ctx, round, callers, out) })
	}
	return alternate(round, own, raw)
}

// alternate changes who goes first, so that what grows over a round favours
// nobody.
func alternate(round int, sides ...func() error) error {
	if round%2 == 1 {
		slices.Reverse(sides)
	}
	for _, side := range sides {
		if err := side(); err != nil {
			return err
		}
	}
	return nil
}

func (a *appending) own(ctx context.Context, round, callers int, out *appendResult) error {
	choose := make([]*rand.Rand, callers)
	for i := range choose {
		choose[i] = rand.New(rand.NewPCG(uint64(round), uint64(i)))
	}
	written, known := bytesWritten()
	commits, err := a.commits()
	if err != nil {
		return err
	}
	l, err := drive(ctx, callers, extent{window: a.window}, func(ctx context.Context, caller, n int) error {
		stream := choose[caller].IntN(len(a.names)/callers)*callers + caller
		event := a.content[(caller+n*callers)%len(a.content)]
		event.ID = uuid.New()
		done, err := a.store.Append(ctx, a.names[stream], a.expected[stream], []eventstore.Proposed{event})
		if err != nil {
			return err
		}
		a.expected[stream] = eventstore.At(done.Last().Revision, done.Last().Leaf)
		return nil
	})
	if err != nil {
		return fmt.Errorf("append to the ledger: %w", err)
	}
	if now, ok := bytesWritten(); ok && known {
		out.written = append(out.written, float64(now-written)/float64(l.done))
	}
	after, err := a.commits()
	if err != nil {
		return err
	}
	out.perCommit = append(out.perCommit, float64(l.done)/float64(after-commits)) // wraps as the counter does
	out.rate, out.p50, out.p99 = append(out.rate, l.rate()), append(out.p50, l.p50()), append(out.p99, l.p99())
	return nil
}

// commits is SQLite's own count of transactions on the ledger: the member
// iChange of the WAL-index header, 4 bytes in the machine's order at offset 8
// (SQLite, "WAL-mode File Format", section 2.1).
func (a *appending) commits() (uint32, error) {
	var b [4]byte
	if _, err := a.index.ReadAt(b[:], 8); err != nil {
		return 0, fmt.Errorf("count commits: %w", err)
	}
	return binary.NativeEndian.Uint32(b[:]), nil
}

// frameSize is the mean.
func (a *appending) frameSize() float64 {
	total := 0
	for _, f := range a.frames {
		total += len(f)
	}
	return float64(total) / float64(len(a.frames))
}

// rows attaches the goals that hold for a disk, for callers that have one.
func (r appendResult) rows(callers int, frame float64) []Row {
	const limit = "sequential file"
	name := func(what string) string { return fmt.Sprintf("%s, %d callers", what, callers) }
	rate := measured(name("durable appends"), "events/s", r.rate).against(limit, r.rate, r.rawRate)
	p99 := measured(name("append p99"), "ms", r.p99).against(limit, r.p99, r.rawP99)
	switch callers {
	case 1:
		rate = rate.atLeast("G3", 0.75)
	case 64:
		rate, p99 = rate.atLeast("G1", 0.25), p99.atMost("G4", 6)
	}
	rows := []Row{
		rate, measured(name("append p50"), "ms", r.p50).against(limit, r.p50, r.rawP50), p99,
		measured(name("events per commit"), "events", r.perCommit).against(limit, r.perCommit, r.rawPerCommit),
	}
	if len(r.written) > 0 {
		payload := make(series, len(r.written))
		for i := range payload {
			payload[i] = frame
		}
		rows = append(rows, measured(name("bytes written per event"), "bytes", r.written).against("event's own", r.written, payload).atMost("G8", 18))
	}
	return rows
}

// singles are the events of realistic logins, one by one.
func singles(ctx context.Context) ([]eventstore.Proposed, error) {
	const wanted = 4096
	var all []eventstore.Proposed
	for n := 0; len(all) < wanted; n++ {
		a := newAuthor(codec.New(nil), n) // logins hold nothing to seal
		a.phone, a.authenticator, a.installation = a.id(domain.PrefixPhone), a.id(domain.PrefixAuthenticator), codec.InstallationIDOf([]byte(a.userID))
		for range 8 {
			events, err := a.login(ctx)
			if err != nil {
				return nil, fmt.Errorf("make events: %w", err)
			}
			all = append(all, events...)
		}
	}
	return all, nil
}

// frames are what a hand-written log would store for the events: every field
// of the record and its leaf hash, with lengths before what varies.
func frames(events []eventstore.Proposed) [][]byte {
	out := make([][]byte, len(events))
	for i, e := range events {
		stream := domain.UserStream(codec.UserIDOf(fmt.Sprintf("stream-%d", i)))
		records, leaves := eventstore.Chain(stream, eventstore.NoStream(), opening, []eventstore.Proposed{e})
		r := records[0]
		var f []byte
		for _, part := range [][]byte{[]byte(r.Stream), []byte(r.Type), r.Data, r.Metadata} {
			f = append(binary.BigEndian.AppendUint32(f, uint32(len(part))), part...)
		}
		f = binary.BigEndian.AppendUint64(append(f, r.ID[:]...), uint64(r.Revision))
		f = binary.BigEndian.AppendUint64(f, uint64(r.RecordedAt.UnixMicro()))
		out[i] = append(f, leaves[0][:]...)
	}
	return out
}
