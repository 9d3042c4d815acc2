package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/merkle"
)

// seal is a published checkpoint after the work that needs no records.
type seal struct {
	revision uint64
	head     merkle.Checkpoint
	at       time.Time // by the log itself
	problem  string    // of the signature or the text; head is then not to be believed
	by       Mechanism // what found it
	cosigned time.Time // earliest time by which the policy was satisfied; zero when it is not
	stamps   []stamped
	err      error // why the history cannot be read; the last one
}

// readable reports whether the log's key signed what head says.
func (s *seal) readable() bool { return s.problem == "" || s.by != BySignature }

type stamped struct {
	authority string
	at        time.Time
	problem   string
	checked   bool
}

// sealing checks signatures in a goroutine of its own, ahead of the records. It
// ends with the history or the context.
type sealing struct {
	LogCheck

	keys  merkle.Keys
	epoch uint32 // of the checkpoint before; zero at first
	last  uint64 // revision to end with
	out   chan seal
}

func (s *sealing) run(ctx context.Context, from uint64) {
	defer close(s.out)
	for p, err := range s.History.From(ctx, from) {
		checked := seal{err: err}
		if err == nil {
			if p.Revision > s.last {
				return
			}
			checked = s.check(p)
		}
		select {
		case s.out <- checked:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

func (s *sealing) check(p merkle.Published) seal {
	out := seal{revision: p.Revision, by: BySignature}
	// The dated line and the plain one are both verified by this call.
	at, err := s.keys.SignedAt(p.Signed)
	if err == nil {
		out.at = at
		out.head, err = merkle.Unverified(p.Signed)
	}
	if err != nil {
		out.problem = err.Error()
		return out
	}
	if problem := s.handover(p.Signed, out.head); problem != "" {
		out.problem, out.by = problem, ByKeys
	}
	if !s.Policy.Empty() && s.Policy.Satisfied(p.Signed) {
		out.cosigned = earliest(s.Policy, p.Signed)
	}
	for _, stamp := range p.Stamps {
		out.stamps = append(out.stamps, s.stamp(p.Signed, stamp))
	}
	return out
}

// handover checks that the first checkpoint of a key is signed by the one
// before too: that is how a key that replaces another is trusted.
func (s *sealing) handover(signed []byte, c merkle.Checkpoint) string {
	e := s.keys.InForce(c.Size)
	before := s.epoch
	s.epoch = e.Number
	if before == 0 || before == e.Number {
		return ""
	}
	for _, old := range s.keys.Epochs {
		if old.Number == before && !s.keys.SignedBy(signed, old) {
			return fmt.Sprintf("it is the first of key epoch %d, and epoch %d did not sign it too", e.Number, before)
		}
	}
	return ""
}

// stamp checks a token. It is over the checkpoint as the log signed it: lines
// of witnesses came later.
func (s *sealing) stamp(signed []byte, stamp merkle.Stamp) stamped {
	out := stamped{authority: stamp.Authority}
	if s.Stamp == nil {
		return out
	}
	out.checked = true
	at, err := s.Stamp(merkle.AsLogSigned(signed, s.keys.Origin), stamp)
	if out.at = at; err != nil {
		out.problem = err.Error()
	}
	return out
}

func earliest(p merkle.Policy, signed []byte) time.Time {
	times, err := p.Cosigned(signed)
	var first time.Time
	for _, at := range times {
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	if err != nil {
		return time.Time{}
	}
	return first
}

// trusted returns the keys to verify with, and what is wrong with the log's
// word for them. The auditor's own must be the beginning of the log's: a later
// epoch is one the log announced since.
func trusted(ctx context.Context, h merkle.History, own *merkle.Keys) (merkle.Keys, string, error) {
	said, err := h.Keys(ctx)
	switch {
	case errors.Is(err, eventstore.ErrNotFound) && own == nil:
		return merkle.Keys{}, "the log names no keys", nil
	case errors.Is(err, eventstore.ErrNotFound):
		return *own, "the log names no keys; the auditor's own are used", nil
	case err != nil:
		return merkle.Keys{}, "", fmt.Errorf("read the log's keys: %w", err)
	}
	if err := said.Check(); err != nil {
		if own == nil {
			return merkle.Keys{}, err.Error(), nil
		}
		return *own, err.Error(), nil
	}
	if own == nil {
		return said, "", nil
	}
	if said.Origin != own.Origin || len(said.Epochs) < len(own.Epochs) {
		return *own, fmt.Sprintf("the log calls itself %s and names %d key epochs; the auditor's file says %s and %d", said.Origin, len(said.Epochs), own.Origin, len(own.Epochs)), nil
	}
	for i, e := range own.Epochs {
		if now := said.Epochs[i]; now.Number != e.Number || now.FromSize != e.FromSize || !now.Public.Equal(e.Public) {
			return *own, fmt.Sprintf("key epoch %d is not the one in the auditor's file", e.Number), nil
		}
	}
	return said, "", nil
}
