package projections

import (
	"database/sql"
	"errors"
)

// memory remembers some answers of the file. It is bounded, however long the
// log: a full one starts over, and what it forgot is read again. The zero
// value is ready.
type memory[K comparable, T any] struct {
	items map[K]T
}

const memorySize = 8192

func (m *memory[K, T]) get(key K) (T, bool) {
	v, ok := m.items[key]
	return v, ok
}

func (m *memory[K, T]) put(key K, v T) {
	if m.items == nil || len(m.items) >= memorySize {
		m.items = make(map[K]T, 64)
	}
	m.items[key] = v
}

func (m *memory[K, T]) forget() { m.items = nil }

// collect scans all rows and closes them.
func collect[T any](rows *sql.Rows, scan func(*sql.Rows) (T, error)) ([]T, error) {
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		out = append(out, v)
	}
	return out, errors.Join(rows.Err(), rows.Close())
}
