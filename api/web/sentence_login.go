package web

import (
	"fmt"
	"time"

	"github.com/authledger/authledger/domain"
)

func loginLine(e domain.Event) (Line, bool) {
	switch e := e.(type) {
	case domain.AuthenticationStarted:
		if e.Purpose == domain.PurposeLogin {
			return plain("Login begun on %s.", platformName(e.Platform)), true
		}
		return plain("Login for %s begun on %s.", words(e.Purpose), platformName(e.Platform)), true
	case domain.AuthenticationRefused:
		return refused(e.Reason, "Login on %s refused.", platformName(e.Platform)), true
	case domain.PrimaryFactorVerified:
		return good("Password accepted."), true
	case domain.PrimaryFactorRejected:
		return refused(domain.ReasonPrimaryFailed, "Password rejected, failure %d in a row.", e.FailureCount), true
	case domain.SecondFactorWaived:
		return plain("Second factor waived because of an opt-out, under %s.", counted(len(e.RuleIDs), "rule")), true
	case domain.SecondFactorOffered:
		return plain("Choice of %s offered.", counted(len(e.Options), "authenticator")), true
	case domain.EnrollmentRequired:
		return plain("No authenticator to ask: the user must enrol one first."), true
	case domain.SecondFactorSelected:
		if e.By == "only_one" {
			return plain("The only authenticator %s is asked.", short(e.AuthenticatorID)), true
		}
		return plain("Authenticator %s chosen by the user.", short(e.AuthenticatorID)), true
	case domain.SelectionRefused:
		return refused(e.Reason, "Choice of authenticator refused."), true
	case domain.AnomalyFlagged:
		return bad("Flagged for a look: %s.", words(e.Kind)).because(e.Kind), true
	case domain.AuthenticationSucceeded:
		if e.Factors < 2 {
			return good("Logged in with one factor."), true
		}
		return good("Logged in with two factors, the second by %s.", kindName(e.AuthenticatorKind)), true
	case domain.AuthenticationFailed:
		return bad("Login failed.").because(string(e.Reason)), true
	case domain.AuthenticationAbandoned:
		return plain("Login abandoned."), true
	}
	return Line{}, false
}

func challengeLine(e domain.Event) (Line, bool) {
	switch e := e.(type) {
	case domain.ChallengeIssued:
		return plain("%s asked by %s, answer until %s.", kindName(e.Kind), modeName(e.Mode), clock(e.ExpiresAt)), true
	case domain.ChallengeRefused:
		return refused(e.Reason, "Not asked by %s.", modeName(e.Mode)), true
	case domain.ChallengeFallbackRequested:
		return plain("User left the push for challenge and response.").because(string(e.Cause)), true
	case domain.FallbackRefused:
		return refused(e.Reason, "Fallback refused."), true
	case domain.ChallengeCancelled:
		return plain("Challenge %s cancelled.", short(e.ChallengeID)).because(e.Reason), true
	case domain.LoginCodeIssued:
		return plain("Login code %d issued for %s, valid until %s.", e.Seq, words(e.Via), clock(e.ExpiresAt)), true
	case domain.ResponseVerified:
		text := fmt.Sprintf("Right answer by %s after %s", modeName(e.Mode), milliseconds(e.ElapsedMS))
		if e.UV != "" && e.UV != domain.UVNone {
			text += ", unlocked by " + words(e.UV)
		}
		return good("%s.", text), true
	case domain.ResponseRejected:
		if e.Reason == domain.ReasonDeclined {
			return Line{Tone: Bad, Text: "The user declined in the app.", Reason: string(e.Reason)}, true
		}
		return refused(e.Reason, "Answer rejected, %s left.", counted(e.AttemptsLeft, "attempt")), true
	case domain.ChallengeExhausted:
		return bad("No attempts left for challenge %s.", short(e.ChallengeID)), true
	case domain.PushSent:
		return plain("Push sent to the app."), true
	case domain.PushFailed:
		return bad("Push could not be sent.").because(e.Failure), true
	case domain.PushOpened:
		return plain("Push opened in the app."), true
	}
	return Line{}, false
}

func phoneLine(e domain.Event) (Line, bool) {
	switch e := e.(type) {
	case domain.PhoneNumberAdded:
		return plain("Phone %s added (%s, %s).", short(e.PhoneID), e.CC, words(e.Line)), true
	case domain.PhoneVerificationStarted:
		return plain("Verification of phone %s started.", short(e.PhoneID)), true
	case domain.ConfirmCodeIssued:
		return plain("Confirm code %d issued, valid until %s.", e.Seq, clock(e.ExpiresAt)), true
	case domain.PhoneNumberVerified:
		return good("Phone %s verified at entry %d.", short(e.PhoneID), e.Attempts), true
	case domain.PhoneVerificationRejected:
		return refused(e.Reason, "Confirm code rejected, %s left.", counted(e.AttemptsLeft, "attempt")), true
	case domain.PhoneNumberReplaced:
		return plain("Phone %s replaced by phone %s.", short(e.OldPhoneID), short(e.NewPhoneID)), true
	case domain.PhoneNumberRemoved:
		return plain("Phone %s removed.", short(e.PhoneID)).because(e.Reason), true
	case domain.SMSRequested:
		return plain("SMS for %s requested to phone %s.", words(e.Purpose), short(e.PhoneID)), true
	case domain.SMSRequestRefused:
		return refused(e.Reason, "SMS for %s refused; possible again in %s.", words(e.Purpose), seconds(e.RetryAfterS)), true
	case domain.SMSDispatchStarted:
		return plain("SMS %s on its way to gateway %s.", short(e.SMSID), e.Gateway), true
	case domain.SMSDispatchUncertain:
		return bad("Whether SMS %s was sent is not known; it is not sent again.", short(e.SMSID)), true
	case domain.SMSSent:
		return plain("SMS %s accepted by %s.", short(e.SMSID), e.Provider), true
	case domain.SMSDelivered:
		return good("SMS %s delivered after %s.", short(e.SMSID), milliseconds(e.LatencyMS)), true
	case domain.SMSDeliveryFailed:
		return bad("SMS %s was not delivered.", short(e.SMSID)).because(e.Failure), true
	case domain.SMSSendFailed:
		return bad("SMS %s could not be sent.", short(e.SMSID)).because(e.ProviderCode), true
	}
	return Line{}, false
}

// clock is a moment in a sentence.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func seconds(s int64) string       { return (time.Duration(s) * time.Second).String() }
func milliseconds(ms int64) string { return (time.Duration(ms) * time.Millisecond).String() }
