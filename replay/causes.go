package replay

import (
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
)

// Origin names an event of the log.
type Origin struct {
	EventID    string              `json:"event_id"` // evt_…
	Type       string              `json:"type"`
	Sequence   eventstore.Sequence `json:"sequence"`
	Revision   eventstore.Revision `json:"revision"`
	RecordedAt time.Time           `json:"recorded_at"`
}

func originOf(d codec.Decoded) Origin {
	r := d.Record
	return Origin{EventID: codec.EventIDText(r.ID), Type: r.Type, Sequence: r.Sequence, Revision: r.Revision, RecordedAt: r.RecordedAt}
}

// Part is a piece of the state and the events that set it, oldest first.
//
// A lock or opt-out keeps its events after its end, so that "not locked" is
// explained as well. An authenticator that was revoked is no part of the
// state; the timeline tells about it.
type Part struct {
	Name   string   `json:"part"`         // a Part… constant
	ID     string   `json:"id,omitempty"` // of the phone or authenticator
	Events []Origin `json:"events"`
}

// Names of parts, in the order in which they are listed.
const (
	PartUser          = "user"
	PartClosed        = "closed"
	PartResidence     = "residence"
	PartSeamless      = "seamless"
	PartLock          = "lock"
	PartFailures      = "failures"
	PartOptOut        = "opt_out"
	PartPhone         = "phone"
	PartAuthenticator = "authenticator"
)

type partKey struct{ name, id string }

// causes remembers for each part of a state the events that made it. It grows
// with the state, not with the history.
type causes map[partKey][]Origin

func newCauses() causes { return causes{} }

// note is called after an event was applied to the user at a moment.
func (c causes) note(e domain.Event, o Origin, u *domain.User, at time.Time) {
	switch e := e.(type) {
	case domain.UserRegistered:
		c.set(PartUser, "", o)
	case domain.UserClosed:
		c.set(PartClosed, "", o)
	case domain.ResidenceChanged: // each is dated; together they say where the user lives when
		c.add(PartResidence, "", o)
	case domain.SeamlessEnabled, domain.SeamlessDisabled:
		c.set(PartSeamless, "", o)
	case domain.UserLocked:
		c.set(PartLock, "", o)
	case domain.UserUnlocked:
		c.add(PartLock, "", o)
	case domain.PrimaryFactorRejected:
		c.failure(o, u.FailureCount(at))
	case domain.ResponseRejected:
		if e.Counted {
			c.failure(o, u.FailureCount(at))
		}
	case domain.OptOutGranted:
		c.set(PartOptOut, "", o)
	case domain.OptOutRevoked, domain.OptedBackIn:
		c.add(PartOptOut, "", o)
	case domain.AuthenticatorEnrolled:
		c.set(PartAuthenticator, e.AuthenticatorID, o)
	case domain.AuthenticatorRevoked:
		delete(c, partKey{PartAuthenticator, e.AuthenticatorID})
	default:
		c.notePhone(e, o)
	}
}

func (c causes) notePhone(e domain.Event, o Origin) {
	switch e := e.(type) {
	case domain.PhoneNumberAdded:
		c.set(PartPhone, e.PhoneID, o)
	case domain.PhoneNumberVerified:
		c.renew(PartPhone, e.PhoneID, o)
	case domain.PhoneNumberReplaced:
		c.add(PartPhone, e.OldPhoneID, o)
	case domain.PhoneNumberRemoved:
		c.add(PartPhone, e.PhoneID, o)
	}
}

// set makes the event the only one that counts.
func (c causes) set(name, id string, o Origin) { c[partKey{name, id}] = []Origin{o} }

func (c causes) add(name, id string, o Origin) {
	k := partKey{name, id}
	c[k] = append(c[k], o)
}

// renew replaces an earlier event of the same type: the last verification of
// a phone is the one the state shows.
func (c causes) renew(name, id string, o Origin) {
	k := partKey{name, id}
	kept := c[k][:0:0]
	for _, old := range c[k] {
		if old.Type != o.Type {
			kept = append(kept, old)
		}
	}
	c[k] = append(kept, o)
}

// failure notes a counted failure. Those that count are always the latest
// ones, and the domain has just said how many.
func (c causes) failure(o Origin, count int) {
	c.add(PartFailures, "", o)
	c[partKey{name: PartFailures}] = newestOf(c[partKey{name: PartFailures}], count)
}

func newestOf(events []Origin, n int) []Origin { return events[len(events)-min(n, len(events)):] }

// parts lists what is known at a moment, phones and authenticators in the
// order of the snapshot.
func (c causes) parts(u *domain.User, at time.Time) []Part {
	k := partKey{name: PartFailures}
	c[k] = newestOf(c[k], u.FailureCount(at))
	keys := []partKey{{name: PartUser}, {name: PartClosed}, {name: PartResidence}, {name: PartSeamless}, {name: PartLock}, k, {name: PartOptOut}}
	for _, p := range u.Phones() {
		keys = append(keys, partKey{PartPhone, p.ID})
	}
	for _, a := range u.Bound() {
		keys = append(keys, partKey{PartAuthenticator, a.ID})
	}
	out := []Part{}
	for _, k := range keys {
		if len(c[k]) > 0 {
			out = append(out, Part{Name: k.name, ID: k.id, Events: c[k]})
		}
	}
	return out
}
