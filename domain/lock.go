package domain

import "time"

// Lockout (domain.md D-18 to D-21, K-23) and the agent's way out of it.

// VerifyIdentityByPhone records that an agent verified the caller's identity.
type VerifyIdentityByPhone struct {
	UserID   string
	AgentRef string
	Method   string
}

// UnlockUser ends a lock early; it needs a live identity verification (I-5).
type UnlockUser struct{ UserID string }

// IdentityVerifiedByAgent opens a window in which the agent may act.
type IdentityVerifiedByAgent struct {
	IDVID     string    `json:"idv_id"`
	AgentRef  string    `json:"agent_ref"`
	Method    string    `json:"method"`
	ExpiresAt time.Time `json:"expires_at"`
}

// RecordIdentityVerificationFailed records that an agent could not verify the
// caller's identity.
type RecordIdentityVerificationFailed struct {
	UserID   string
	AgentRef string
	Method   string
}

// IdentityVerificationFailed ends a verification in force: whoever calls now
// may be somebody else than before.
type IdentityVerificationFailed struct {
	AgentRef string `json:"agent_ref"`
	Method   string `json:"method"`
}

// UserLocked locks the user.
type UserLocked struct {
	Failures            int       `json:"failures"`
	FirstFailureAt      time.Time `json:"first_failure_at"`
	LastCountedFailedAt time.Time `json:"last_counted_failure_at"`
	LockedUntil         time.Time `json:"locked_until"`
}

// UserUnlocked ends a lock. By elapsed it is housekeeping (D-4).
type UserUnlocked struct {
	By    string `json:"by"` // elapsed, agent
	IDVID string `json:"idv_id,omitempty"`
}

// UnlockRefused records an unlock that was not allowed.
type UnlockRefused struct {
	Reason Code `json:"reason"`
}

// failuresAt are the consecutive counted failures that still count: within the
// window, and after the last lock.
func (u *User) failuresAt(now time.Time) []time.Time {
	if u.lockOpen && !now.Before(u.lockedUntil) {
		return nil
	}
	return u.failures
}

// counted lists the failures within the window (D-18).
func (d *decision) counted() []time.Time {
	window := d.seconds(pLockWindow)
	var out []time.Time
	for _, at := range d.u.failuresAt(d.now) {
		if d.now.Sub(at) < window {
			out = append(out, at)
		}
	}
	return out
}

// failure counts one more failure now: the new count, and the lock it causes.
func (d *decision) failure() (int, *UserLocked) {
	counted := append(d.counted(), d.now)
	if len(counted) < int(d.p.Int(pLockThreshold, d.now)) {
		return len(counted), nil
	}
	return len(counted), &UserLocked{
		Failures: len(counted), FirstFailureAt: counted[0], LastCountedFailedAt: d.now,
		LockedUntil: d.now.Add(d.seconds(pLockDuration)),
	}
}

func (d *decision) verifyIdentity(c VerifyIdentityByPhone) ([]Event, error) {
	return []Event{IdentityVerifiedByAgent{
		IDVID: d.newID(PrefixIDV), AgentRef: c.AgentRef, Method: c.Method, ExpiresAt: d.now.Add(d.seconds(pIDVTTL)),
	}}, nil
}

func (d *decision) unlock() ([]Event, error) {
	switch {
	case !d.now.Before(d.u.lockedUntil):
		return []Event{UnlockRefused{Reason: ReasonNotLocked}}, nil
	case d.u.idvID == "" || !d.now.Before(d.u.idvUntil):
		return []Event{UnlockRefused{Reason: ReasonIDVRequired}}, nil
	}
	return []Event{UserUnlocked{By: "agent", IDVID: d.u.idvID}}, nil
}
