package web

import (
	"fmt"
	"strings"

	"github.com/authledger/authledger/domain"
)

// Tone is how a line of the timeline is marked, with a word and a sign, never
// by colour alone.
type Tone string

// Tones.
const (
	Plain   Tone = "plain"   // a step
	Good    Tone = "good"    // something worked
	Refused Tone = "refused" // the ledger said no and gave a reason
	Bad     Tone = "bad"     // something failed, or deserves a look
)

// Line is an event in words.
type Line struct {
	Tone   Tone
	Text   string
	Reason string // code, when the event has one
}

func plain(format string, a ...any) Line { return Line{Tone: Plain, Text: fmt.Sprintf(format, a...)} }
func good(format string, a ...any) Line  { return Line{Tone: Good, Text: fmt.Sprintf(format, a...)} }
func bad(format string, a ...any) Line   { return Line{Tone: Bad, Text: fmt.Sprintf(format, a...)} }

func refused[T ~string](reason T, format string, a ...any) Line {
	return Line{Tone: Refused, Text: fmt.Sprintf(format, a...), Reason: string(reason)}
}

func (l Line) because(reason string) Line { l.Reason = reason; return l }

// Sentence says what an event means. An event nobody wrote a sentence for is
// shown by its type.
func Sentence(typeName string, e domain.Event) Line {
	for _, part := range [...]func(domain.Event) (Line, bool){loginLine, challengeLine, phoneLine, enrollmentLine, personLine, optOutLine} {
		if line, ok := part(e); ok {
			return line
		}
	}
	return plain("%s", typeName)
}

func personLine(e domain.Event) (Line, bool) {
	switch e := e.(type) {
	case domain.UserRegistered:
		return plain("User registered as %s of client %s.", words(e.Role), e.ClientID), true
	case domain.UserClosed:
		return plain("User closed.").because(e.Reason), true
	case domain.ResidenceChanged:
		if e.From == "" {
			return plain("Residence recorded: %s, from %s.", e.To, e.EffectiveOn), true
		}
		return plain("Residence changed from %s to %s, from %s.", e.From, e.To, e.EffectiveOn), true
	case domain.AccountAccessGranted:
		return plain("Access to the accounts of client %s granted, from %s.", e.ClientID, e.EffectiveOn), true
	case domain.AccountAccessRevoked:
		return plain("Access to the accounts of client %s ended, from %s.", e.ClientID, e.EffectiveOn), true
	case domain.ClientRegistered:
		return plain("Client registered as %s, carried by %s in %s.", words(e.Kind), e.CarryingEntity, e.CarryingCC), true
	case domain.CarryingEntityAssigned:
		return plain("Accounts carried by %s in %s, from %s.", e.CarryingEntity, e.CarryingCC, e.EffectiveOn), true
	case domain.HolderAdded:
		return plain("Holder added, resident in %s, from %s.", e.Residence, e.EffectiveOn), true
	case domain.HolderRemoved:
		return plain("Holder removed, from %s.", e.EffectiveOn), true
	case domain.IdentityVerifiedByAgent:
		return good("An agent verified the caller's identity (%s).", words(e.Method)), true
	case domain.UserLocked:
		return bad("User locked until %s after %s.", clock(e.LockedUntil), counted(e.Failures, "failed attempt")), true
	case domain.UserUnlocked:
		if e.By == "elapsed" {
			return plain("The lock had run out."), true
		}
		return good("User unlocked by an agent."), true
	case domain.UnlockRefused:
		return refused(e.Reason, "Unlocking refused."), true
	case domain.SecurityNotificationSent:
		return plain("Security notice about %q sent by %s.", words(e.Topic), words(e.Channel)), true
	case domain.SecurityNotificationFailed:
		return bad("Security notice about %q could not be handed over by %s.", words(e.Topic), words(e.Channel)), true
	case domain.AuditQueryPerformed:
		return plain("%s read the record (%s, %s).", e.AuditorRef, e.Operation, counted(e.Rows, "row")), true
	}
	return Line{}, false
}

func optOutLine(e domain.Event) (Line, bool) {
	switch e := e.(type) {
	case domain.OptOutRequested:
		return plain("Opt-out from the second factor requested."), true
	case domain.OptOutGranted:
		if e.EndsAt != nil {
			return good("Opt-out granted on trading platforms until %s, by rule %s.", clock(*e.EndsAt), e.Decision.DecisiveRuleID), true
		}
		return good("Opt-out granted on trading platforms, by rule %s.", e.Decision.DecisiveRuleID), true
	case domain.OptOutDenied:
		if e.Decision.DecisiveRuleID == "" || e.Reason != domain.ReasonRegimeMandatory {
			return refused(e.Reason, "Opt-out denied."), true
		}
		return refused(e.Reason, "Opt-out denied: rule %s makes the second factor mandatory.", e.Decision.DecisiveRuleID), true
	case domain.OptOutRevoked:
		return bad("Opt-out ended by rule %s; exposed for %s.", e.Decision.DecisiveRuleID, seconds(e.ExposedS)).because(e.Cause), true
	case domain.OptedBackIn:
		return good("Opted back in: the second factor is required again."), true
	case domain.OptBackInRefused:
		return refused(e.Reason, "Opting back in refused."), true
	}
	return Line{}, false
}

func enrollmentLine(e domain.Event) (Line, bool) {
	switch e := e.(type) {
	case domain.InstallationRegistered:
		return plain("App %s registered on %s.", e.AppVersion, osName(e.OS)), true
	case domain.AppPINSet:
		return plain("App PIN set under policy version %d.", e.PINPolicyVersion), true
	case domain.AppPINChanged:
		return plain("App PIN changed under policy version %d.", e.PINPolicyVersion), true
	case domain.PushTokenRegistered:
		return plain("The app can be reached by push (%s).", e.Service), true
	case domain.EnrollmentStarted:
		return plain("Activation of %s started on %s.", kindName(e.Kind), osName(e.OS)), true
	case domain.ActivationCodeIssued:
		return plain("Activation code %d issued, valid until %s.", e.Seq, clock(e.ExpiresAt)), true
	case domain.EnrollmentRefused:
		return refused(e.Reason, "Activation of %s refused.", kindName(e.Kind)), true
	case domain.ActivationCodeAccepted:
		return good("Activation code accepted."), true
	case domain.ActivationCodeRejected:
		return refused(e.Reason, "Activation code rejected, %s left.", counted(e.AttemptsLeft, "attempt")), true
	case domain.UserVerificationPerformed:
		return good("The app verified its owner by %s.", words(e.UV)), true
	case domain.AuthenticatorEnrolled:
		if e.Trigger == "auto_sms" {
			return good("%s enrolled automatically for a verified phone.", kindName(e.Kind)), true
		}
		return good("%s activated on %s.", kindName(e.Kind), osName(e.OS)), true
	case domain.AuthenticatorRevoked:
		return plain("Authenticator %s revoked.", short(e.AuthenticatorID)).because(e.Reason), true
	case domain.RevocationRefused:
		return refused(e.Reason, "Revoking authenticator %s refused.", short(e.AuthenticatorID)), true
	case domain.SMSAutoEnrollmentSkipped:
		return plain("Not enrolled in SMS for the verified phone.").because(e.Reason), true
	case domain.EnrollmentAbandoned:
		return plain("Activation abandoned."), true
	case domain.SeamlessEnabled:
		return plain("Push approval switched on."), true
	case domain.SeamlessDisabled:
		return plain("Push approval switched off."), true
	}
	return Line{}, false
}

// words turns a code of a closed vocabulary into reading text.
func words[T ~string](code T) string { return strings.ReplaceAll(string(code), "_", " ") }

// short is the last part of an id of something in a user's stream.
func short(id string) string {
	if i := strings.LastIndexByte(id, '_'); i > 0 {
		return "#" + id[i+1:]
	}
	return id
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func kindName(k domain.Kind) string {
	switch k {
	case domain.KindIBKey:
		return "IB Key"
	case domain.KindSMS:
		return "SMS"
	}
	return words(k)
}

func osName(os domain.OS) string {
	switch os {
	case domain.IOS:
		return "iOS"
	case domain.Android:
		return "Android"
	}
	return words(os)
}

func platformName(p domain.Platform) string {
	switch p {
	case domain.TWS:
		return "TWS"
	case domain.ClientPortal:
		return "Client Portal"
	case domain.WebTrader:
		return "WebTrader"
	case domain.IBKRMobileIOS:
		return "IBKR Mobile (iOS)"
	case domain.IBKRMobileAndroid:
		return "IBKR Mobile (Android)"
	}
	return words(p)
}

func modeName(m domain.Mode) string {
	switch m {
	case domain.ModePush:
		return "push"
	case domain.ModeChallengeResponse:
		return "challenge and response"
	case domain.ModeSMSCode:
		return "SMS code"
	}
	return words(m)
}
