package replay

import (
	"fmt"
	"strings"

	"github.com/authledger/authledger/domain"
)

func summariseLogin(e domain.Event) string {
	switch e := e.(type) {
	case domain.AuthenticationStarted:
		return fmt.Sprintf("%s: %s on %s started%s%s", thing(e.TxnID), e.Purpose, e.Platform,
			optional(", client %s", e.ClientVersion), optional(", channel %s", e.ReleaseChannel))
	case domain.AuthenticationRefused:
		s := fmt.Sprintf("%s on %s refused: %s", e.Purpose, e.Platform, e.Reason)
		if e.LockedUntil != nil {
			s += ", locked until " + moment(*e.LockedUntil)
		}
		return s
	case domain.PrimaryFactorVerified:
		return fmt.Sprintf("%s: password right, to be finished before %s", thing(e.TxnID), moment(e.ExpiresAt))
	case domain.PrimaryFactorRejected:
		return fmt.Sprintf("%s: password wrong, consecutive failure %d", thing(e.TxnID), e.FailureCount)
	case domain.SecondFactorWaived:
		return fmt.Sprintf("%s: second factor waived by %s; %s", thing(e.TxnID), thing(e.OptOutID), ruling(e.Decision))
	case domain.SecondFactorOffered:
		return fmt.Sprintf("%s: offered %s", thing(e.TxnID), options(e.Options))
	case domain.EnrollmentRequired:
		return fmt.Sprintf("%s: no authenticator to ask, enrolment required", thing(e.TxnID))
	case domain.SecondFactorSelected:
		return fmt.Sprintf("%s: %s is asked (%s)", thing(e.TxnID), thing(e.AuthenticatorID), e.By)
	case domain.SelectionRefused:
		return fmt.Sprintf("%s: choice%s refused: %s", thing(e.TxnID), also(" of %s", e.AuthenticatorID), e.Reason)
	case domain.AuthenticationSucceeded:
		return fmt.Sprintf("%s succeeded with %s%s, scope %s%s", thing(e.TxnID), plural(int64(e.Factors), "factor"),
			optional(" (%s)", e.AuthenticatorKind), e.Scope, also(", %s", e.SessionRef))
	case domain.AuthenticationFailed:
		return fmt.Sprintf("%s failed: %s", thing(e.TxnID), e.Reason)
	case domain.AuthenticationAbandoned:
		return fmt.Sprintf("%s was left without a verdict", thing(e.TxnID))
	case domain.AnomalyFlagged:
		return fmt.Sprintf("%s: anomaly flagged: %s", thing(e.TxnID), e.Kind)
	}
	return ""
}

func options(list []domain.Option) string {
	var out []string
	for _, o := range list {
		out = append(out, fmt.Sprintf("%s (%s)", thing(o.AuthenticatorID), o.Kind))
	}
	return strings.Join(out, ", ")
}

func summariseChallenge(e domain.Event) string {
	switch e := e.(type) {
	case domain.ChallengeIssued:
		match := ""
		if e.NumberMatching {
			match = ", number to match"
		}
		return fmt.Sprintf("%s: %s by %s to %s (%s)%s, %s, before %s", thing(e.TxnID), thing(e.ChallengeID), e.Mode,
			thing(e.AuthenticatorID), e.Kind, match, plural(int64(e.MaxAttempts), "attempt"), moment(e.ExpiresAt))
	case domain.ChallengeRefused:
		return fmt.Sprintf("%s: challenge%s refused: %s", thing(e.TxnID), optional(" by %s", e.Mode), e.Reason)
	case domain.ChallengeFallbackRequested:
		return fmt.Sprintf("%s: fallback asked for: %s", thing(e.ChallengeID), e.Cause)
	case domain.FallbackRefused:
		return fmt.Sprintf("%s: fallback refused: %s", thing(e.ChallengeID), e.Reason)
	case domain.ChallengeCancelled:
		return fmt.Sprintf("%s cancelled: %s", thing(e.ChallengeID), e.Reason)
	case domain.LoginCodeIssued:
		return fmt.Sprintf("%s: login code %d of %d digits issued by %s, valid before %s", thing(e.ChallengeID), e.Seq, e.CodeLen, e.Via, moment(e.ExpiresAt))
	case domain.ResponseVerified:
		return fmt.Sprintf("%s: right answer by %s from %s%s, attempt %d after %d ms%s%s", thing(e.ChallengeID), e.Mode,
			thing(e.AuthenticatorID), optional(", unlocked with %s", e.UV), e.AttemptNo, e.ElapsedMS,
			numberMatched(e.NumberMatched), optional(", on %s", e.AnsweringInstallationID))
	case domain.ResponseRejected:
		counted := "not counted"
		if e.Counted {
			counted = fmt.Sprintf("consecutive failure %d", e.FailureCount)
		}
		return fmt.Sprintf("%s: answer refused: %s, attempt %d, %d left, %s", thing(e.ChallengeID), e.Reason, e.AttemptNo, e.AttemptsLeft, counted)
	case domain.ChallengeExhausted:
		return fmt.Sprintf("%s has no attempts left", thing(e.ChallengeID))
	case domain.PushSent:
		return fmt.Sprintf("%s: %s accepted by the push service for %s", thing(e.ChallengeID), thing(e.PushID), e.InstallationID)
	case domain.PushFailed:
		return fmt.Sprintf("%s: %s not delivered: %s", thing(e.ChallengeID), thing(e.PushID), e.Failure)
	case domain.PushOpened:
		return fmt.Sprintf("%s shown by the app at %s%s", thing(e.ChallengeID), moment(e.OpenedAt), also(" (%s)", e.PushID))
	}
	return ""
}

func numberMatched(yes bool) string {
	if yes {
		return ", number matched"
	}
	return ""
}
