package domain

import "time"

// Authentication transactions (domain.md 6.5): from the verdict on the
// password to the verdict on the second factor.

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
	Scope             string `json:"scope"` // full
	AuthenticatorKind Kind   `json:"authenticator_kind,omitempty"`
	ProtectionRank    int    `json:"protection_rank"`
	Factors           int    `json:"factors"`
	SessionRef        string `json:"session_ref"`
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
	if c.Purpose != PurposeLogin && c.Purpose != PurposeActivation {
		return nil, invalid("purpose", "want login or activation")
	}
	if d.now.Before(d.u.lockedUntil) {
		until := d.u.lockedUntil
		return []Event{AuthenticationRefused{Purpose: c.Purpose, Platform: c.Platform, Reason: ReasonUserLocked, LockedUntil: &until}}, nil
	}
	if d.u.lockOpen {
		d.emit(UserUnlocked{By: "elapsed"})
	}
	t := &Transaction{
		ID: d.newID(PrefixTransaction), Purpose: c.Purpose, Platform: c.Platform,
		ExpiresAt: d.now.Add(d.seconds(pTxnTTL)),
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
	if c.Purpose == PurposeActivation {
		return d.events, nil
	}
	if d.waive(t) {
		return d.events, nil
	}
	d.offer(t, c.Defer)
	return d.events, nil
}

// offer asks the only authenticator, lists several, or sends the user to
// enrolment.
func (d *decision) offer(t *Transaction, deferred bool) {
	switch list := d.u.Authenticators(); {
	case len(list) == 0:
		d.emit(EnrollmentRequired{TxnID: t.ID})
	case len(list) == 1 && !deferred:
		d.ask(t, &list[0], "only_one")
	default:
		options := make([]Option, len(list))
		for i, a := range list {
			options[i] = Option{AuthenticatorID: a.ID, Kind: a.Kind, Rank: a.Kind.Rank()}
		}
		d.emit(SecondFactorOffered{TxnID: t.ID, Options: options})
	}
}
