package sqlitestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"syscall"

	"github.com/authledger/authledger/eventstore"
)

// An anchor is one of two slots, 4096 bytes apart so that a torn write reaches
// only one, of 96 bytes (integers big-endian):
//
//	 0  8 bytes  magic and version "ALANCHR1"
//	 8 16 bytes  origin: the random id of the ledger.db it belongs to
//	24  8 bytes  sequence: records acknowledged
//	32 32 bytes  running hash at that sequence
//	64 28 bytes  zero
//	92  4 bytes  CRC-32C of the 92 bytes before
//
// It is written and synced after each commit and before the answer, so a log
// that ends before its anchor has lost acknowledged records. SQLite alone does
// not notice: it drops a write-ahead log's tail from the first bad byte on.
const (
	anchorMagic  = "ALANCHR1"
	anchorSize   = 96
	anchorStride = 4096
)

// mark is a place in the log: so many records, with this running hash.
type mark struct {
	sequence eventstore.Sequence
	running  eventstore.Hash
}

type anchor struct {
	file   *os.File
	origin [16]byte
	slot   int64 // written next
	buf    [anchorSize]byte
}

// readAnchor returns the newest readable slot, its origin, and the slot to
// write next. os.ErrNotExist is returned as it is.
func readAnchor(dir string) (m mark, origin [16]byte, next int64, err error) {
	b, err := os.ReadFile(filepath.Join(dir, anchorFile))
	if err != nil {
		return mark{}, origin, 0, err
	}
	found := false
	for slot := range int64(2) {
		s, o, ok := decodeAnchor(b, slot)
		if !ok || (found && s.sequence <= m.sequence) {
			continue
		}
		m, origin, next, found = s, o, 1-slot, true
	}
	if !found {
		return mark{}, origin, 0, refusef(ReasonAnchorCorrupt, "%s: neither slot of its %d bytes is readable", anchorFile, len(b))
	}
	return m, origin, next, nil
}

func decodeAnchor(file []byte, slot int64) (m mark, origin [16]byte, ok bool) {
	if int64(len(file)) < slot*anchorStride+anchorSize {
		return mark{}, origin, false
	}
	b := file[slot*anchorStride:][:anchorSize]
	if !bytes.HasPrefix(b, []byte(anchorMagic)) || binary.BigEndian.Uint32(b[92:]) != anchorSum(b) {
		return mark{}, origin, false
	}
	copy(origin[:], b[8:])
	m.sequence = eventstore.Sequence(binary.BigEndian.Uint64(b[24:]))
	copy(m.running[:], b[32:])
	return m, origin, true
}

func anchorSum(b []byte) uint32 {
	return crc32.Checksum(b[:92], crc32.MakeTable(crc32.Castagnoli))
}

// createAnchor makes the file under another name first, so that a crash leaves
// a whole anchor or none.
func createAnchor(dir string, origin [16]byte, m mark) error {
	temporary := filepath.Join(dir, anchorFile+".new")
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("create %s: %w", anchorFile, err)
	}
	a := anchor{file: f, origin: origin}
	// The whole length at once: later writes change data only.
	err = errors.Join(f.Truncate(2*anchorStride), a.write(m), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(temporary, filepath.Join(dir, anchorFile))
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("create %s: %w", anchorFile, err)
	}
	return nil
}

// openAnchor opens the file for writing. Each write returns after the disk has
// it (O_DSYNC is write and fdatasync in one call).
func openAnchor(dir string, origin [16]byte, next int64) (*anchor, error) {
	f, err := os.OpenFile(filepath.Join(dir, anchorFile), os.O_WRONLY|syscall.O_DSYNC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", anchorFile, err)
	}
	return &anchor{file: f, origin: origin, slot: next}, nil
}

// write puts m into the older slot, durably.
func (a *anchor) write(m mark) error {
	b := a.buf[:]
	copy(b, anchorMagic)
	copy(b[8:], a.origin[:])
	binary.BigEndian.PutUint64(b[24:], uint64(m.sequence))
	copy(b[32:], m.running[:])
	binary.BigEndian.PutUint32(b[92:], anchorSum(b))
	if _, err := a.file.WriteAt(b, a.slot*anchorStride); err != nil {
		return fmt.Errorf("write %s at sequence %d: %w", anchorFile, m.sequence, err)
	}
	a.slot = 1 - a.slot
	return nil
}

func (a *anchor) close() error { return a.file.Close() }
