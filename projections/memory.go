package projections

import (
	"database/sql"
	"errors"
)

// memory remembers some answers of the file. It is bounded, however long the
// log: a full one starts over, and what it forgot is read again. The zero
// value is ready.
type memory[T any] struct {
	items map[string]T
}

const memorySize = 8192

func (m *memory[T]) get(key string) (T, bool) {
	v, ok := m.items[key]
	return v, ok
}

func (m *memory[T]) put(key string, v T) {
	if m.items == nil || len(m.items) >= memorySize {
		m.items = make(map[string]T, 64)
	}
	m.items[key] = v
}

func (m *memory[T]) forget() { m.items = nil }

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
