package journal

import (
	"slices"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
)

// notes is what the shell reads off a stream's events for its own work: the
// rules never ask for it, so their state does not hold it. It is guarded like
// the state it stands beside.
type notes struct {
	// numbers are the ids of the events that hold a phone's number, by phone.
	numbers map[string]eventstore.EventID
	// secrets are the ids of the events whose secret lies in the keyring, by
	// what the event made: an order, the challenge of a PIN change, a delivery.
	// The secret is kept under the event's id, which no other attempt can have:
	// one that was given up and lands after all finds its own.
	secrets map[string]eventstore.EventID
	// counters are the next OCRA counters of the units that ever answered for
	// this user, by unit. They outlive the authenticators.
	counters map[string]uint64
	// holders are the users a unit was ever sent or bound to, or whose IB Key
	// ever lived on an installation.
	holders []string
	// homes are the installations this user's IB Key ever lived on.
	homes []string
}

// note takes down one stored event of a stream with this state.
func (n *notes) note(s domain.State, id eventstore.EventID, e domain.Event) {
	switch s.(type) {
	case *domain.Device, *domain.Installation:
		n.takeHolder(e)
		return
	}
	switch e := e.(type) {
	case domain.PhoneNumberAdded:
		put(&n.numbers, e.PhoneID, id)
	case domain.PhysicalDeviceRequested:
		put(&n.secrets, e.RequestID, id)
	case domain.PhysicalDeviceShipped:
		delete(n.secrets, e.RequestID) // the unit has it now
	case domain.ChallengeIssued:
		if e.DeviceID != "" && e.SubjectID == e.AuthenticatorID {
			put(&n.secrets, e.ChallengeID, id)
		}
	case domain.DevicePINChanged:
		delete(n.secrets, e.ChallengeID) // the unit has it now
	case domain.TemporaryCredentialDelivered:
		if waitsInApp(e) {
			put(&n.secrets, e.DeliveryID, id)
		}
	case domain.AuthenticatorEnrolled:
		if e.InstallationID != "" {
			n.homes = withOne(n.homes, e.InstallationID)
		}
		n.takeCounter(e.DeviceID, e.NextCounter)
	case domain.ResponseVerified:
		n.takeCounter(e.DeviceID, e.NextCounter)
	}
}

func (n *notes) takeHolder(e domain.Event) {
	userID := ""
	switch e := e.(type) {
	case domain.PhysicalDeviceShipped:
		userID = e.UserID
	case domain.AuthenticatorBound:
		userID = e.UserID
	default:
		return
	}
	n.holders = withOne(n.holders, userID)
}

// withOne adds a value that is not there yet. Readers may keep the list before.
func withOne(list []string, value string) []string {
	if slices.Contains(list, value) {
		return list
	}
	return append(list[:len(list):len(list)], value)
}

func (n *notes) takeCounter(deviceID string, next uint64) {
	if deviceID != "" && next > n.counters[deviceID] {
		put(&n.counters, deviceID, next)
	}
}

func put[V any](m *map[string]V, key string, v V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[key] = v
}
