package codec

import (
	"time"

	"github.com/authledger/authledger/domain"
)

// enrollmentRows are installations of the app and the binding of
// authenticators (rule book 6.3).
func enrollmentRows() []row {
	fullUntil, expiresAt := sampleAt(48), sampleAt(59)
	return []row{
		event("InstallationRegistered", 1, domain.InstallationRegistered{
			InstallationID: sampleInstallation, App: domain.AppIBKRMobile, OS: domain.IOS, AppVersion: "8.120.1", PhoneHandsetID: "handset-1",
			DeviceName: domain.Sealed(sampleSealed), PublicKeyID: "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU", KeyAlgorithm: domain.ES256,
			PublicKey: "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE",
		}, personal("device_name", func(e *domain.InstallationRegistered) *domain.Personal { return &e.DeviceName })),
		event("AppPINSet", 1, domain.AppPINSet{PINPolicyVersion: 1}),
		event("AppPINChanged", 1, domain.AppPINChanged{PINPolicyVersion: 2}),
		event("PushTokenRegistered", 1, domain.PushTokenRegistered{
			InstallationID: sampleInstallation, Service: "apns", TokenMAC: "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU",
		}),
		event("EnrollmentStarted", 1, domain.EnrollmentStarted{
			EnrollmentID: sampleEnrollment, Kind: domain.KindIBKey, Flow: "activate", InstallationID: sampleInstallation,
			PhoneID: samplePhone, OS: domain.IOS, HandsetID: "handset-1", DeviceID: sampleDevice,
		}),
		event("ActivationCodeIssued", 1, domain.ActivationCodeIssued{
			SubjectID: sampleEnrollment, Seq: 1, Kid: sampleKid, CodeLen: 8, Channel: "sms", ExpiresAt: sampleAt(15),
		}, moment(func(e *domain.ActivationCodeIssued) *time.Time { return &e.ExpiresAt })),
		event("EnrollmentRefused", 1, domain.EnrollmentRefused{
			EnrollmentID: sampleEnrollment, Flow: "activate", Kind: domain.KindIBKey, InstallationID: sampleInstallation, DeviceID: sampleDevice,
			Reason: domain.ReasonIBKeyElsewhere,
		}),
		event("ActivationCodeAccepted", 1, domain.ActivationCodeAccepted{SubjectID: sampleEnrollment, Seq: 1}),
		event("ActivationCodeRejected", 1, domain.ActivationCodeRejected{
			SubjectID: sampleEnrollment, Reason: domain.ReasonActivationWrong, AttemptNo: 1, AttemptsLeft: 2,
		}),
		event("UserVerificationPerformed", 1, domain.UserVerificationPerformed{
			EnrollmentID: sampleEnrollment, UV: domain.UVAppPIN, InstallationID: sampleInstallation, PINPolicyVersion: 1,
		}),
		event("AuthenticatorEnrolled", 1, domain.AuthenticatorEnrolled{
			AuthenticatorID: sampleIBKey, Kind: domain.KindIBKey, InstallationID: sampleInstallation, UVMethods: []domain.UV{domain.UVFaceID},
			PhoneID: samplePhone, ActivationPhoneID: samplePhone, Trigger: "user", Restricted: true, OOBClass: "number_matching",
			OCRASuite: "OCRA-1:HOTP-SHA256-8:QN06-T1M", OS: domain.IOS, DeviceID: sampleDevice, SharingID: sampleSharing, NextCounter: 17,
			Kid: sampleKid, Cells: 224, GridCommitment: "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU", FullUntil: &fullUntil, ExpiresAt: &expiresAt,
		}, perhaps(func(e *domain.AuthenticatorEnrolled) **time.Time { return &e.FullUntil }),
			perhaps(func(e *domain.AuthenticatorEnrolled) **time.Time { return &e.ExpiresAt })),
		event("AuthenticatorRevoked", 1, domain.AuthenticatorRevoked{
			AuthenticatorID: "aut_" + sampleKey + "_5", Reason: "superseded_by_stronger", SuccessorID: sampleIBKey,
		}),
		event("RevocationRefused", 1, domain.RevocationRefused{AuthenticatorID: sampleIBKey, Reason: domain.ReasonLastAuth}),
		event("SMSAutoEnrollmentSkipped", 1, domain.SMSAutoEnrollmentSkipped{PhoneID: samplePhone, Reason: "active_sls_device"}),
		event("EnrollmentAbandoned", 1, domain.EnrollmentAbandoned{EnrollmentID: sampleEnrollment}),
		event("SeamlessEnabled", 1, domain.SeamlessEnabled{}),
		event("SeamlessDisabled", 1, domain.SeamlessDisabled{}),
	}
}
