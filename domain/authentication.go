package domain

import (
	"strconv"
	"strings"
	"time"
)

// Authentication transactions (domain.md 6.5): from the verdict on the
// password to the verdict on the second factor, on whichever device the
// user logs in, with the authenticator the user picks.

// StartAuthentication opens a transaction with the verdict on the primary
// factor. When exactly one authenticator can answer, its challenge is issued
// in the same append unless Defer is set.
type StartAuthentication struct {
	UserID              string
	Purpose             Purpose
	Platform            Platform
	ClientVersion       string
	ReleaseChannel      ReleaseChannel
	InitiatingDeviceRef string
	PrimaryVerified     bool
	Defer               bool
	// WaiverOnly asks for a session without a second factor, as a client that
	// nobody attends must; without an opt-out in force the login fails.
	WaiverOnly bool
}

// AuthenticationStarted opens a transaction.
type AuthenticationStarted struct {
	TxnID               string         `json:"txn_id"`
	Purpose             Purpose        `json:"purpose"`
	Platform            Platform       `json:"platform"`
	PlatformClass       PlatformClass  `json:"platform_class"`
	ClientVersion       string         `json:"client_version,omitempty"`
	ReleaseChannel      ReleaseChannel `json:"release_channel,omitempty"`
	InitiatingDeviceRef string         `json:"initiating_device_ref,omitempty"`
}

// AuthenticationRefused records a login that was not even begun.
type AuthenticationRefused struct {
	Purpose     Purpose    `json:"purpose"`
	Platform    Platform   `json:"platform"`
	Reason      Code       `json:"reason"`
	LockedUntil *time.Time `json:"locked_until,omitempty"`
}

// PrimaryFactorVerified records the right password.
type PrimaryFactorVerified struct {
	TxnID     string    `json:"txn_id"`
	ExpiresAt time.Time `json:"expires_at"`
}

// PrimaryFactorRejected records a wrong one; it counts (D-20).
type PrimaryFactorRejected struct {
	TxnID        string `json:"txn_id"`
	FailureCount int    `json:"failure_count"`
}

// SecondFactorWaived lets a user in without a second factor because of an
// opt-out that is valid now.
type SecondFactorWaived struct {
	TxnID    string   `json:"txn_id"`
	OptOutID string   `json:"opt_out_id"`
	RuleIDs  []string `json:"rule_ids"`
	Decision Decision `json:"decision"`
}

// SecondFactorOffered lists what the user may choose from.
type SecondFactorOffered struct {
	TxnID   string   `json:"txn_id"`
	Options []Option `json:"options"`
}

// Option is one authenticator offered.
type Option struct {
	AuthenticatorID string `json:"authenticator_id"`
	Kind            Kind   `json:"kind"`
	Rank            int    `json:"rank"`
}

// EnrollmentRequired says that the user has nothing to answer with.
type EnrollmentRequired struct {
	TxnID string `json:"txn_id"`
}

// AuthenticationSucceeded ends a transaction well.
type AuthenticationSucceeded struct {
	TxnID             string `json:"txn_id"`
	Scope             string `json:"scope"` // full, recovery_only, step_up
	AuthenticatorKind Kind   `json:"authenticator_kind,omitempty"`
	ProtectionRank    int    `json:"protection_rank"`
	Factors           int    `json:"factors"`
	SessionRef        string `json:"session_ref"`

	Platform            Platform `json:"platform,omitempty"`
	InitiatingDeviceRef string   `json:"initiating_device_ref,omitempty"`
}

// AuthenticationFailed ends it badly.
type AuthenticationFailed struct {
	TxnID  string `json:"txn_id"`
	Reason Code   `json:"reason"`
}

// AuthenticationAbandoned ends it without a verdict.
type AuthenticationAbandoned struct {
	TxnID string `json:"txn_id"`
}

func (d *decision) startAuthentication(c StartAuthentication) ([]Event, error) {
	if !c.Platform.Valid() {
		return nil, invalid("platform", "name a platform of the rule book such as client_portal")
	}
	if !c.Purpose.transacts() {
		return nil, invalid("purpose", "want login, activation, migration, recovery, step_up, device_sharing or pin_change")
	}
	if d.now.Before(d.u.lockedUntil) {
		until := d.u.lockedUntil
		return []Event{AuthenticationRefused{Purpose: c.Purpose, Platform: c.Platform, Reason: ReasonUserLocked, LockedUntil: &until}}, nil
	}
	if c.PrimaryVerified && d.u.mustUnifyFirst(c) { // a wrong password still counts
		return []Event{AuthenticationRefused{Purpose: c.Purpose, Platform: c.Platform, Reason: ReasonUnifyFirst}}, nil
	}
	d.tidy()
	if d.u.lockOpen {
		d.emit(UserUnlocked{By: "elapsed"})
	}
	t := &Transaction{
		ID: d.newID(PrefixTransaction), Purpose: c.Purpose, Platform: c.Platform, Channel: c.ReleaseChannel,
		ClientVersion: c.ClientVersion, DeviceRef: c.InitiatingDeviceRef, ExpiresAt: d.now.Add(d.seconds(pTxnTTL)),
	}
	d.emit(AuthenticationStarted{
		TxnID: t.ID, Purpose: c.Purpose, Platform: c.Platform, PlatformClass: c.Platform.Class(),
		ClientVersion: c.ClientVersion, ReleaseChannel: c.ReleaseChannel, InitiatingDeviceRef: c.InitiatingDeviceRef,
	})
	if !c.PrimaryVerified {
		failures, lock := d.failure()
		d.emit(PrimaryFactorRejected{TxnID: t.ID, FailureCount: failures})
		if lock != nil {
			d.emit(*lock)
		}
		d.emit(AuthenticationFailed{TxnID: t.ID, Reason: ReasonPrimaryFailed})
		return d.events, nil
	}
	d.emit(PrimaryFactorVerified{TxnID: t.ID, ExpiresAt: t.ExpiresAt})
	switch {
	case !c.Purpose.asks():
		return d.events, nil
	case c.Purpose == PurposeLogin && d.waive(t):
		return d.events, nil
	case c.WaiverOnly:
		d.emit(AuthenticationFailed{TxnID: t.ID, Reason: ReasonSecondRequired})
		return d.events, nil
	}
	d.offer(t, c.Defer)
	return d.events, nil
}

// offer asks the only authenticator, lists several, or says why nobody can
// answer. A client too old to show a list gets the strongest (D-57).
func (d *decision) offer(t *Transaction, deferred bool) {
	switch list := d.answering(t); {
	case len(list) == 0:
		d.offerNothing(t)
	case len(list) == 1 && !deferred:
		d.ask(t, &list[0], "only_one")
	case t.Platform == TWS && olderThan(t.ClientVersion, d.p.Int(pM2FSMinTWS, d.now)):
		d.ask(t, &list[0], "default_unsupported_client")
	default:
		options := make([]Option, len(list))
		for i, a := range list {
			options[i] = Option{AuthenticatorID: a.ID, Kind: a.Kind, Rank: a.Kind.Rank()}
		}
		d.emit(SecondFactorOffered{TxnID: t.ID, Options: options})
	}
}

// olderThan reports whether a build of TWS is below least. Builds were one
// number up to 985 and are two since: 10.19 is 1019. A version that does not
// begin with a number, or none, counts as new.
func olderThan(version string, least int64) bool {
	first, rest, _ := strings.Cut(version, ".")
	n, ok := leadingNumber(first)
	if !ok {
		return false
	}
	if n < 100 {
		minor, _ := leadingNumber(rest)
		n = 100*n + minor
	}
	return n < least
}

func leadingNumber(s string) (int64, bool) {
	end := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(s)
	}
	n, err := strconv.ParseInt(s[:end], 10, 64)
	return n, err == nil
}

// offerNothing ends a login whose only authenticator is a temporary passcode
// out of scope, and sends everybody else to enrolment; whoever has an
// authenticator that is suspended or expired is told so on the record.
func (d *decision) offerNothing(t *Transaction) {
	if len(d.u.Authenticators(d.now)) > 0 {
		d.emit(
			ChallengeRefused{TxnID: t.ID, Mode: ModeStaticCode, Reason: ReasonScopeRecovery},
			AuthenticationFailed{TxnID: t.ID, Reason: ReasonScopeRecovery},
		)
		return
	}
	if len(d.u.authenticators) > 0 {
		d.emit(ChallengeRefused{TxnID: t.ID, Reason: ReasonNotActive})
	}
	d.emit(EnrollmentRequired{TxnID: t.ID})
}

// tidy notes what has expired without an answer. It is housekeeping: no
// decision depends on it (D-4).
func (d *decision) tidy() {
	for _, id := range d.u.challenges.order {
		c := d.u.challenges.items[id]
		if !c.expired && !c.answered() && !d.now.Before(c.ExpiresAt) {
			d.emit(ChallengeExpired{ChallengeID: id})
		}
	}
	for _, id := range d.u.enrollments.order {
		e := d.u.enrollments.items[id]
		if !e.expired && !e.Done && !e.Closed && !d.now.Before(e.StartedAt.Add(d.seconds(pEnrollmentTTL))) {
			d.emit(EnrollmentExpired{EnrollmentID: id})
		}
	}
	for _, id := range d.u.migrations.order {
		if m := d.u.migrations.items[id]; !m.expired && !m.over() && !m.open(d.now) {
			d.emit(MigrationExpired{MigrationID: id})
		}
	}
	for _, id := range d.u.recoveries.order {
		if r := d.u.recoveries.items[id]; !r.expired && !r.over() && !r.open(d.now) {
			d.emit(RecoveryExpired{RecoveryID: id})
		}
	}
}

// TidyUser notes what has expired in a user's processes.
type TidyUser struct{ UserID string }
