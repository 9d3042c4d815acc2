package sealer

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/merkle"
)

// Memory is a Store that does not outlive the process: the model the others are
// compared with, and the store of tests.
type Memory struct {
	mu          sync.Mutex // guards everything below
	keys        merkle.Keys
	checkpoints []memoryCheckpoint
	tiles       map[memoryPlace][]byte
}

type memoryCheckpoint struct {
	size   uint64
	at     time.Time
	signed []byte
	lines  []string
	stamps []merkle.Stamp
}

type memoryPlace struct {
	level int
	n     int64
}

var _ Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{tiles: map[memoryPlace][]byte{}} }

// Begin implements Store.
func (m *Memory) Begin(_ context.Context, k merkle.Keys) (merkle.Keys, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keys.Origin == "" {
		m.keys = k
	}
	return m.known(), nil
}

func (m *Memory) known() merkle.Keys {
	return merkle.Keys{Origin: m.keys.Origin, Epochs: slices.Clone(m.keys.Epochs)}
}

// Fill implements Store.
func (m *Memory) Fill(_ context.Context, tiles []merkle.Tile) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.checkpoints) > 0 {
		return fmt.Errorf("keep tiles: %w", ErrTaken)
	}
	return m.put(tiles)
}

// put keeps all tiles or none.
func (m *Memory) put(tiles []merkle.Tile) error {
	for _, t := range tiles {
		if !bytes.HasPrefix(t.Data, m.tiles[memoryPlace{t.Level, t.N}]) {
			return fmt.Errorf("%w: tile %d of level %d does not grow", eventstore.ErrUnavailable, t.N, t.Level)
		}
	}
	for _, t := range tiles {
		m.tiles[memoryPlace{t.Level, t.N}] = slices.Clone(t.Data)
	}
	return nil
}

// Publish implements Store.
func (m *Memory) Publish(_ context.Context, p Publication) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	newest := len(m.checkpoints)
	if p.Revision != uint64(newest)+1 {
		return fmt.Errorf("publish checkpoint %d: %w: the newest is %d", p.Revision, ErrTaken, newest)
	}
	if newest > 0 && (m.checkpoints[newest-1].size > p.Checkpoint.Size || m.checkpoints[newest-1].at.After(p.At)) {
		return fmt.Errorf("publish checkpoint %d: %w: size or time goes back", p.Revision, eventstore.ErrUnavailable)
	}
	if err := m.put(p.Tiles); err != nil {
		return fmt.Errorf("publish checkpoint %d: %w", p.Revision, err)
	}
	if p.Epoch != nil {
		m.keys.Epochs = append(m.keys.Epochs, *p.Epoch)
	}
	m.checkpoints = append(m.checkpoints, memoryCheckpoint{size: p.Checkpoint.Size, at: p.At, signed: slices.Clone(p.Signed)})
	return nil
}

// AddCosignature implements Store.
func (m *Memory) AddCosignature(_ context.Context, revision uint64, line string) error {
	if err := checkLine(line); err != nil {
		return fmt.Errorf("add cosignature to checkpoint %d: %w", revision, err)
	}
	return m.change(revision, func(c *memoryCheckpoint) {
		if !slices.Contains(c.lines, line) {
			c.lines = append(c.lines, line)
			slices.Sort(c.lines)
		}
	})
}

// AddStamp implements Store.
func (m *Memory) AddStamp(_ context.Context, revision uint64, s merkle.Stamp) error {
	same := func(o merkle.Stamp) bool { return o.Authority == s.Authority && bytes.Equal(o.Token, s.Token) }
	return m.change(revision, func(c *memoryCheckpoint) {
		if !slices.ContainsFunc(c.stamps, same) {
			c.stamps = append(c.stamps, merkle.Stamp{Authority: s.Authority, Token: slices.Clone(s.Token)})
		}
	})
}

// Stamped implements Store.
func (m *Memory) Stamped(context.Context) (merkle.Published, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := len(m.checkpoints); i > 0; i-- {
		if len(m.checkpoints[i-1].stamps) > 0 {
			return m.at(uint64(i))
		}
	}
	return merkle.Published{}, fmt.Errorf("newest stamped checkpoint: %w", eventstore.ErrNotFound)
}

func (m *Memory) change(revision uint64, change func(*memoryCheckpoint)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if revision == 0 || revision > uint64(len(m.checkpoints)) {
		return fmt.Errorf("checkpoint %d: %w", revision, eventstore.ErrNotFound)
	}
	change(&m.checkpoints[revision-1])
	return nil
}

// at returns a checkpoint by its revision; mu is held.
func (m *Memory) at(revision uint64) (merkle.Published, error) {
	if revision == 0 || revision > uint64(len(m.checkpoints)) {
		return merkle.Published{}, fmt.Errorf("checkpoint %d: %w", revision, eventstore.ErrNotFound)
	}
	c := m.checkpoints[revision-1]
	return merkle.Published{Revision: revision, Signed: merkle.AddLines(c.signed, c.lines...), Stamps: slices.Clone(c.stamps)}, nil
}

// Latest implements merkle.History.
func (m *Memory) Latest(context.Context) (merkle.Published, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at(uint64(len(m.checkpoints)))
}

// Covering implements merkle.History.
func (m *Memory) Covering(_ context.Context, size uint64) (merkle.Published, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at(uint64(slices.IndexFunc(m.checkpoints, func(c memoryCheckpoint) bool { return c.size >= size })) + 1)
}

// From implements merkle.History.
func (m *Memory) From(_ context.Context, revision uint64) iter.Seq2[merkle.Published, error] {
	return func(yield func(merkle.Published, error) bool) {
		for next := max(revision, 1); ; next++ {
			m.mu.Lock()
			p, err := m.at(next)
			m.mu.Unlock()
			if err != nil || !yield(p, nil) {
				return
			}
		}
	}
}

// Tile implements merkle.History.
func (m *Memory) Tile(_ context.Context, level int, n int64) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.tiles[memoryPlace{level, n}]
	if !ok {
		return nil, fmt.Errorf("tile %d of level %d: %w", n, level, eventstore.ErrNotFound)
	}
	return slices.Clone(data), nil
}

// Keys implements merkle.History.
func (m *Memory) Keys(context.Context) (merkle.Keys, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keys.Origin == "" {
		return merkle.Keys{}, fmt.Errorf("keys of the log: %w", eventstore.ErrNotFound)
	}
	return m.known(), nil
}

// Close implements Store; it forgets nothing.
func (m *Memory) Close() error { return nil }
