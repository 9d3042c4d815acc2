package delivery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
)

// Causes of a re-evaluation (domain.md 9.3). With no cause the rules name one.
const (
	causeResidence = "residence_change"
	causeEntity    = "carrying_entity_change"
	causeDomicile  = "domicile_change"
	causeHolder    = "holder_added"
	causeAccess    = "access_granted"
	causeRule      = "rule_in_force"
)

// namespaceRegime is the UUIDv5 name space of re-evaluations that no event
// caused; fixed for ever.
var namespaceRegime = uuid.MustParse("5d2f1b0e-94b7-5f0c-8a43-2b1f6c0a7d35")

// regime ends opt-outs the rules no longer allow: when a fact or the rule book
// changes, when a rule enters into force, and when a fact recorded ahead of its
// date becomes true. A login asks the rules itself, so this process shortens the exposure
// and is not what prevents it.
type regime struct {
	c Config

	mu    sync.Mutex // one check at a time; guards since
	since time.Time  // boundaries up to here were dealt with
}

func regimeTypes() []string {
	return []string{
		"ResidenceChanged", "AccountAccessGranted", "OptOutGranted", "CarryingEntityAssigned", "HolderAdded", "DomicileChanged",
		"PolicyRulePublished", "PolicyRuleAmended", "PolicyRuleWithdrawn",
	}
}

// act re-evaluates those whom a recorded fact or rule concerns.
func (r *regime) act(ctx context.Context, d codec.Decoded) error {
	category, key, _ := cutStream(d.Record.Stream)
	switch category {
	case "user":
		return r.user(ctx, d, domain.UserID(key))
	case "client":
		return r.client(ctx, d, domain.ClientID(key))
	case "policy":
		return r.rules(ctx, d)
	}
	return nil
}

func (r *regime) user(ctx context.Context, d codec.Decoded, userID string) error {
	switch d.Event.(type) {
	case domain.ResidenceChanged:
		return r.one(ctx, d, userID, causeResidence)
	case domain.AccountAccessGranted:
		return r.one(ctx, d, userID, causeAccess)
	case domain.OptOutGranted:
		// It was decided on clients' facts and rules that may have changed
		// before it was appended.
		return r.one(ctx, d, userID, "")
	}
	return nil
}

func (r *regime) one(ctx context.Context, d codec.Decoded, userID, cause string) error {
	cmd := domain.ReevaluateRegime{UserID: userID, Cause: cause}
	q := request(d, "regime", system("regime"), cmd)
	q.CommandID = commandID(d.Record.ID, "regime/"+userID) // one event may concern several users
	_, err := r.c.Journal.Execute(ctx, q)
	if moot(err) {
		return nil
	}
	return err
}

// client re-evaluates the opted-out users of a client: for the country of the
// carrying entity also those who have access to its accounts, for the others
// ask about their own client only.
func (r *regime) client(ctx context.Context, d codec.Decoded, clientID string) error {
	cause, accessors := "", false
	switch d.Event.(type) {
	case domain.CarryingEntityAssigned:
		cause, accessors = causeEntity, true
	case domain.HolderAdded:
		cause = causeHolder
	case domain.ResidenceChanged:
		cause = causeResidence
	case domain.DomicileChanged:
		cause = causeDomicile
	default:
		return nil
	}
	return r.optedOut(ctx, d, cause, func(u *domain.User, now time.Time) bool {
		return u.ClientID == clientID ||
			accessors && slices.Contains(u.AccessibleClients(now, r.c.Journal.Policy()), clientID)
	})
}

// rules re-evaluates every opted-out user after a change of the rule book,
// which the policy in use must include: the record may be here before the
// command that made it has brought the policy along, or come from another node.
func (r *regime) rules(ctx context.Context, d codec.Decoded) error {
	if _, err := r.c.Journal.PolicyAt(ctx, d.Record.Revision); err != nil {
		return err
	}
	return r.optedOut(ctx, d, causeRule, func(*domain.User, time.Time) bool { return true })
}

// optedOut re-evaluates the opted-out users whom an event concerns.
func (r *regime) optedOut(ctx context.Context, d codec.Decoded, cause string, concerned func(*domain.User, time.Time) bool) error {
	users, err := r.c.OptedOut(ctx, d.Record.Position)
	if err != nil {
		return fmt.Errorf("list opted-out users: %w", err)
	}
	for _, userID := range users {
		wanted := false
		err := r.c.Journal.User(ctx, userID, func(u *domain.User, now time.Time) error {
			wanted = concerned(u, now)
			return nil
		})
		if err != nil {
			return err
		}
		if !wanted {
			continue
		}
		if err := r.one(ctx, d, userID, cause); err != nil {
			return err
		}
	}
	return nil
}

// CheckRegime re-evaluates every opted-out user against the rules in force
// now. It is safe to call at any time and appends nothing for an opt-out that
// stands.
func (d *Delivery) CheckRegime(ctx context.Context) error { return d.regime.check(ctx) }

// RunRegime calls CheckRegime at once and at every tick, until ctx ends or
// ticks is closed. A failure is logged and made up for at the next tick.
func (d *Delivery) RunRegime(ctx context.Context, ticks <-chan time.Time) {
	d.run(ctx, ticks, d.CheckRegime, "opt-outs could not be checked against the rules; trying again at the next tick")
}

// run calls a check at once and at every tick, until ctx ends or ticks is
// closed.
func (d *Delivery) run(ctx context.Context, ticks <-chan time.Time, check func(context.Context) error, failure string) {
	for {
		if err := check(ctx); err != nil && ctx.Err() == nil {
			d.c.Logger.Error(failure, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case _, ok := <-ticks:
			if !ok {
				return
			}
		}
	}
}

func (r *regime) check(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.c.Journal.Now()
	if !r.due(now) {
		return nil
	}
	users, err := r.c.OptedOut(ctx, 0)
	if err != nil {
		return fmt.Errorf("list opted-out users: %w", err)
	}
	var failed error
	for _, userID := range users {
		if err := r.sweep(ctx, userID); err != nil && failed == nil {
			failed = fmt.Errorf("check opt-out of %s: %w", userID, err) // the others do not wait for this one
		}
	}
	if failed == nil {
		r.since = now
	}
	return failed
}

// midnights is the grid on which days begin anywhere: zones differ from UTC by
// whole quarters of an hour.
const midnights = 15 * time.Minute

// due reports whether anything can have changed by the mere passing of time
// since the last check: a rule entered into force, or somewhere a day began on
// which a fact recorded ahead becomes true.
func (r *regime) due(now time.Time) bool {
	return r.since.IsZero() || len(r.c.Journal.Policy().Boundaries(r.since, now)) > 0 ||
		!now.Truncate(midnights).Equal(r.since.Truncate(midnights))
}

// sweep re-evaluates one user; the rules name the cause. The command's id
// derives from the opt-out's, for an opt-out ends at most once: so every node,
// and every repeat, gives the same command.
func (r *regime) sweep(ctx context.Context, userID string) error {
	var optOut *domain.OptOut
	err := r.c.Journal.User(ctx, userID, func(u *domain.User, now time.Time) error {
		optOut = u.OptedOut(now)
		return nil
	})
	if err != nil || optOut == nil {
		return err
	}
	_, err = r.c.Journal.Execute(ctx, journal.Request{
		Command:   domain.ReevaluateRegime{UserID: userID},
		CommandID: uuid.NewSHA1(namespaceRegime, []byte(optOut.ID)), Actor: system("regime"),
	})
	if moot(err) {
		return nil
	}
	return err
}

// cutStream takes a stream's name apart.
func cutStream(stream string) (category, key string, ok bool) { return strings.Cut(stream, "-") }
