package sqlitestore

import (
	"slices"

	"github.com/authledger/authledger/eventstore"
)

// What the memory of newest records holds at most.
const (
	recentRecords = 4096
	recentBytes   = 8 << 20 // data and metadata
)

// recent is a ring of the newest records, whole, as they were acknowledged:
// what follows the head is served without a query. Its zero value remembers
// nothing. The tail's lock guards it.
type recent struct {
	ring  []eventstore.Record // record n stands at n modulo its length
	limit int                 // bytes
	next  eventstore.Sequence // after the newest
	count int
	bytes int
}

func newRecent(records, bytes int) recent {
	return recent{ring: make([]eventstore.Record, records), limit: bytes}
}

func (m *recent) slot(n eventstore.Sequence) *eventstore.Record {
	return &m.ring[uint64(n)%uint64(len(m.ring))]
}

func (m *recent) first() eventstore.Sequence { return m.next - eventstore.Sequence(m.count) }

// add takes over records that follow those it holds; after any others it
// starts anew.
func (m *recent) add(records []eventstore.Record) {
	if len(m.ring) == 0 || len(records) == 0 {
		return
	}
	records = records[max(len(records)-len(m.ring), 0):]
	if records[0].Sequence != m.next {
		m.forget()
	}
	for i := range records {
		r := &records[i]
		if m.count == len(m.ring) {
			m.dropFirst()
		}
		s := m.slot(r.Sequence)
		*s = *r
		// Readers share the bytes: appending to them must not reach spare room.
		s.Data, s.Metadata = slices.Clip(r.Data), slices.Clip(r.Metadata)
		m.next = r.Sequence + 1
		m.count++
		m.bytes += size(s)
	}
	for m.bytes > m.limit {
		m.dropFirst()
	}
}

func (m *recent) dropFirst() {
	s := m.slot(m.first())
	m.bytes -= size(s)
	*s = eventstore.Record{}
	m.count--
}

func (m *recent) forget() {
	clear(m.ring)
	m.next, m.count, m.bytes = 0, 0, 0
}

func (m *recent) holds(n eventstore.Sequence) bool { return n < m.next && n >= m.first() }

// after returns a copy of at most limit records, and at most a page, from the
// one after a sequence on; nothing when it does not hold that one.
func (m *recent) after(n eventstore.Sequence, limit int) []eventstore.Record {
	if !m.holds(n + 1) {
		return nil
	}
	count := int(min(uint64(limit), uint64(m.next-n-1)))
	return m.page(count, func(i int) eventstore.Sequence { return n + 1 + eventstore.Sequence(i) })
}

// at returns copies of the records of places, which ascend, at most a page;
// nothing when it does not hold the first of them.
func (m *recent) at(places []place) []eventstore.Record {
	if len(places) == 0 || !m.holds(places[0].sequence) {
		return nil
	}
	return m.page(len(places), func(i int) eventstore.Sequence { return places[i].sequence })
}

func (m *recent) page(count int, at func(i int) eventstore.Sequence) []eventstore.Record {
	page := make([]eventstore.Record, 0, min(count, pageRecords))
	for sum := 0; len(page) < cap(page) && sum < pageBytes; {
		s := m.slot(at(len(page)))
		page = append(page, *s)
		sum += size(s)
	}
	return page
}

func size(r *eventstore.Record) int { return len(r.Data) + len(r.Metadata) }
