package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/authledger/authledger/eventstore/sqlitestore"
)

// population is a ledger full of users who log in, with its keys.
type population struct {
	dir     string
	keys    *keyring.Keyring
	codec   *codec.Codec
	store   *sqlitestore.Store
	authors []*author
	turns   [fillers]int // of each filler, so far
	held    atomic.Int64 // events written
}

// eventsPerUser is how much history an average user of the population has at
// the end: an arrival and five logins.
const eventsPerUser = 52

func openPopulation(ctx context.Context, dir string, events int) (*population, error) {
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "keys"), 0o700), os.Mkdir(filepath.Join(dir, "views"), 0o700)); err != nil {
		return nil, err
	}
	p := &population{dir: dir}
	if err := p.open(ctx); err != nil {
		return nil, err
	}
	for n := range max(fillers, events/eventsPerUser) {
		p.authors = append(p.authors, newAuthor(p.codec, n))
	}
	if err := p.createKeys(ctx); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// open opens the files; on error none stays open.
func (p *population) open(ctx context.Context) error {
	keys, err := keyring.Open(ctx, keyring.Options{Dir: filepath.Join(p.dir, "keys")})
	if err != nil {
		return err
	}
	store, err := sqlitestore.Open(ctx, sqlitestore.Options{Dir: filepath.Join(p.dir, "ledger"), Clock: time.Now})
	if err != nil {
		return errors.Join(err, keys.Close())
	}
	p.keys, p.store = keys, store
	p.codec = codec.New(p.keys)
	for _, a := range p.authors {
		a.codec = p.codec
	}
	return nil
}

// reopen forgets what writing has left in memory, so that it is not counted
// as the readers'. On error the population is closed, which may be repeated.
func (p *population) reopen(ctx context.Context) error {
	if err := p.close(); err != nil {
		return err
	}
	return p.open(ctx)
}

func (p *population) close() error { return errors.Join(p.store.Close(), p.keys.Close()) }

// createKeys does in few commits what sealing would do one by one.
func (p *population) createKeys(ctx context.Context) error {
	const most = 1000 // of one call
	var streams []string
	for i, a := range p.authors {
		streams = append(streams, domain.UserStream(a.userID))
		if len(streams) < most && i < len(p.authors)-1 {
			continue
		}
		if err := p.keys.CreateKeys(ctx, streams...); err != nil {
			return err
		}
		streams = streams[:0]
	}
	return nil
}

// fillers is how many appends are under way while the ledger is filled.
const fillers = 256

// fill writes until the ledger holds at least so many events: everybody
// arrives, then everybody logs in, again and again, so that the streams are
// interleaved as in life.
func (p *population) fill(ctx context.Context, events int) error {
	full := func() bool { return p.held.Load() >= int64(events) }
	if full() {
		return nil
	}
	_, err := drive(ctx, fillers, extent{until: full}, func(ctx context.Context, filler, _ int) error {
		mine := (len(p.authors) - filler + fillers - 1) / fillers // authors of this filler
		a := p.authors[filler+p.turns[filler]%mine*fillers]
		p.turns[filler]++
		next := a.login
		if !a.expected.Exists() {
			next = a.arrival
		}
		proposed, err := next(ctx)
		if err == nil {
			err = a.write(ctx, p.store, proposed)
		}
		if err == nil {
			p.held.Add(int64(len(proposed)))
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("fill the ledger: %w", err)
	}
	return nil
}

// scan reads the whole ledger in order; with decode it gives every record its
// meaning.
func (p *population) scan(ctx context.Context, decode bool) (events int, err error) {
	for r, err := range p.store.ReadAll(ctx, 0) {
		if err == nil && decode {
			_, err = p.codec.Decode(r)
		}
		if err != nil {
			return events, fmt.Errorf("scan the ledger: %w", err)
		}
		events++
	}
	return events, nil
}

// grown writes a stream of its own of at least so many events and returns the
// user's id.
func (p *population) grown(ctx context.Context, n, events int) (string, error) {
	a := newAuthor(p.codec, n)
	proposed, err := a.arrival(ctx)
	for held := 0; err == nil; {
		if err = a.write(ctx, p.store, proposed); err != nil {
			break
		}
		if held += len(proposed); held >= events {
			p.held.Add(int64(held))
			return a.userID, nil
		}
		proposed = nil
		for len(proposed) < min(eventstore.MaxAppendCount/2, events) && err == nil {
			var login []eventstore.Proposed
			login, err = a.login(ctx)
			proposed = append(proposed, login...)
		}
	}
	return "", fmt.Errorf("write a long stream: %w", err)
}
