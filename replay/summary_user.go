package replay

import (
	"fmt"
	"strings"

	"github.com/authledger/authledger/domain"
)

func summariseOptOut(e domain.Event) string {
	switch e := e.(type) {
	case domain.OptOutRequested:
		return fmt.Sprintf("%s requested by %s, agreement %s", thing(e.OptOutID), e.RequestedBy, agreement(e))
	case domain.OptOutGranted:
		until := ""
		if e.EndsAt != nil {
			until = " until " + moment(*e.EndsAt)
		}
		return fmt.Sprintf("%s granted for %s%s; %s", thing(e.OptOutID), Name(e.Scope), until, ruling(e.Decision))
	case domain.OptOutDenied:
		return fmt.Sprintf("%s denied: %s; %s", thing(e.OptOutID), e.Reason, ruling(e.Decision))
	case domain.OptOutRevoked:
		return fmt.Sprintf("%s revoked: %s, due since %s, exposed for %s; %s", thing(e.OptOutID), e.Cause, moment(e.EffectiveAt), seconds(e.ExposedS), ruling(e.Decision))
	case domain.OptedBackIn:
		return fmt.Sprintf("%s ended by %s, the second factor is required again", thing(e.OptOutID), e.By)
	case domain.OptBackInRefused:
		return fmt.Sprintf("opting back in refused: %s", e.Reason)
	}
	return ""
}

func agreement(e domain.OptOutRequested) string {
	switch {
	case e.AgreementVersion == "":
		return "missing"
	case !e.Acknowledged:
		return e.AgreementVersion + " not acknowledged"
	}
	return e.AgreementVersion + " acknowledged"
}

// ruling says which rule decided, of which policy, on which facts.
func ruling(d domain.Decision) string {
	rule := "no rule"
	if d.DecisiveRuleID != "" {
		rule = "rule " + ruleVersion(d.DecisiveRuleID, d.RuleVersion)
	}
	s := fmt.Sprintf("%s by %s of policy %d", Name(d.Outcome), rule, d.PolicyVersion)
	if facts := facts(d.Facts); facts != "" {
		s += " on " + facts
	}
	return s
}

func facts(f domain.DecisionFacts) string {
	var out []string
	for _, fact := range [...]struct{ name, value string }{
		{"residence", f.Residence}, {"client", Name(f.ClientKind)}, {"carried in", f.CarryingCC}, {"domicile", f.Domicile},
		{"holders in", strings.Join(f.HolderResidences, "+")}, {"access to", strings.Join(f.AccessibleCarryingCCs, "+")},
	} {
		if fact.value != "" {
			out = append(out, fact.name+" "+fact.value)
		}
	}
	return strings.Join(out, ", ")
}

func summariseUser(e domain.Event) string {
	switch e := e.(type) {
	case domain.UserRegistered:
		return fmt.Sprintf("user registered as %s of %s, user name %s, locale %s", Name(e.Role), e.ClientID, sealed, e.Locale)
	case domain.ResidenceChanged:
		return fmt.Sprintf("residence%s %s%s from %s on%s", optional(" of %s", e.PersonRef), e.To, optional(" instead of %s", e.From), e.EffectiveOn,
			optional(", evidence %s", e.EvidenceRef))
	case domain.AccountAccessGranted:
		return fmt.Sprintf("access to the accounts of %s granted from %s on", e.ClientID, e.EffectiveOn)
	case domain.AccountAccessRevoked:
		return fmt.Sprintf("access to the accounts of %s ended from %s on", e.ClientID, e.EffectiveOn)
	case domain.UserClosed:
		return fmt.Sprintf("user closed: %s", e.Reason)
	case domain.SeamlessEnabled:
		return "push approval switched on"
	case domain.SeamlessDisabled:
		return "push approval switched off"
	case domain.IdentityVerifiedByAgent:
		return fmt.Sprintf("%s: identity verified by %s with %s, valid before %s", thing(e.IDVID), e.AgentRef, Name(e.Method), moment(e.ExpiresAt))
	case domain.IdentityVerificationFailed:
		return fmt.Sprintf("identity not verified by %s with %s", e.AgentRef, Name(e.Method))
	case domain.UserLocked:
		return fmt.Sprintf("user locked until %s after %s since %s", moment(e.LockedUntil), plural(int64(e.Failures), "failed attempt"), moment(e.FirstFailureAt))
	case domain.UserUnlocked:
		if e.By == "elapsed" {
			return "user unlocked, the lock had run out"
		}
		return fmt.Sprintf("user unlocked by an %s%s", Name(e.By), also(" after %s", e.IDVID))
	case domain.UnlockRefused:
		return fmt.Sprintf("unlocking refused: %s", e.Reason)
	case domain.SecurityNotificationSent:
		return fmt.Sprintf("%s about %q sent by %s in %s%s", thing(e.NotificationID), Name(e.Topic), Name(e.Channel), e.Locale, optional(", required by rule %s", e.RuleID))
	case domain.SecurityNotificationFailed:
		return fmt.Sprintf("%s about %q could not be handed over by %s", thing(e.NotificationID), Name(e.Topic), Name(e.Channel))
	}
	return ""
}

// summariseRest covers streams of clients, installations and auditors.
func summariseRest(e domain.Event) string {
	switch e := e.(type) {
	case domain.ClientRegistered:
		return fmt.Sprintf("client registered: %s, carried by %s in %s%s", Name(e.Kind), e.CarryingEntity, e.CarryingCC, optional(", domicile %s", e.Domicile))
	case domain.CarryingEntityAssigned:
		return fmt.Sprintf("accounts carried by %s in %s from %s on", e.CarryingEntity, e.CarryingCC, e.EffectiveOn)
	case domain.HolderAdded:
		return fmt.Sprintf("holder %s, resident in %s, added from %s on", e.PersonRef, e.Residence, e.EffectiveOn)
	case domain.HolderRemoved:
		return fmt.Sprintf("holder %s removed from %s on", e.PersonRef, e.EffectiveOn)
	case domain.DomicileChanged:
		return fmt.Sprintf("domicile %s%s from %s on%s", e.To, optional(" instead of %s", e.From), e.EffectiveOn, optional(", evidence %s", e.EvidenceRef))
	case domain.InstallationRegistered:
		return fmt.Sprintf("installation %s registered: %s %s on %s, %s key", e.InstallationID, Name(e.App), e.AppVersion, Name(e.OS), e.KeyAlgorithm)
	case domain.AppPINSet:
		return fmt.Sprintf("app PIN set under PIN policy %d", e.PINPolicyVersion)
	case domain.AppPINChanged:
		return fmt.Sprintf("app PIN changed under PIN policy %d", e.PINPolicyVersion)
	case domain.AppPINRefused:
		return fmt.Sprintf("app PIN refused under PIN policy %d: %s", e.PINPolicyVersion, e.Reason)
	case domain.AppPINBlocked:
		return fmt.Sprintf("app PIN blocked after %s in a row", pluralOf(int64(e.WrongEntries), "wrong entry", "wrong entries"))
	case domain.AppPINUnblocked:
		return fmt.Sprintf("app PIN unblocked by %s", thing(e.RecoveryID))
	case domain.InstallationRetired:
		return fmt.Sprintf("installation retired: %s%s", e.Reason, optional(", followed by %s", e.SuccessorID))
	case domain.PushTokenRegistered:
		return fmt.Sprintf("installation %s can be reached by push through %s", e.InstallationID, Name(e.Service))
	case domain.CodeEpochDestroyed:
		return fmt.Sprintf("code epoch %s destroyed: its codes can never be computed again", e.Kid)
	case domain.KeyRotated:
		return keyRotated(e)
	case domain.AuditQueryPerformed:
		return fmt.Sprintf("read by %s with %s: %s%s", e.AuditorRef, e.Operation, plural(int64(e.Rows), "row"), optional(", purpose %s", e.Purpose))
	}
	return ""
}
