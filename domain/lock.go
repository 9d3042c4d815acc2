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
