package esdbtest

import (
	"fmt"
	"strconv"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
)

type revisionKind int

const (
	anyRevision revisionKind = iota
	noStream
	streamExists
	exactRevision
)

// expected is the expected revision of a write.
type expected struct {
	kind     revisionKind
	revision uint64 // of exactRevision
}

// next is the revision the first event of the write would get.
func (e expected) next() uint64 {
	if e.kind == exactRevision {
		return e.revision + 1
	}
	return 0
}

// String is the kind as Call reports it: any, no_stream, stream_exists or
// revision.
func (e expected) String() string {
	return [...]string{"any", "no_stream", "stream_exists", "revision"}[e.kind]
}

// text is the form of the wrong-expected-version trailers.
func (e expected) text() string {
	switch e.kind {
	case exactRevision:
		return strconv.FormatUint(e.revision, 10)
	case noStream:
		return "-1"
	case streamExists:
		return "-4"
	default:
		return "-2"
	}
}

// revisionOptions is what the options of append, delete and tombstone share.
type revisionOptions interface {
	GetStreamIdentifier() *shared.StreamIdentifier
	GetRevision() uint64
	GetNoStream() *shared.Empty
	GetAny() *shared.Empty
	GetStreamExists() *shared.Empty
}

func expectedOf(o revisionOptions) expected {
	switch {
	case o.GetNoStream() != nil:
		return expected{kind: noStream}
	case o.GetStreamExists() != nil:
		return expected{kind: streamExists}
	case o.GetAny() != nil:
		return expected{kind: anyRevision}
	default:
		return expected{kind: exactRevision, revision: o.GetRevision()}
	}
}

// wrongVersion refuses a write whose expected revision does not hold.
type wrongVersion struct {
	want    expected
	exists  bool
	current uint64
}

func (w *wrongVersion) Error() string {
	return fmt.Sprintf("expected revision %s, the stream is at %s", w.want.text(), w.actual())
}

func (w *wrongVersion) actual() string {
	if !w.exists {
		return "-1"
	}
	return strconv.FormatUint(w.current, 10)
}

// streamGone refuses any use of a stream with a tombstone.
type streamGone struct{ stream string }

func (g *streamGone) Error() string { return "stream " + g.stream + " is deleted" }
