package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/authledger/authledger/eventstore"
)

// sideStream is the side stream of the clients. An entry is a JSON document with
// either a created or a revoked member.
const sideStream = "access"

type sideEntry struct {
	Created *sideCreated `json:"created,omitempty"`
	Revoked *sideRevoked `json:"revoked,omitempty"`
}

// Times are microseconds since 1970 UTC, as in access.db; 0 is never.
type sideCreated struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Role    Role   `json:"role"`
	Digest  []byte `json:"digest"` // SHA-256 of the key's text
	At      int64  `json:"createdAt"`
	Expires int64  `json:"expiresAt,omitempty"`
}

type sideRevoked struct {
	ID string `json:"id"`
	At int64  `json:"revokedAt"`
}

const (
	// knownFor bounds how long a node that cannot reach the store goes on by what
	// it knows. After that it authenticates nobody: a key that was revoked
	// meanwhile must not open the door for ever, but a store that elects a leader
	// must not lock everybody out either.
	knownFor = time.Minute
	// readTimeout bounds a read of the stream; callers wait for it.
	readTimeout = 2 * time.Second
	// watchAgain is how long to wait before a watch that ended is begun again.
	watchAgain = time.Second
	// appendAttempts is how often an entry is appended against others.
	appendAttempts = 20
)

// side is the home in a side stream. Every node folds it into memory.
type side struct {
	store eventstore.Side
	clock func() time.Time
	log   *slog.Logger

	reading sync.Mutex // one read of the stream at a time; guards next
	next    uint64     // entries folded

	mu       sync.Mutex // guards everything below
	clients  map[string]entry
	reads    uint64    // that succeeded, so that whoever waited for one needs no other
	failures uint64    // the same of those that failed
	busy     bool      // one is under way
	readAt   time.Time // when the last good one began
	failedAt time.Time // when the last one failed; zero when it did not
	told     uint64    // changes that the watch told of
	heard    uint64    // of them, those that the last good read began after

	watching chan struct{} // closed when watch has ended
	stop     context.CancelFunc
}

// openSide reads the stream and follows it until close.
func openSide(ctx context.Context, o Options) (*side, error) {
	s := &side{store: o.Side, clock: o.Clock, log: o.Logger, clients: map[string]entry{}, watching: make(chan struct{})}
	if err := s.read(ctx); err != nil {
		return nil, err
	}
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	go s.watch(ctx)
	return s, nil
}

func (s *side) close() error {
	s.stop()
	<-s.watching
	return nil
}

// watch reads the stream as soon as it is told of an append.
func (s *side) watch(ctx context.Context) {
	defer close(s.watching)
	for ctx.Err() == nil {
		for _, err := range s.store.WatchSide(ctx, sideStream) {
			if err != nil {
				s.log.Warn("changes of API clients are not told and are looked for instead", "error", err)
				break
			}
			s.mu.Lock()
			s.told++
			s.mu.Unlock()
			if err := s.read(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("API clients changed and cannot be read", "error", err)
			}
		}
		timer := time.NewTimer(watchAgain)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// read folds what was appended before the call. Whoever waits for another one's
// read takes part in what comes of it.
func (s *side) read(ctx context.Context) error {
	s.mu.Lock()
	reads, failures := s.reads, s.failures
	s.mu.Unlock()
	s.reading.Lock()
	defer s.reading.Unlock()
	s.mu.Lock()
	now, told := s.clock(), s.told
	s.busy = true
	good := s.reads > reads+1 // the first of them was under way when we came, and may have missed something
	bad := s.failures > failures
	s.mu.Unlock()
	var err error
	switch {
	case bad:
		err = errors.New("a read that was waited for failed")
	case !good:
		err = s.fold(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = false
	switch {
	case good || bad && err != nil:
	case err == nil:
		s.readAt, s.failedAt, s.heard = now, time.Time{}, told
		s.reads++
	case ctx.Err() == nil:
		s.failedAt = now
		s.failures++
	}
	if err != nil {
		return fmt.Errorf("read API clients: %w", err)
	}
	return nil
}

// fold reads the stream from where it stands. The caller holds reading.
func (s *side) fold(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	for b, err := range s.store.ReadSide(ctx, sideStream, s.next) {
		if err != nil {
			return err
		}
		var e sideEntry
		if err := json.Unmarshal(b, &e); err != nil || (e.Created == nil) == (e.Revoked == nil) {
			// It could be a revocation, so it must not be passed over.
			return fmt.Errorf("entry %d of the stream %s is not understood; is there a newer release?", s.next, sideStream)
		}
		s.apply(e)
		s.next++
	}
	return nil
}

// apply folds an entry. The first word on a client counts.
func (s *side) apply(e sideEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := e.Created; c != nil {
		if _, ok := s.clients[c.ID]; !ok {
			client := Client{ID: c.ID, Name: c.Name, Role: c.Role, CreatedAt: instant(c.At), ExpiresAt: instant(c.Expires)}
			s.clients[c.ID] = entry{client: client, digest: c.Digest}
		}
		return
	}
	if known, ok := s.clients[e.Revoked.ID]; ok && known.client.RevokedAt.IsZero() {
		known.client.RevokedAt = time.UnixMicro(e.Revoked.At).UTC()
		s.clients[e.Revoked.ID] = known
	}
}

// find answers from memory what was read a moment ago. What is not known is
// looked for, because another node may just have made it.
func (s *side) find(ctx context.Context, id string) (entry, error) {
	known, ok, fresh, rests := s.known(id)
	if ok && fresh {
		return known, nil
	}
	var err error
	if !rests {
		if err = s.read(ctx); err == nil {
			known, ok, _, _ = s.known(id)
		}
	}
	switch {
	case err == nil && !rests && !ok:
		return entry{}, ErrNotFound
	case err == nil && !rests:
		return known, nil
	case ok && s.lasts():
		return known, nil
	case err == nil:
		err = errors.New("the store could not be read a moment ago")
	}
	return entry{}, fmt.Errorf("%w: %w", eventstore.ErrUnavailable, err)
}

// known is what memory says of a client, whether that is fresh, and whether a
// store that failed is left alone: because that was a moment ago, or because
// somebody else is trying.
func (s *side) known(id string) (e entry, ok, fresh, rests bool) {
	now := s.clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok = s.clients[id]
	fresh = s.heard == s.told && now.Sub(s.readAt) < freshFor && !now.Before(s.readAt)
	rests = !s.failedAt.IsZero() && (s.busy || now.Sub(s.failedAt) < freshFor && !now.Before(s.failedAt))
	return e, ok, fresh, rests
}

// lasts reports whether what is known may still be gone by. A clock that was set
// back says nothing.
func (s *side) lasts() bool {
	now := s.clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Sub(s.readAt) < knownFor && !now.Before(s.readAt)
}

func (s *side) list(ctx context.Context) ([]entry, error) {
	if err := s.read(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]entry, 0, len(s.clients))
	for _, e := range s.clients {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b entry) int {
		if c := a.client.CreatedAt.Compare(b.client.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(a.client.ID, b.client.ID)
	})
	return out, nil
}

func (s *side) add(ctx context.Context, e entry) error {
	c := e.client
	created := sideEntry{Created: &sideCreated{ID: c.ID, Name: c.Name, Role: c.Role, Digest: e.digest, At: micros(c.CreatedAt), Expires: micros(c.ExpiresAt)}}
	return s.append(ctx, created, func(_ entry, ok bool) (bool, error) { return ok, nil })
}

func (s *side) revoke(ctx context.Context, id string, at time.Time) error {
	return s.append(ctx, sideEntry{Revoked: &sideRevoked{ID: id, At: micros(at)}}, func(known entry, ok bool) (bool, error) {
		if !ok {
			return false, ErrNotFound
		}
		return !known.client.RevokedAt.IsZero(), nil
	})
}

// append appends an entry until the stream says that it is done. After each
// attempt, whatever came of it, the stream is read.
func (s *side) append(ctx context.Context, e sideEntry, done func(known entry, ok bool) (bool, error)) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	var failed error
	for range appendAttempts {
		next, err := s.length(ctx)
		if err != nil {
			return err
		}
		s.mu.Lock()
		known, ok := s.clients[e.id()]
		s.mu.Unlock()
		if is, err := done(known, ok); err != nil || is {
			return err
		}
		failed = s.store.AppendSide(ctx, sideStream, next, b)
		if failed != nil && !errors.Is(failed, eventstore.ErrConflict) && !errors.Is(failed, eventstore.ErrOutcomeUnknown) {
			return failed
		}
	}
	return fmt.Errorf("%w: append to the stream %s: %w", eventstore.ErrUnavailable, sideStream, failed)
}

func (e sideEntry) id() string {
	if e.Created != nil {
		return e.Created.ID
	}
	return e.Revoked.ID
}

// length reads the stream and returns how many entries it has.
func (s *side) length(ctx context.Context) (uint64, error) {
	if err := s.read(ctx); err != nil {
		return 0, err
	}
	s.reading.Lock()
	defer s.reading.Unlock()
	return s.next, nil
}
