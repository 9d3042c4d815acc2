package journal

import (
	"context"
	"fmt"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/domain/ocra"
)

// Physical units: their seed and PIN live in the keyring under the unit's own
// stream, so that every user of a shared unit is verified by the same.

const (
	// SecretSeed is the id of a unit's OCRA key in the keyring.
	SecretSeed = "seed"
	// secretPIN is that of its PIN. The next two are prefixes of PINs by the
	// event that made them wait, see notes: secretNewPIN of one that waits for
	// its proof, secretOrderPIN of one that was chosen with an order and waits,
	// under the user's stream, for the unit.
	secretPIN      = "pin"
	secretNewPIN   = "pin-new:"
	secretOrderPIN = "pin-order:"
	// deviceLookAhead is how many counters a unit may be ahead (D-49): each time
	// it was used without the response arriving here.
	deviceLookAhead = 10
)

// Device shows a physical unit's current state, like User.
func (j *Journal) Device(ctx context.Context, id string, read func(*domain.Device)) error {
	if !domain.IsID(id, domain.PrefixDevice) {
		return unknown("physical device")
	}
	s, release, err := j.view(ctx, domain.DeviceStream(id))
	if err != nil {
		return err
	}
	defer release()
	v := s.state.(*domain.Device) // by the stream's category
	if !v.Registered() {
		return unknown("physical device")
	}
	read(v)
	return nil
}

// device reads a unit, and the highest counter that any user of it, present or
// past, has seen: it only goes forward, whoever comes and goes.
func (g *gathering) device(ctx context.Context, id string) error {
	if id == "" {
		return nil
	}
	var f domain.DeviceFacts
	var users []domain.Binding
	err := g.j.Device(ctx, id, func(v *domain.Device) {
		f = domain.DeviceFacts{
			ID: v.ID, Model: v.Model, Suite: v.Suite, NextCounter: v.NextCounter, RequestID: v.RequestID, Returned: v.Returned,
		}
		users = v.Bindings
	})
	if err != nil {
		return ignoreUnknown(err)
	}
	own, _ := g.slot.state.(*domain.User)
	for _, b := range users {
		seen := func(u *domain.User) {
			if a, ok := u.Authenticator(b.AuthenticatorID); ok {
				f.NextCounter, f.InUse = max(f.NextCounter, a.Counter), f.InUse || a.Active(g.now)
			}
		}
		if own != nil && b.UserID == own.ID {
			seen(own)
			continue
		}
		err := g.j.User(ctx, b.UserID, func(u *domain.User, _ time.Time) error { seen(u); return nil })
		if err := ignoreUnknown(err); err != nil {
			return err
		}
	}
	seen, err := g.counter(ctx, id)
	f.NextCounter = max(f.NextCounter, seen)
	g.facts.Device = &f
	return err
}

// counter is the highest that the notes of a unit's holders know, and those of
// the user at hand, whose binding may not have reached the unit's stream yet.
func (g *gathering) counter(ctx context.Context, deviceID string) (uint64, error) {
	next := g.slot.counters[deviceID]
	unit, release, err := g.j.view(ctx, domain.DeviceStream(deviceID))
	if err != nil {
		return 0, err
	}
	holders := unit.holders
	release()
	for _, userID := range holders {
		stream := domain.UserStream(userID)
		if stream == g.slot.stream {
			continue
		}
		s, release, err := g.j.view(ctx, stream)
		if err != nil {
			return 0, err
		}
		next = max(next, s.counters[deviceID])
		release()
	}
	return next, nil
}

// request reads the order a unit is shipped for.
func (g *gathering) request(ctx context.Context, c domain.RecordDeviceShipped) error {
	err := g.j.User(ctx, domain.UserOf(c.RequestID), func(u *domain.User, _ time.Time) error {
		if r, ok := u.DeviceRequest(c.RequestID); ok {
			g.facts.Request = &domain.RequestFacts{Model: r.Model, Shipped: r.Shipped}
		}
		return nil
	})
	return ignoreUnknown(err)
}

// owner reads whose unit a user asks to share, and the unit.
func (g *gathering) owner(ctx context.Context, u *domain.User, authenticatorID string) error {
	ownerID := domain.UserOf(authenticatorID)
	if ownerID == u.ID || !domain.IsID(authenticatorID, domain.PrefixAuthenticator) {
		return nil
	}
	var f *domain.OwnerFacts
	err := g.j.User(ctx, ownerID, func(o *domain.User, now time.Time) error {
		a, ok := o.Authenticator(authenticatorID)
		if !ok || o.Closed() {
			return nil
		}
		f = &domain.OwnerFacts{UserID: o.ID, ClientID: o.ClientID, Kind: a.Kind, DeviceID: a.DeviceID, Active: a.Active(now)}
		for _, other := range o.Authenticators(now) {
			f.Temporary = f.Temporary || other.Kind.Temporary()
			if other.Kind.Permanent() {
				f.BestRank = max(f.BestRank, other.Kind.Rank())
			}
		}
		return nil
	})
	if err := ignoreUnknown(err); err != nil || f == nil {
		return err
	}
	g.facts.Owner = f
	return g.device(ctx, f.DeviceID)
}

// deviceResponse verifies a response of a unit: without a clock, with a
// counter that only goes forward, and with the PIN where the unit mixes it in.
func (g *gathering) deviceResponse(ctx context.Context, u *domain.User, c domain.Challenge, suite ocra.Suite, question, typed string) (domain.CodeEvidence, error) {
	e := domain.CodeEvidence{LenOK: true, CharsetOK: true}
	if g.facts.Device == nil {
		return e, nil
	}
	stream := domain.DeviceStream(c.DeviceID)
	key, err := g.j.keys.Secret(ctx, stream, SecretSeed)
	if gone(err) {
		return e, nil
	}
	if err != nil {
		return e, err
	}
	defer clear(key)
	in := ocra.Input{Question: question, Counter: g.facts.Device.NextCounter, Time: suite.TimeStep(g.now)}
	if suite.PINHashSize() > 0 {
		if in.PINHash, err = g.pinHash(ctx, u, c, suite); err != nil || in.PINHash == nil {
			return e, err
		}
	}
	m, err := ocra.Verify(suite, key, in, typed, ocra.Window{LookAhead: deviceLookAhead})
	if err != nil {
		return e, fmt.Errorf("verify response of %s: %w", c.DeviceID, err)
	}
	if m.OK {
		e.Matched, e.NextCounter = true, in.Counter+uint64(m.CounterOffset)+1
	}
	return e, nil
}

// pinHash is the digest of the PIN the answer must have been made with: the new
// one while its change waits for this very answer. nil when there is none.
func (g *gathering) pinHash(ctx context.Context, u *domain.User, c domain.Challenge, suite ocra.Suite) ([]byte, error) {
	id := secretPIN
	if changesPIN(u, c) {
		id = secretNewPIN + g.slot.secrets[c.ID].String()
	}
	pin, err := g.j.keys.Secret(ctx, domain.DeviceStream(c.DeviceID), id)
	if gone(err) || missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer clear(pin)
	return suite.HashPIN(pin), nil
}

// changesPIN reports whether a challenge was issued to prove a new PIN.
func changesPIN(u *domain.User, c domain.Challenge) bool {
	t, _ := u.Transaction(c.TxnID)
	return c.SubjectID == c.AuthenticatorID && t.Purpose == domain.PurposePINChange
}
