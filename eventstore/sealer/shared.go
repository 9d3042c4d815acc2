package sealer

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/merkle"
)

// The side streams of a history that several nodes share. An entry is a JSON
// document; the number of a checkpoint's entry, from 0, is its revision less one.
const (
	sidePrefix       = "checkpoints"
	sideCheckpoints  = sidePrefix
	sideLog          = sidePrefix + "-log"          // one entry: the log's name and first keys, as merkle.Keys writes them
	sideFirst        = sidePrefix + "-first"        // one entry: who has it makes the first key
	sideCosignatures = sidePrefix + "-cosignatures" // sayings with a line
	sideStamps       = sidePrefix + "-stamps"       // sayings with a token
)

// checkpointEntry is an entry of sideCheckpoints. Everything else of a
// checkpoint is in the signed text, or each node computes it from the log.
type checkpointEntry struct {
	Signed string      `json:"signed"`          // as the log signed it
	Epoch  *epochEntry `json:"epoch,omitempty"` // the key in force from here on
}

type epochEntry struct {
	Epoch    uint32 `json:"epoch"`
	FromSize uint64 `json:"fromSize"`
	Public   []byte `json:"publicKey"`
}

// saying is what somebody who is not the log says of a checkpoint: a witness's line, or an
// authority's token.
type saying struct {
	Revision  uint64 `json:"revision"`
	Line      string `json:"line,omitempty"`
	Authority string `json:"authority,omitempty"`
	Token     []byte `json:"token,omitempty"`
}

func (s saying) same(o saying) bool {
	return s.Revision == o.Revision && s.Line == o.Line && s.Authority == o.Authority && bytes.Equal(s.Token, o.Token)
}

const (
	sqlFollowed     = `SELECT coalesce((SELECT entries FROM followed WHERE stream = ?), 0)`
	sqlFollow       = `INSERT INTO followed (stream, entries) VALUES (?, ?) ON CONFLICT (stream) DO UPDATE SET entries = excluded.entries`
	sqlHasCosigned  = `SELECT EXISTS (SELECT 1 FROM cosignatures WHERE revision = ? AND line = ?)`
	sqlHasStamped   = `SELECT EXISTS (SELECT 1 FROM stamps WHERE revision = ? AND authority = ? AND token = ?)`
	sayingsAtOnce   = 1000 // are kept in one transaction
	attemptsToSay   = 20   // against others who say something at the same time
	publishedAtOnce = 500  // are read of the checkpoints of others, and copied, at once
)

// shared is the Store of a history that several nodes share. What decides are
// the side streams. proof.db is this node's copy of what it has checked against
// records of its own, with the tree, which stays here: it can be lost.
//
// What it reads as a History is the copy. Nobody is handed a checkpoint that
// this node cannot prove.
type shared struct {
	*proof
	side eventstore.Side

	saying sync.Mutex // one round over the sayings at a time
}

var (
	_ Store   = (*shared)(nil)
	_ batcher = (*shared)(nil)
)

// openShared opens the copy in a directory and proves that it is one of the
// history in side. A copy without a checkpoint, or of a log of another name, is
// begun anew.
func openShared(ctx context.Context, dir string, side eventstore.Side) (s *shared, err error) {
	s = &shared{side: side}
	if s.proof, err = openProof(ctx, dir, copyOfMany); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil && s.proof != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	useless, err := s.useless(ctx)
	if err != nil {
		return s, err
	}
	if useless {
		if err := s.anew(ctx, dir); err != nil {
			return s, err
		}
	}
	kept, err := s.named(ctx)
	if errors.Is(err, eventstore.ErrNotFound) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if _, err := s.proof.Begin(ctx, kept); err != nil {
		return s, err
	}
	return s, s.compare(ctx)
}

// useless reports whether the copy has nothing to be compared with the shared
// history. Tiles without a checkpoint are what an interrupted start left.
func (s *shared) useless(ctx context.Context) (bool, error) {
	if _, err := s.proof.Latest(ctx); err != nil {
		if errors.Is(err, eventstore.ErrNotFound) {
			return true, nil
		}
		return false, err
	}
	own, err := s.Keys(ctx)
	if err != nil {
		return false, err
	}
	kept, err := s.named(ctx)
	if errors.Is(err, eventstore.ErrNotFound) {
		return false, refusef(HistoryDiffers, "this node has a copy of the checkpoints of %s, but nobody published any: is this the store it belongs to?", own.Origin)
	}
	return kept.Origin != own.Origin, err
}

func (s *shared) anew(ctx context.Context, dir string) error {
	err := errors.Join(s.proof.Close(), removeProof(dir))
	if s.proof = nil; err != nil {
		return err
	}
	s.proof, err = openProof(ctx, dir, copyOfMany)
	return err
}

// compare makes sure that the first and the newest checkpoint of the copy stand
// in the shared history.
func (s *shared) compare(ctx context.Context) error {
	newest, err := s.proof.Latest(ctx)
	if errors.Is(err, eventstore.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	first, err := s.proof.Covering(ctx, 0)
	if err != nil {
		return err
	}
	for _, own := range []merkle.Published{first, newest} {
		found, err := s.published(ctx, own.Revision)
		switch {
		case errors.Is(err, eventstore.ErrNotFound):
			return refusef(HistoryDiffers, "this node has checked checkpoint %d, which the shared history does not have any more", own.Revision)
		case err != nil:
			return err
		case !bytes.HasPrefix(own.Signed, found.signed):
			return refusef(HistoryDiffers, "checkpoint %d is not the one that this node has checked", own.Revision)
		}
	}
	return nil
}

// named returns the name and the first keys of the log, or
// eventstore.ErrNotFound.
func (s *shared) named(ctx context.Context) (k merkle.Keys, err error) {
	err = eventstore.ErrNotFound
	for entry, readErr := range s.side.ReadSide(ctx, sideLog, 0) {
		if readErr != nil {
			return k, readErr
		}
		err = json.Unmarshal(entry, &k)
		break
	}
	if err != nil {
		return k, fmt.Errorf("read the log's name: %w", err)
	}
	return k, nil
}

// Begin implements Store.
func (s *shared) Begin(ctx context.Context, k merkle.Keys) (merkle.Keys, error) {
	kept, err := s.named(ctx)
	if errors.Is(err, eventstore.ErrNotFound) {
		kept, err = s.name(ctx, k)
	}
	if err != nil {
		return k, err
	}
	return s.proof.Begin(ctx, kept)
}

// name names the log, unless somebody else does at the same time. Whatever came
// of it, what stands there counts.
func (s *shared) name(ctx context.Context, k merkle.Keys) (merkle.Keys, error) {
	entry, err := json.Marshal(k)
	if err != nil {
		return k, fmt.Errorf("name the log: %w", err)
	}
	failed := s.side.AppendSide(ctx, sideLog, 0, entry)
	kept, err := s.named(ctx)
	if errors.Is(err, eventstore.ErrNotFound) && failed != nil {
		return k, fmt.Errorf("name the log: %w", failed)
	}
	return kept, err
}

// Fill implements Store.
func (s *shared) Fill(ctx context.Context, tiles []merkle.Tile) error {
	begun, err := s.begun(ctx)
	if err != nil {
		return err
	}
	if begun {
		return fmt.Errorf("keep tiles: %w", ErrTaken)
	}
	return s.proof.Fill(ctx, tiles)
}

// begun reports whether anybody published a checkpoint.
func (s *shared) begun(ctx context.Context) (bool, error) {
	return s.comes(ctx, 1)
}

// Publish implements Store. The copy must be complete, or it returns ErrTaken.
func (s *shared) Publish(ctx context.Context, p Publication) error {
	return s.publishAll(ctx, []Publication{p})
}

// publishAll implements batcher. The shared history decides while the copy is
// ready to be committed; when that fails, the publication is one to adopt.
func (s *shared) publishAll(ctx context.Context, all []Publication) error {
	entries := make([][]byte, len(all))
	for i, p := range all {
		var err error
		if entries[i], err = entryOf(p); err != nil {
			return err
		}
	}
	return s.keep(ctx, all, func() error {
		err := s.side.AppendSide(ctx, sideCheckpoints, all[0].Revision-1, entries...)
		if errors.Is(err, eventstore.ErrConflict) {
			return fmt.Errorf("%w: %w", ErrTaken, err)
		}
		return err
	})
}

func entryOf(p Publication) ([]byte, error) {
	e := checkpointEntry{Signed: string(p.Signed)}
	if p.Epoch != nil {
		e.Epoch = &epochEntry{Epoch: p.Epoch.Number, FromSize: p.Epoch.FromSize, Public: p.Epoch.Public}
	}
	b, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("publish checkpoint %d: %w", p.Revision, err)
	}
	return b, nil
}

// adopt keeps in the copy what others published and this node has checked.
func (s *shared) adopt(ctx context.Context, all []Publication) error {
	return s.keep(ctx, all, func() error { return nil })
}

// errEntry is an entry that no node of ours writes.
var errEntry = errors.New("it is no checkpoint")

// entry is a checkpoint of the shared history, not checked yet.
type entry struct {
	revision uint64
	signed   []byte
	head     merkle.Checkpoint // what signed says
	epoch    *merkle.Epoch
}

func parseEntry(revision uint64, b []byte) (entry, error) {
	var e checkpointEntry
	out := entry{revision: revision}
	if err := json.Unmarshal(b, &e); err != nil {
		return out, fmt.Errorf("checkpoint %d: %w: %w", revision, errEntry, err)
	}
	var err error
	if out.signed = []byte(e.Signed); e.Epoch != nil {
		out.epoch = &merkle.Epoch{Number: e.Epoch.Epoch, FromSize: e.Epoch.FromSize, Public: e.Epoch.Public}
	}
	if out.head, err = merkle.Unverified(out.signed); err != nil {
		return out, fmt.Errorf("checkpoint %d: %w: %w", revision, errEntry, err)
	}
	return out, nil
}

// behind yields the checkpoints that anybody published behind a revision, as
// they are acknowledged now. An error is the last pair; one wrapping errEntry
// means what stands there.
func (s *shared) behind(ctx context.Context, revision uint64) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		next := revision
		for b, err := range s.side.ReadSide(ctx, sideCheckpoints, revision) {
			if err != nil {
				yield(entry{}, fmt.Errorf("read the checkpoints of other nodes: %w", err))
				return
			}
			next++
			e, err := parseEntry(next, b)
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// published returns one checkpoint of the shared history, or
// eventstore.ErrNotFound.
func (s *shared) published(ctx context.Context, revision uint64) (entry, error) {
	for e, err := range s.behind(ctx, revision-1) {
		return e, err
	}
	return entry{}, fmt.Errorf("checkpoint %d: %w", revision, eventstore.ErrNotFound)
}

// AddCosignature implements Store. A revision that this node has not adopted is
// not found.
func (s *shared) AddCosignature(ctx context.Context, revision uint64, line string) error {
	if err := checkLine(line); err != nil {
		return fmt.Errorf("add cosignature to checkpoint %d: %w", revision, err)
	}
	return s.say(ctx, sideCosignatures, saying{Revision: revision, Line: line})
}

// AddStamp implements Store, by the rules of AddCosignature.
func (s *shared) AddStamp(ctx context.Context, revision uint64, stamp merkle.Stamp) error {
	return s.say(ctx, sideStamps, saying{Revision: revision, Authority: stamp.Authority, Token: stamp.Token})
}

// Stamped implements Store, by what anybody stamped until now.
func (s *shared) Stamped(ctx context.Context) (merkle.Published, error) {
	s.saying.Lock()
	defer s.saying.Unlock()
	if _, err := s.fold(ctx, sideStamps, nil); err != nil {
		return merkle.Published{}, err
	}
	return s.proof.Stamped(ctx)
}

// follow brings into the copy what anybody said of checkpoints until now.
func (s *shared) follow(ctx context.Context) error {
	s.saying.Lock()
	defer s.saying.Unlock()
	for _, stream := range []string{sideCosignatures, sideStamps} {
		if _, err := s.fold(ctx, stream, nil); err != nil {
			return err
		}
	}
	return nil
}

// sayAll implements sayer.
func (s *shared) sayAll(ctx context.Context, all []saying) error {
	var lines, tokens []saying
	for _, o := range all {
		if o.Line != "" {
			lines = append(lines, o)
		} else {
			tokens = append(tokens, o)
		}
	}
	return errors.Join(s.say(ctx, sideCosignatures, lines...), s.say(ctx, sideStamps, tokens...))
}

// say appends what does not stand there. After each attempt, whatever came of
// it, the stream is read.
func (s *shared) say(ctx context.Context, stream string, all ...saying) error {
	s.saying.Lock()
	defer s.saying.Unlock()
	var failed error
	for range attemptsToSay {
		missing := slices.Clone(all)
		next, err := s.fold(ctx, stream, func(o saying) { missing = slices.DeleteFunc(missing, o.same) })
		if err != nil {
			return err
		}
		if missing, err = s.missing(ctx, missing); err != nil || len(missing) == 0 {
			return err
		}
		entries := make([][]byte, len(missing))
		for i, o := range missing {
			if entries[i], err = json.Marshal(o); err != nil {
				return fmt.Errorf("say something of checkpoint %d: %w", o.Revision, err)
			}
		}
		failed = s.side.AppendSide(ctx, stream, next, entries...)
		if failed != nil && !errors.Is(failed, eventstore.ErrConflict) && !errors.Is(failed, eventstore.ErrOutcomeUnknown) {
			break
		}
	}
	if failed == nil {
		failed = errors.New("what was appended is not read")
	}
	return fmt.Errorf("say something of checkpoints: %w: %w", eventstore.ErrUnavailable, failed)
}

// missing returns what the copy does not have.
func (s *shared) missing(ctx context.Context, all []saying) (missing []saying, err error) {
	for _, o := range all {
		stands, err := s.stands(ctx, o)
		if err != nil {
			return nil, storage(fmt.Sprintf("say something of checkpoint %d", o.Revision), err)
		}
		if !stands {
			missing = append(missing, o)
		}
	}
	return missing, nil
}

// stands reports whether the copy has it; eventstore.ErrNotFound when the copy
// does not have the checkpoint.
func (s *shared) stands(ctx context.Context, what saying) (stands bool, err error) {
	var published bool
	if err := s.read.QueryRowContext(ctx, sqlIsPublished, int64(what.Revision)).Scan(&published); err != nil {
		return false, err
	}
	if !published {
		return false, eventstore.ErrNotFound
	}
	query, args := sqlHasCosigned, []any{int64(what.Revision), what.Line}
	if what.Line == "" {
		query, args = sqlHasStamped, []any{int64(what.Revision), what.Authority, what.Token}
	}
	return stands, s.read.QueryRowContext(ctx, query, args...).Scan(&stands)
}

// fold reads a stream of sayings behind what the copy has of it, and keeps them
// up to the first one of a checkpoint that is still to be adopted. With each, it
// reads on, tells all of them, and returns the length of the stream.
func (s *shared) fold(ctx context.Context, stream string, each func(saying)) (next uint64, err error) {
	var kept, newest uint64
	if err := s.read.QueryRowContext(ctx, sqlFollowed, stream).Scan(&kept); err != nil {
		return 0, storage("read how far others were followed", err)
	}
	if err := s.read.QueryRowContext(ctx, sqlNewest).Scan(&newest); err != nil {
		return 0, storage("read the newest revision", err)
	}
	var page []saying
	next, waits := kept, false
	flush := func() error {
		if len(page) == 0 {
			return nil
		}
		kept += uint64(len(page))
		err := s.keepSayings(ctx, stream, page, kept)
		page = page[:0]
		return err
	}
	for b, err := range s.side.ReadSide(ctx, stream, kept) {
		if err != nil {
			return 0, fmt.Errorf("read what others say of checkpoints: %w", err)
		}
		o := parseSaying(b)
		if !waits && o.Revision > newest {
			if waits, err = s.comes(ctx, o.Revision); err != nil {
				return 0, err
			}
		}
		if waits && each == nil {
			break
		}
		if next++; each != nil {
			each(o)
		}
		if waits {
			continue
		}
		if page = append(page, o); len(page) == sayingsAtOnce {
			if err := flush(); err != nil {
				return 0, err
			}
		}
	}
	return next, flush()
}

// parseSaying reads an entry. One that no node of ours writes says nothing, and
// does not stop those behind it.
func parseSaying(b []byte) saying {
	var o saying
	if json.Unmarshal(b, &o) != nil || o.Line != "" && checkLine(o.Line) != nil {
		return saying{}
	}
	return o
}

// comes reports whether a checkpoint was published, by anybody.
func (s *shared) comes(ctx context.Context, revision uint64) (bool, error) {
	_, err := s.published(ctx, revision)
	switch {
	case errors.Is(err, eventstore.ErrNotFound):
		return false, nil
	case errors.Is(err, errEntry): // to be looked at by whoever adopts
		return true, nil
	}
	return err == nil, err
}

// keepSayings adds sayings to the copy, which then has that many of the stream.
func (s *shared) keepSayings(ctx context.Context, stream string, page []saying, kept uint64) error {
	return s.do(ctx, "keep what others say of checkpoints", func(tx *sql.Tx) error {
		if err := addSayings(ctx, tx, page); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, sqlFollow, stream, int64(kept))
		return err
	})
}
