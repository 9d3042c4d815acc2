package replay

import (
	"slices"
	"strings"
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
// A lock, an opt-out or a suspension keeps its events after its end, so that
// "not locked" is explained as well. An authenticator that was revoked, or a
// process that has ended, is no part of the state; the timeline tells about
// it.
type Part struct {
	Name   string   `json:"part"`         // a Part… constant
	ID     string   `json:"id,omitempty"` // of the phone, authenticator, process or client
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
	PartProcess       = "process"
	PartPersonalData  = "personal_data" // locked away, or destroyed
	PartLegalHold     = "legal_hold"
	PartAccess        = "access" // of a decision: to another client's accounts
	PartClient        = "client" // of a decision: whose facts it asked
)

type partKey struct{ name, id string }

// causes remembers for each part of a state the events that made it. It grows
// with the state, not with the history.
type causes struct {
	events  map[partKey][]Origin
	orders  map[string]string // of physical units on their way, by unit
	started []string          // processes, oldest first
}

func newCauses() *causes { return &causes{events: map[partKey][]Origin{}, orders: map[string]string{}} }

// note is called after an event was applied to the user at a moment.
func (c *causes) note(e domain.Event, o Origin, u *domain.User, at time.Time) {
	switch e := e.(type) {
	case domain.UserRegistered:
		c.set(PartUser, "", o)
	case domain.UserClosed:
		c.set(PartClosed, "", o)
	case domain.ResidenceChanged: // each is dated; together they say where the user lives when
		c.add(PartResidence, "", o)
	case domain.AccountAccessGranted: // dated likewise
		c.add(PartAccess, e.ClientID, o)
	case domain.AccountAccessRevoked:
		c.add(PartAccess, e.ClientID, o)
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
	default:
		c.notePhone(e, o)
		c.noteAuthenticator(e, o)
		c.noteProcess(e, o, u)
		c.notePrivacy(e, o)
	}
}

// notePrivacy notes why personal data is locked away or gone. A hold that was
// released is no part of the state.
func (c *causes) notePrivacy(e domain.Event, o Origin) {
	switch e := e.(type) {
	case domain.ProcessingRestricted, domain.PersonalDataErased:
		c.set(PartPersonalData, "", o)
	case domain.LegalHoldPlaced:
		c.set(PartLegalHold, e.HoldID, o)
	case domain.LegalHoldReleaseRequested:
		c.add(PartLegalHold, e.HoldID, o)
	case domain.LegalHoldReleased:
		delete(c.events, partKey{PartLegalHold, e.HoldID})
	}
}

func (c *causes) notePhone(e domain.Event, o Origin) {
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

func (c *causes) noteAuthenticator(e domain.Event, o Origin) {
	switch e := e.(type) {
	case domain.AuthenticatorEnrolled:
		c.set(PartAuthenticator, e.AuthenticatorID, o)
		c.end(e.AuthenticatorID) // a card's activation
		if order, ok := c.orders[e.DeviceID]; ok {
			c.end(order)
			delete(c.orders, e.DeviceID)
		}
	case domain.AuthenticatorRevoked:
		delete(c.events, partKey{PartAuthenticator, e.AuthenticatorID})
	case domain.AuthenticatorReportedLost:
		c.suspension(e.AuthenticatorID, o)
	case domain.AuthenticatorSuspended:
		c.suspension(e.AuthenticatorID, o)
	case domain.AuthenticatorReactivated:
		c.renew(PartAuthenticator, e.AuthenticatorID, o)
	case domain.UnificationCompleted: // it lives elsewhere now
		c.renew(PartAuthenticator, e.AuthenticatorID, o)
	}
}

// suspension notes a loss or a suspension. What led to an earlier one that has
// ended counts no longer.
func (c *causes) suspension(id string, o Origin) {
	k := partKey{PartAuthenticator, id}
	if slices.ContainsFunc(c.events[k], isType("AuthenticatorReactivated")) {
		over := func(old Origin) bool {
			return old.Type == "AuthenticatorReactivated" || old.Type == "AuthenticatorSuspended" || old.Type == "AuthenticatorReportedLost"
		}
		c.events[k] = slices.DeleteFunc(slices.Clone(c.events[k]), over)
	}
	c.renew(PartAuthenticator, id, o)
}

func isType(name string) func(Origin) bool { return func(o Origin) bool { return o.Type == name } }

// noteProcess notes what began a process and what took it to its step.
func (c *causes) noteProcess(e domain.Event, o Origin, u *domain.User) {
	switch e := e.(type) {
	case domain.EnrollmentStarted:
		c.begin(e.EnrollmentID, o, u)
	case domain.MigrationStarted:
		c.begin(e.MigrationID, o, u)
	case domain.RecoveryStarted:
		c.begin(e.RecoveryID, o, u)
	case domain.UnificationOffered:
		c.begin(e.UnificationID, o, u)
	case domain.PhysicalDeviceRequested:
		c.begin(e.RequestID, o, u)
	case domain.DeviceSharingRequested:
		c.begin(e.SharingID, o, u)
	case domain.OnlineCodeCardIssued:
		c.begin(e.AuthenticatorID, o, u)
	case domain.SecurityCodeCardIssued:
		c.begin(e.AuthenticatorID, o, u)
	case domain.ActivationCodeAccepted:
		if domain.IsID(e.SubjectID, domain.PrefixEnrollment) { // elsewhere the proof accepted is the step
			c.step(e.SubjectID, o)
		}
	case domain.MigrationProofAccepted:
		c.step(e.MigrationID, o)
	case domain.RecoveryProofAccepted:
		c.step(e.RecoveryID, o)
	case domain.UnificationDeferred:
		c.step(e.UnificationID, o)
	case domain.DeviceSharingPending:
		c.step(e.SharingID, o)
	case domain.PhysicalDeviceShipped:
		c.orders[e.DeviceID] = e.RequestID
		c.add(PartProcess, e.RequestID, o) // also when the order is so old that it was forgotten
	}
}

// begin notes the first event of a process, and forgets those the domain no
// longer remembers, so that processes nobody finishes do not add up.
func (c *causes) begin(id string, o Origin, u *domain.User) {
	c.set(PartProcess, id, o)
	c.started = append(c.started, id)
	kept := c.started[:0:0]
	for _, old := range c.started {
		if c.remembered(old, u) {
			kept = append(kept, old)
			continue
		}
		delete(c.events, partKey{PartProcess, old})
	}
	c.started = kept
}

func (c *causes) remembered(id string, u *domain.User) bool {
	ref, _ := domain.ParseRef(id)
	found := false
	switch ref.Prefix {
	case domain.PrefixEnrollment:
		_, found = u.Enrollment(id)
	case domain.PrefixMigration:
		_, found = u.Migration(id)
	case domain.PrefixRecovery:
		_, found = u.Recovery(id)
	case domain.PrefixUnification:
		_, found = u.Unification(id)
	case domain.PrefixSharing:
		_, found = u.Sharing(id)
	case domain.PrefixAuthenticator:
		_, found = u.CodeCard(id)
	case domain.PrefixRequest:
		if _, found = u.DeviceRequest(id); !found {
			for _, order := range c.orders {
				found = found || order == id
			}
		}
	}
	return found
}

// step adds to a process that is under way.
func (c *causes) step(id string, o Origin) {
	if k := (partKey{PartProcess, id}); len(c.events[k]) > 0 {
		c.events[k] = append(c.events[k], o)
	}
}

func (c *causes) end(process string) { delete(c.events, partKey{PartProcess, process}) }

// set makes the event the only one that counts.
func (c *causes) set(name, id string, o Origin) { c.events[partKey{name, id}] = []Origin{o} }

func (c *causes) add(name, id string, o Origin) {
	k := partKey{name, id}
	c.events[k] = append(c.events[k], o)
}

// renew replaces an earlier event of the same type: the last verification of
// a phone is the one the state shows.
func (c *causes) renew(name, id string, o Origin) {
	k := partKey{name, id}
	kept := c.events[k][:0:0]
	for _, old := range c.events[k] {
		if old.Type != o.Type {
			kept = append(kept, old)
		}
	}
	c.events[k] = append(kept, o)
}

// failure notes a counted failure. Those that count are always the latest
// ones, and the domain has just said how many.
func (c *causes) failure(o Origin, count int) {
	c.add(PartFailures, "", o)
	k := partKey{name: PartFailures}
	c.events[k] = newestOf(c.events[k], count)
}

func newestOf(events []Origin, n int) []Origin { return events[len(events)-min(n, len(events)):] }

// parts lists what is known at a moment: phones, authenticators and processes
// in the order of the snapshot's lists, authenticators in that of their
// binding.
func (c *causes) parts(u *domain.User, s domain.Snapshot) []Part {
	k := partKey{name: PartFailures}
	c.events[k] = newestOf(c.events[k], s.FailureCount)
	keys := []partKey{{name: PartUser}, {name: PartClosed}, {name: PartResidence}, {name: PartSeamless}, {name: PartLock}, k, {name: PartOptOut}, {name: PartPersonalData}}
	for _, h := range u.Holds() {
		keys = append(keys, partKey{PartLegalHold, h.ID})
	}
	for _, p := range u.Phones() {
		keys = append(keys, partKey{PartPhone, p.ID})
	}
	for _, a := range u.Bound() {
		keys = append(keys, partKey{PartAuthenticator, a.ID})
	}
	for _, p := range s.Processes {
		keys = append(keys, partKey{PartProcess, p.ID})
	}
	return c.list(keys)
}

// facts lists what a decision on the user asks of the user's own stream; an
// access that has ended is listed too, because it explains a fact's absence.
func (c *causes) facts() []Part {
	keys := []partKey{{name: PartUser}, {name: PartResidence}}
	for k := range c.events {
		if k.name == PartAccess {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys[2:], func(a, b partKey) int { return strings.Compare(a.id, b.id) })
	return c.list(keys)
}

func (c *causes) list(keys []partKey) []Part {
	out := []Part{}
	for _, k := range keys {
		if len(c.events[k]) > 0 {
			out = append(out, Part{Name: k.name, ID: k.id, Events: c.events[k]})
		}
	}
	return out
}
