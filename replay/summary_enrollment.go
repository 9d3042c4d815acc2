package replay

import (
	"fmt"
	"strings"

	"github.com/authledger/authledger/domain"
)

func summariseEnrollment(e domain.Event) string {
	switch e := e.(type) {
	case domain.EnrollmentStarted:
		return fmt.Sprintf("%s of %s%s started, flow %s%s", thing(e.EnrollmentID), Name(e.Kind), host(e), Name(e.Flow), also(", code to %s", e.PhoneID))
	case domain.ActivationCodeIssued:
		return fmt.Sprintf("%s: activation code %d of %d characters issued by %s, valid before %s", thing(e.SubjectID), e.Seq, e.CodeLen, Name(e.Channel), moment(e.ExpiresAt))
	case domain.EnrollmentRefused:
		return fmt.Sprintf("%s of %s%s refused: %s, flow %s", process("enrolment", e.EnrollmentID), Name(e.Kind), optional(" with %s", e.DeviceID), e.Reason, Name(e.Flow))
	case domain.ActivationCodeAccepted:
		return fmt.Sprintf("%s: activation code %d accepted", thing(e.SubjectID), e.Seq)
	case domain.ActivationCodeRejected:
		return fmt.Sprintf("%s: activation code rejected: %s, attempt %d, %d left", thing(e.SubjectID), e.Reason, e.AttemptNo, e.AttemptsLeft)
	case domain.UserVerificationPerformed:
		if e.InstallationID == "" {
			return fmt.Sprintf("%s: the device verified its user with its %s", thing(e.EnrollmentID), Name(e.UV))
		}
		return fmt.Sprintf("%s: the app verified its user with %s%s on %s", thing(e.EnrollmentID), Name(e.UV), pinPolicy(e.PINPolicyVersion), e.InstallationID)
	case domain.AuthenticatorEnrolled:
		return enrolled(e)
	case domain.AuthenticatorRevoked:
		return fmt.Sprintf("%s revoked: %s%s", thing(e.AuthenticatorID), e.Reason, also(", followed by %s", e.SuccessorID))
	case domain.RevocationRefused:
		return fmt.Sprintf("revocation of %s refused: %s", thing(e.AuthenticatorID), e.Reason)
	case domain.SMSAutoEnrollmentSkipped:
		return fmt.Sprintf("%s not enrolled for SMS: %s", thing(e.PhoneID), e.Reason)
	case domain.EnrollmentExpired:
		return fmt.Sprintf("%s was not finished in time", thing(e.EnrollmentID))
	case domain.EnrollmentAbandoned:
		return fmt.Sprintf("%s abandoned", thing(e.EnrollmentID))
	}
	return ""
}

// host is the app or the unit an authenticator is enrolled on.
func host(e domain.EnrollmentStarted) string {
	s := optional(" with %s", e.DeviceID)
	if e.InstallationID != "" {
		s += fmt.Sprintf(" on %s (%s)", e.InstallationID, Name(e.OS))
	}
	return s
}

func enrolled(e domain.AuthenticatorEnrolled) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s enrolled: %s", thing(e.AuthenticatorID), Name(e.Kind))
	s.WriteString(optional(" with %s", e.DeviceID))
	s.WriteString(also(" by %s", e.SharingID))
	s.WriteString(optional(" on %s", e.InstallationID))
	s.WriteString(also(" for %s", e.PhoneID))
	fmt.Fprintf(&s, ", trigger %s", Name(e.Trigger))
	s.WriteString(also(", activated through %s", e.ActivationPhoneID))
	if e.Restricted {
		s.WriteString(", restricted")
	}
	if e.FullUntil != nil {
		s.WriteString(", full scope until " + moment(*e.FullUntil))
	}
	if e.ExpiresAt != nil {
		s.WriteString(", valid before " + moment(*e.ExpiresAt))
	}
	return s.String()
}
