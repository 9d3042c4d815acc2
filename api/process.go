package api

import (
	"time"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
)

// Challenges that prove something to a process instead of opening a session.

// processOf says where the process a challenge belongs to is; it is zero for a
// login or step-up.
func processOf(u *domain.User, c domain.Challenge, t domain.Transaction, now time.Time) gen.ProcessStep {
	ref, _ := domain.ParseRef(c.SubjectID)
	step := gen.ProcessStep{Id: c.SubjectID, Step: gen.ProcessStepStepClosed}
	switch ref.Prefix {
	case domain.PrefixEnrollment:
		step.Kind = gen.ProcessStepKindEnrollment
		if e, ok := u.Enrollment(c.SubjectID); ok {
			step.Step = open(e.Done, !e.Closed, false)
		}
	case domain.PrefixMigration:
		step.Kind = gen.ProcessStepKindMigration
		if m, ok := u.Migration(c.SubjectID); ok {
			step.Step = open(m.Done, m.Open(now), m.Proved)
		}
	case domain.PrefixRecovery:
		step.Kind = gen.ProcessStepKindRecovery
		if r, ok := u.Recovery(c.SubjectID); ok {
			step.Step = open(r.Done, r.Open(now), r.Proved)
		}
	case domain.PrefixSharing:
		step.Kind = gen.ProcessStepKindDeviceSharing
		if s, ok := u.Sharing(c.SubjectID); ok {
			step.Step = sharingStep(s.Status)
		}
	case domain.PrefixAuthenticator:
		step.Kind, step.Step = authenticatorStep(u, c, t)
	default:
		return ownProof(c, t)
	}
	if step.Step == gen.ProcessStepStepDone && (ref.Prefix != domain.PrefixMigration && ref.Prefix != domain.PrefixRecovery) {
		step.AuthenticatorId = c.AuthenticatorID
	}
	return step
}

func open(done, open, proved bool) gen.ProcessStepStep {
	switch {
	case done:
		return gen.ProcessStepStepDone
	case !open:
		return gen.ProcessStepStepClosed
	case proved:
		return gen.ProcessStepStepProved
	}
	return gen.ProcessStepStepAwaitingProof
}

func sharingStep(status string) gen.ProcessStepStep {
	switch status {
	case "requested":
		return gen.ProcessStepStepAwaitingProof
	case "pending":
		return gen.ProcessStepStepAwaitingReview
	case "granted":
		return gen.ProcessStepStepDone
	case "denied":
		return gen.ProcessStepStepDenied
	}
	return gen.ProcessStepStepClosed
}

// authenticatorStep tells what an authenticator was asked to prove itself for:
// a new PIN, the activation of a card, or the end of its suspension.
func authenticatorStep(u *domain.User, c domain.Challenge, t domain.Transaction) (gen.ProcessStepKind, gen.ProcessStepStep) {
	_, waits := u.CodeCard(c.SubjectID)
	a, bound := u.Authenticator(c.SubjectID)
	kind := gen.ProcessStepKindReactivation
	switch {
	case t.Purpose == domain.PurposePINChange:
		kind = gen.ProcessStepKindPinChange
	case waits, bound && a.Kind.Grid() && !a.EnrolledAt.Before(c.IssuedAt):
		kind = gen.ProcessStepKindCodeCard
	default:
		bound = a.Suspended != "" // one that answers again has nothing to prove
	}
	switch {
	case c.Verified:
		return kind, gen.ProcessStepStepDone
	case waits, bound:
		return kind, gen.ProcessStepStepAwaitingProof
	}
	return kind, gen.ProcessStepStepClosed
}

// ownProof is the step of an authenticator that proves itself in a transaction
// that was begun for a process.
func ownProof(c domain.Challenge, t domain.Transaction) gen.ProcessStep {
	switch t.Purpose {
	case "", domain.PurposeLogin, domain.PurposeStepUp:
		return gen.ProcessStep{}
	}
	step := gen.ProcessStep{Id: t.ID, Kind: gen.ProcessStepKindAuthentication, Step: open(false, !t.Closed, t.Proved != "")}
	if c.Verified {
		step.AuthenticatorId = c.AuthenticatorID
	}
	return step
}
