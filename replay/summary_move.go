package replay

import (
	"fmt"

	"github.com/authledger/authledger/domain"
)

// summariseMove covers IB Key on its way from one app to another.
func summariseMove(e domain.Event) string {
	switch e := e.(type) {
	case domain.MigrationStarted:
		return fmt.Sprintf("%s of %s from %s (%s) to %s (%s) started, to be proved by %s%s before %s", thing(e.MigrationID), thing(e.FromAuthenticatorID),
			e.FromInstallationID, Name(e.FromOS), e.ToInstallationID, Name(e.ToOS), proof(e.Proof), also(" to %s", e.ActivationPhoneID), moment(e.ExpiresAt))
	case domain.MigrationRefused:
		return fmt.Sprintf("%s to %s refused: %s", process("migration", e.MigrationID), e.ToInstallationID, e.Reason)
	case domain.MigrationProofAccepted:
		return fmt.Sprintf("%s proved by %s, to be completed before %s", thing(e.MigrationID), proof(e.Proof), moment(e.CompleteBy))
	case domain.MigrationCompleted:
		return fmt.Sprintf("%s completed: %s (%s) followed by %s (%s)%s%s", thing(e.MigrationID), thing(e.FromAuthenticatorID), Name(e.FromOS),
			thing(e.ToAuthenticatorID), Name(e.ToOS), unlocked(e.UV), pinPolicy(e.PINPolicyVersion))
	case domain.MigrationCancelled:
		return fmt.Sprintf("%s given up: %s", thing(e.MigrationID), e.Reason)
	case domain.MigrationExpired:
		return fmt.Sprintf("%s was not finished in time", thing(e.MigrationID))
	case domain.RecoveryStarted:
		handset := "another handset"
		if e.HandsetMatch {
			handset = "the same handset"
		}
		return fmt.Sprintf("%s of %s on %s (%s) started: %s, on %s, to be proved by %s%s, to be completed before %s", thing(e.RecoveryID),
			thing(e.AuthenticatorID), e.NewInstallationID, Name(e.OS), e.Cause, handset, proof(e.Proof), also(" to %s", e.ActivationPhoneID), moment(e.ExpiresAt))
	case domain.RecoveryRefused:
		return fmt.Sprintf("%s on %s refused: %s", process("recovery", e.RecoveryID), e.NewInstallationID, e.Reason)
	case domain.RecoveryProofAccepted:
		return fmt.Sprintf("%s proved by %s", thing(e.RecoveryID), proof(e.Proof))
	case domain.RecoveryCompleted:
		return fmt.Sprintf("%s completed: %s on %s, formerly %s%s%s", thing(e.RecoveryID), thing(e.NewAuthenticatorID), e.InstallationID,
			e.FormerInstallation, unlocked(e.UV), pinPolicy(e.PINPolicyVersion))
	case domain.RecoveryCancelled:
		return fmt.Sprintf("%s given up: %s", thing(e.RecoveryID), e.Reason)
	case domain.RecoveryExpired:
		return fmt.Sprintf("%s was not finished in time", thing(e.RecoveryID))
	}
	return summariseUnification(e)
}

func summariseUnification(e domain.Event) string {
	switch e := e.(type) {
	case domain.UnificationOffered:
		return fmt.Sprintf("%s offered for %s from %s to %s, case %s, action %s", thing(e.UnificationID), thing(e.AuthenticatorID),
			e.StandaloneInstallationID, e.InstallationID, Name(e.Case), Name(e.Action))
	case domain.UnificationDeferred:
		return fmt.Sprintf("%s put off", thing(e.UnificationID))
	case domain.UnificationCompleted:
		return fmt.Sprintf("%s completed: %s moved from %s to %s", thing(e.UnificationID), thing(e.AuthenticatorID), e.StandaloneInstallationID, e.NewInstallationID)
	case domain.UnificationRefused:
		return fmt.Sprintf("%s%s%s refused: %s", process("unification", e.UnificationID), optional(" on %s", e.InstallationID),
			optional(", case %s,", Name(e.Case)), e.Reason)
	}
	return ""
}

// process may be refused before it has an id.
func process(noun, id string) string {
	if id == "" {
		return noun
	}
	return thing(id)
}

func pinPolicy(version int) string {
	if version == 0 {
		return ""
	}
	return fmt.Sprintf(" (PIN policy %d)", version)
}
