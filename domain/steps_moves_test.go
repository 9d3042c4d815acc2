package domain

import "time"

// Steps with IB Key on its way from one app to another.

// newPhone is an Android phone whose app has no PIN yet.
func newPhone(s *story) {
	s.t.Helper()
	s.when(RegisterInstallation{
		InstallationID: pixelID, App: AppIBKRMobile, OS: Android, HandsetID: "handset-" + pixelID,
		KeyAlgorithm: ES256, PublicKey: "key-" + pixelID, PublicKeyID: "kid-" + pixelID,
	}).then(InstallationRegistered{OS: Android})
}

// pinSet has the new phone's app attest its PIN.
func pinSet(s *story) {
	s.t.Helper()
	s.when(AttestPIN{InstallationID: pixelID, PINPolicyVersion: 1})
}

// migration starts to move IB Key to an installation.
func migration(installationID string) step {
	return func(s *story) {
		s.t.Helper()
		s.and(password(PurposeMigration, IBKRMobileAndroid))
		s.when(StartMigration{UserID: s.who, InstallationID: installationID, TxnID: s.id(PrefixTransaction)})
	}
}

// migrationProved has also given the right code.
func migrationProved(s *story) {
	s.t.Helper()
	s.and(newPhone, migration(pixelID))
	s.when(ProveMigration{MigrationID: s.id(PrefixMigration)}, code(1))
	s.then(ActivationCodeAccepted{}, MigrationProofAccepted{Proof: "sms"})
}

func completeMigration(s *story) CompleteMigration {
	return CompleteMigration{MigrationID: s.id(PrefixMigration), UV: UVAppPIN}
}

// phoneReplaced puts another verified phone in the place of the activation's.
func phoneReplaced(s *story) {
	s.t.Helper()
	a, _ := s.user().IBKey()
	s.and(later(time.Hour), verifiedPhone)
	s.when(ReplacePhone{OldPhoneID: a.ActivationID, NewPhoneID: s.id(PrefixPhone)}).then(PhoneNumberReplaced{})
}

// appAgain is the app installed once more on the handset of another
// installation, with a PIN where it has one.
func appAgain(id, of string) step {
	return func(s *story) {
		s.t.Helper()
		old := s.states[InstallationStream(of)].(*Installation)
		s.when(RegisterInstallation{InstallationID: id, App: AppIBKRMobile, OS: old.OS, HandsetID: old.HandsetID, PublicKey: "key-" + id})
		if old.OS == Android {
			s.when(AttestPIN{InstallationID: id, PINPolicyVersion: 1}).then(AppPINSet{})
		}
	}
}

// recovery starts to bring IB Key back on an installation.
func recovery(installationID, cause string, facts ...evidence) step {
	return func(s *story) {
		s.t.Helper()
		s.and(password(PurposeRecovery, IBKRMobileIOS))
		s.when(StartRecovery{UserID: s.who, InstallationID: installationID, TxnID: s.id(PrefixTransaction), Cause: cause}, facts...)
	}
}
