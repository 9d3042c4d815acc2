package replay

import (
	"fmt"
	"strings"

	"github.com/authledger/authledger/domain"
)

func summariseLogin(e domain.Event) string {
	switch e := e.(type) {
	case domain.AuthenticationStarted:
		return fmt.Sprintf("%s: %s on %s started%s%s", thing(e.TxnID), Name(e.Purpose), Name(e.Platform),
			optional(", client version %s", e.ClientVersion), optional(", release channel %s", e.ReleaseChannel))
	case domain.AuthenticationRefused:
		s := fmt.Sprintf("%s on %s refused: %s", Name(e.Purpose), Name(e.Platform), e.Reason)
		if e.LockedUntil != nil {
			s += ", locked until " + moment(*e.LockedUntil)
		}
		return s
	case domain.PrimaryFactorVerified:
		return fmt.Sprintf("%s: password accepted, to be finished before %s", thing(e.TxnID), moment(e.ExpiresAt))
	case domain.PrimaryFactorRejected:
		return fmt.Sprintf("%s: password rejected: %s, failure %d in a row", thing(e.TxnID), domain.ReasonPrimaryFailed, e.FailureCount)
	case domain.SecondFactorWaived:
		return fmt.Sprintf("%s: second factor waived by %s; %s", thing(e.TxnID), thing(e.OptOutID), ruling(e.Decision))
	case domain.SecondFactorOffered:
		return fmt.Sprintf("%s: offered %s", thing(e.TxnID), options(e.Options))
	case domain.EnrollmentRequired:
		return fmt.Sprintf("%s: no authenticator to ask, enrolment required", thing(e.TxnID))
	case domain.SecondFactorSelected:
		how := "chosen by the user"
		switch e.By {
		case "only_one":
			how = "asked, the only one"
		case "default_unsupported_client":
			how = "asked, because the client is too old to offer a choice"
		}
		return fmt.Sprintf("%s: %s %s", thing(e.TxnID), thing(e.AuthenticatorID), how)
	case domain.SelectionRefused:
		return fmt.Sprintf("%s: choice%s refused: %s", thing(e.TxnID), also(" of %s", e.AuthenticatorID), e.Reason)
	case domain.AuthenticationSucceeded:
		return fmt.Sprintf("%s succeeded with %s%s%s, scope %s%s", thing(e.TxnID), plural(int64(e.Factors), "factor"),
			optional(" (%s)", Name(e.AuthenticatorKind)), optional(" on %s", Name(e.Platform)), Name(e.Scope), also(", %s", e.SessionRef))
	case domain.AuthenticationFailed:
		return fmt.Sprintf("%s failed: %s", thing(e.TxnID), e.Reason)
	case domain.AuthenticationAbandoned:
		return fmt.Sprintf("%s abandoned, without a verdict", thing(e.TxnID))
	case domain.AnomalyFlagged:
		return fmt.Sprintf("%s: anomaly flagged: %s", thing(e.TxnID), e.Kind)
	}
	return ""
}

func options(list []domain.Option) string {
	var out []string
	for _, o := range list {
		out = append(out, fmt.Sprintf("%s (%s)", thing(o.AuthenticatorID), Name(o.Kind)))
	}
	return strings.Join(out, ", ")
}

func summariseChallenge(e domain.Event) string {
	switch e := e.(type) {
	case domain.ChallengeIssued:
		return fmt.Sprintf("%s: %s by %s to %s (%s)%s%s, %s, to be answered before %s", thing(e.TxnID), thing(e.ChallengeID), Name(e.Mode),
			thing(e.AuthenticatorID), Name(e.Kind), also(" for %s", subject(e)), asked(e), plural(int64(e.MaxAttempts), "attempt"), moment(e.ExpiresAt))
	case domain.ChallengeRefused:
		return fmt.Sprintf("%s: challenge%s refused: %s", thing(e.TxnID), optional(" by %s", Name(e.Mode)), e.Reason)
	case domain.ChallengeFallbackRequested:
		return fmt.Sprintf("%s: fallback asked for: %s", thing(e.ChallengeID), e.Cause)
	case domain.FallbackRefused:
		return fmt.Sprintf("%s: fallback refused: %s", thing(e.ChallengeID), e.Reason)
	case domain.ChallengeCancelled:
		return fmt.Sprintf("%s cancelled: %s", thing(e.ChallengeID), e.Reason)
	case domain.LoginCodeIssued:
		return fmt.Sprintf("%s: login code %d of %d digits issued by %s, valid before %s", thing(e.ChallengeID), e.Seq, e.CodeLen, Name(e.Via), moment(e.ExpiresAt))
	case domain.ResponseVerified:
		return fmt.Sprintf("%s: right answer by %s from %s%s, attempt %d after %s%s%s", thing(e.ChallengeID), Name(e.Mode),
			thing(e.AuthenticatorID), unlocked(e.UV), e.AttemptNo, milliseconds(e.ElapsedMS),
			numberMatched(e.NumberMatched), optional(", on %s", e.AnsweringInstallationID)+optional(", with %s", e.DeviceID))
	case domain.ResponseRejected:
		what, counted := "answer rejected", "not counted"
		if e.Reason == domain.ReasonDeclined {
			what = "the user declined in the app"
		}
		if e.Counted {
			counted = fmt.Sprintf("failure %d in a row", e.FailureCount)
		}
		return fmt.Sprintf("%s: %s: %s, attempt %d, %d left, %s", thing(e.ChallengeID), what, e.Reason, e.AttemptNo, e.AttemptsLeft, counted)
	case domain.ChallengeExpired:
		return fmt.Sprintf("%s was not answered in time", thing(e.ChallengeID))
	case domain.ChallengeExhausted:
		return fmt.Sprintf("%s has no attempts left", thing(e.ChallengeID))
	case domain.PushSent:
		return fmt.Sprintf("%s: %s accepted by the push service for %s", thing(e.ChallengeID), thing(e.PushID), e.InstallationID)
	case domain.PushFailed:
		return fmt.Sprintf("%s: %s not delivered: %s", thing(e.ChallengeID), thing(e.PushID), e.Failure)
	case domain.PushOpened:
		return fmt.Sprintf("%s opened in the app at %s%s", thing(e.ChallengeID), moment(e.OpenedAt), also(" (%s)", e.PushID))
	}
	return ""
}

// subject is the process a challenge proves something to, if it is not the
// authenticator itself.
func subject(e domain.ChallengeIssued) string {
	if e.SubjectID == e.AuthenticatorID {
		return ""
	}
	return e.SubjectID
}

// asked is what a challenge asks for beside the answer's form.
func asked(e domain.ChallengeIssued) string {
	s := optional(" with %s", e.DeviceID)
	if len(e.GridIndices) == 2 {
		s += fmt.Sprintf(", cells %d and %d", e.GridIndices[0], e.GridIndices[1])
	}
	if e.NumberMatching {
		s += ", number to match"
	}
	return s
}

func unlocked(uv domain.UV) string {
	if uv == domain.UVNone {
		return ""
	}
	return optional(", unlocked with %s", Name(uv))
}

func numberMatched(yes bool) string {
	if yes {
		return ", number matched"
	}
	return ""
}
