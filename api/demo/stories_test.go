package demo_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authledger/authledger/api/demo"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/codec"
)

// line is an event as a word for its type and words for what it says.
func line(t *testing.T, e domain.Event) string {
	t.Helper()
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(b, &fields); err != nil {
		t.Fatal(err)
	}
	words := []string{codec.TypeName(e)}
	for _, name := range []string{
		"reason", "kind", "trigger", "proof", "cause", "via", "mode", "by", "scope", "case", "action", "failure", "channel", "what", "uv",
		"flow", "sla_missed", "factors", "authenticator_kind", "topic", "to_os", "condition", "rule_id", "status", "name",
	} {
		if v, ok := fields[name]; ok {
			words = append(words, fmt.Sprint(v))
		}
	}
	return strings.Join(words, " ")
}

// of lists what concerns the people of a story: the events of their streams, of
// their clients, and of the apps and cards that their events name.
func (h told) of(t *testing.T, s demo.Story) []string {
	t.Helper()
	streams := map[string]bool{domain.PolicyStream(): s.Name == "parameters" || s.Name == "rule_book"}
	streams[domain.ErasuresStream()], streams[domain.KeyringStream()] = s.Name == "forgotten", s.Name == "revealed"
	for _, reference := range s.Cast {
		streams[domain.UserStream(codec.UserIDOf(reference))] = true
		streams[domain.ClientStream(codec.ClientIDOf(reference))] = true
	}
	for _, d := range h.events {
		if strings.HasPrefix(d.Record.Stream, "audit-") {
			streams[d.Record.Stream] = s.Name == "auditor"
		}
		if !streams[d.Record.Stream] {
			continue
		}
		switch e := d.Event.(type) {
		case domain.EnrollmentStarted:
			streams[domain.InstallationStream(e.InstallationID)] = e.InstallationID != ""
		case domain.MigrationStarted:
			streams[domain.InstallationStream(e.ToInstallationID)] = true
		case domain.RecoveryStarted:
			streams[domain.InstallationStream(e.NewInstallationID)] = true
		case domain.UnificationOffered:
			streams[domain.InstallationStream(e.InstallationID)] = true
		case domain.PhysicalDeviceShipped:
			streams[domain.DeviceStream(e.DeviceID)] = true
		}
	}
	var out []string
	for _, d := range h.events {
		if streams[d.Record.Stream] {
			out = append(out, line(t, d.Event))
		}
	}
	return out
}

// shows is what each story must show, in this order; other things may lie in
// between. A word behind a type is one of what the event says.
var shows = map[string][]string{
	"forgotten": {
		"AuthenticatorEnrolled ibkey", "ErasureRequested", "ErasureRefused ACCOUNT_OPEN", "UserClosed", "ErasureRequested",
		"ErasureRefused RETENTION_RUNS", "ProcessingRestricted", "PersonalDataErased", "ErasureCertified", "ErasureRefused ALREADY_ERASED",
	},
	"held": {
		"LegalHoldPlaced", "UserClosed", "LegalHoldPlaced", "ErasureRefused LEGAL_HOLD", "ProcessingRestricted", "LegalHoldReleaseRequested",
		"LegalHoldReleased", "ErasureRefused LEGAL_HOLD",
	},
	"revealed":          {"IdentityVerificationFailed", "PersonalDataRevealed dispute", "EventAnnotated dispute", "KeyRotated code_epoch"},
	"parameters":        {"PolicyParameterSet scc.issue"},
	"auditor":           {"AuditQueryPerformed", "AuditQueryPerformed", "AuditQueryPerformed"},
	"opt_out_hong_kong": {"OptOutDenied REGIME_MANDATORY", "OptBackInRefused NOT_OPTED_OUT", "OptOutDenied REGIME_MANDATORY"},
	"voice": {
		"SMSDeliveryFailed roaming", "LoginCodeIssued voice", "VoiceCallPlaced false", "VoiceCallAnswered", "ResponseVerified voice_code",
		"VoiceCallFailed busy", "VoiceCallRefused VOICE_RATE", "VoiceCallAnswered", "VoiceCallPlaced true", "ResponseVerified voice_code",
		"VoiceDispatchUncertain", "VoiceCallRefused VOICE_PLATFORM", "VoiceCallRefused VOICE_RELEASE_CHANNEL",
	},
	"messages": {
		"SMSDeliveryFailed carrier_blocked", "SMSRequestRefused SMS_COOLDOWN", "SMSDelivered", "AuthenticationSucceeded sms", "SMSSendFailed",
		"AuthenticationSucceeded sms", "SMSDispatchUncertain", "AuthenticationSucceeded sms", "SecurityNotificationFailed",
	},
	"phones": {
		"PhoneNumberVerified", "SMSAutoEnrollmentSkipped already_enrolled", "PhoneNumberReplaced", "AuthenticatorRevoked phone_replaced",
		"AuthenticatorEnrolled auto_sms", "RevocationRefused LAST_AUTHENTICATOR", "SMSRequestRefused PHONE_NOT_MOBILE", "AuthenticatorEnrolled ibkey",
		"PhoneVerificationRejected CODE_WRONG", "PhoneNumberVerified", "SMSAutoEnrollmentSkipped active_sls_device", "PhoneNumberRemoved",
	},
	"ibkey_ios": {
		"ActivationCodeRejected ACTIVATION_CODE_WRONG", "UserVerificationPerformed face_id", "AuthenticatorEnrolled ibkey",
		"AuthenticatorRevoked superseded_by_stronger", "AuthenticatorBound", "EnrollmentRefused SMS_NOT_ENROLLABLE", "ResponseVerified push",
		"SeamlessDisabled", "ChallengeRefused SEAMLESS_OFF", "FallbackRefused FALLBACK_NOT_APPLICABLE", "VoiceCallRefused VOICE_NOT_SMS_USER",
		"ResponseVerified challenge_response", "SeamlessEnabled", "PushFailed token_invalid", "ChallengeFallbackRequested no_notification",
		"PushTokenRegistered", "ResponseVerified push", "ResponseRejected DECLINED_BY_USER", "AnomalyFlagged push_declined", "ChallengeExpired",
	},
	"ibkey_android": {
		"EnrollmentAbandoned", "EnrollmentExpired", "AppPINRefused PIN_POLICY", "EnrollmentRefused PIN_POLICY", "AppPINRefused PIN_MISMATCH",
		"EnrollmentRefused PIN_MISMATCH", "AppPINSet", "UserVerificationPerformed app_pin", "AuthenticatorEnrolled ibkey", "AppPINChanged",
	},
	"add_user": {
		"EnrollmentRefused IBKEY_NOT_ACTIVE_HERE add_user", "AuthenticatorEnrolled ibkey", "AuthenticatorBound", "EnrollmentStarted add_user",
		"AuthenticatorEnrolled ibkey", "AuthenticatorBound", "AuthenticationSucceeded ibkey", "AuthenticationSucceeded ibkey",
	},
	"removal": {
		"EnrollmentStarted add_user", "AuthenticatorRevoked client_request", "AuthenticatorEnrolled auto_sms", "AuthenticatorUnbound",
		"AuthenticationSucceeded sms", "AuthenticationSucceeded ibkey",
	},
	"pin_blocked": {
		"AppPINBlocked", "AuthenticatorSuspended pin_blocked", "AuthenticatorSuspended pin_blocked", "EnrollmentRequired", "RecoveryStarted sms",
		"RecoveryCompleted", "AppPINUnblocked", "RecoveryCompleted",
	},
	"session": {
		"AuthenticationSucceeded step_up", "SecondFactorOffered", "SelectionRefused NOT_OFFERED", "ChallengeCancelled user", "AuthenticationAbandoned",
	},
	"card": {
		"PhysicalDeviceRequestRefused EQUITY_BELOW_THRESHOLD", "PhysicalDeviceRequestRefused PIN_POLICY", "PhysicalDeviceRequested",
		"PhysicalDeviceShipped", "PhysicalDeviceShipped", "DeviceDepositHeld", "AuthenticatorEnrolled dsc_plus user",
		"AuthenticatorRevoked superseded_by_stronger", "AuthenticationSucceeded dsc_plus", "ResponseRejected RESPONSE_WRONG",
		"AuthenticationSucceeded dsc_plus", "ResponseRejected CHALLENGE_USED", "ChallengeExhausted", "DevicePINChangeRefused PIN_POLICY",
		"DevicePINChanged", "AuthenticationSucceeded dsc_plus", "AuthenticatorReportedLost client", "AuthenticatorSuspended reported_lost",
		"EnrollmentRequired", "RevocationRefused IDV_REQUIRED", "AuthenticatorRevoked lost", "AuthenticatorEnrolled auto_sms",
		"DeviceReplacementFeeCharged lost", "AuthenticationSucceeded sms",
	},
	"card_unopened": {"PhysicalDeviceShipped", "AuthenticatorEnrolled auto_14_days", "AuthenticatorBound", "AuthenticationSucceeded dsc_plus"},
	"card_returned": {"AuthenticatorRevoked returned", "DeviceReturned ok", "DeviceDepositReleased", "AuthenticationSucceeded sms"},
	"several_devices": {
		"EnrollmentRefused STEP_UP_REQUIRED", "AuthenticatorEnrolled dsc_plus", "SecondFactorOffered", "AuthenticationSucceeded ibkey",
		"SecondFactorOffered", "AuthenticationSucceeded dsc_plus", "SecondFactorSelected default_unsupported_client",
	},
	"printed_card": {
		"SecurityCodeCardIssued", "AuthenticatorEnrolled scc", "ResponseVerified grid", "ResponseRejected RESPONSE_WRONG", "ResponseVerified grid",
		"SecurityCodeCardRefused STEP_UP_REQUIRED",
	},
	"sharing": {
		"DeviceSharingDenied SHARE_LESS_SECURE", "DeviceSharingRequested", "DeviceSharingGranted", "AuthenticatorEnrolled sharing",
		"AuthenticatorBound", "AuthenticationSucceeded dsc_plus", "AuthenticationSucceeded dsc_plus", "AuthenticatorReportedLost client",
		"AuthenticatorSuspended reported_lost", "AuthenticatorSuspended reported_lost", "EnrollmentRequired", "AuthenticationSucceeded scc",
		"AuthenticatorReactivated own_response",
	},
	"sharing_reviewed": {
		"DeviceSharingDenied SHARE_IDENTITY", "DeviceSharingPending compliance_review", "DeviceSharingDenied COMPLIANCE_DENIED",
		"DeviceSharingPending compliance_review", "DeviceSharingGranted", "AuthenticatorEnrolled sharing", "AuthenticatorRevoked client_request",
		"DeviceSharingEnded", "AuthenticatorUnbound", "AuthenticationSucceeded dsc_plus",
	},
	"migration": {
		"MigrationStarted sms android", "ActivationCodeRejected", "MigrationProofAccepted sms", "AppPINRefused PIN_POLICY", "MigrationRefused PIN_POLICY",
		"AppPINRefused PIN_MISMATCH", "MigrationRefused PIN_MISMATCH", "AppPINSet", "AuthenticatorRevoked migrated",
		"AuthenticatorEnrolled migration", "MigrationCompleted app_pin", "AuthenticatorUnbound", "AuthenticatorBound", "AuthenticationSucceeded ibkey",
	},
	"migration_by_card": {
		"MigrationStarted physical_device", "ChallengeIssued dsc_plus", "MigrationRefused MIGRATION_PROOF", "MigrationProofAccepted physical_device",
		"MigrationCompleted", "AuthenticationSucceeded ibkey",
	},
	"migration_cancelled": {
		"MigrationRefused SAME_HANDSET", "MigrationStarted", "MigrationCancelled restarted", "MigrationStarted", "MigrationRefused MIGRATION_IN_PROGRESS",
		"MigrationCancelled user", "AuthenticationSucceeded ibkey",
	},
	"migration_expired":  {"MigrationStarted", "MigrationExpired", "AuthenticationSucceeded ibkey"},
	"phone_not_original": {"PhoneNumberReplaced", "MigrationRefused PHONE_NOT_ORIGINAL"},
	"recovery_ios": {
		"RecoveryStarted original_uv reinstalled", "AuthenticatorRevoked replaced", "AuthenticatorEnrolled recovery", "RecoveryCompleted face_id",
		"InstallationRetired recovered", "AuthenticationSucceeded ibkey",
	},
	"recovery_android": {
		"AppPINSet", "RecoveryStarted sms reinstalled", "RecoveryProofAccepted sms", "RecoveryCompleted", "InstallationRetired recovered",
	},
	"recovery_given_up": {"RecoveryRefused RECOVERY_HANDSET", "RecoveryCancelled user", "RecoveryExpired", "AuthenticationSucceeded ibkey"},
	"unified": {
		"UnificationOffered auto", "UnificationCompleted", "AuthenticatorUnbound", "AuthenticatorBound", "InstallationRetired unified",
		"AuthenticationSucceeded ibkey",
	},
	"unified_after_update": {
		"UnificationOffered update_then_auto", "UnificationRefused SIGNATURE_INVALID", "UnificationOffered auto", "UnificationCompleted",
	},
	"unified_later": {"UnificationOffered", "UnificationDeferred", "AuthenticationSucceeded ibkey", "UnificationOffered", "UnificationCompleted"},
	"unification_first": {
		"UnificationRefused UNIFICATION_OTHER_HANDSET", "UnificationRefused NOTHING_TO_UNIFY", "UnificationOffered both",
		"AuthenticationRefused UNIFICATION_FIRST", "UnificationCompleted", "AuthenticationSucceeded ibkey",
	},
	"lost_card": {
		"TemporaryPasscodeRefused IDV_REQUIRED", "IdentityVerifiedByAgent", "TemporaryPasscodeIssued", "AuthenticatorSuspended temp_code_issued",
		"AuthenticationSucceeded full temp_code", "AuthenticationFailed SCOPE_RECOVERY_ONLY", "AuthenticationSucceeded recovery_only temp_code",
		"OnlineCodeCardIssued", "AuthenticatorEnrolled oscc", "AuthenticatorRevoked temporary_ended", "AuthenticationSucceeded oscc",
		"AuthenticatorReactivated oscc", "AuthenticatorRevoked temporary_ended", "AuthenticationSucceeded dsc_plus",
	},
	"lost_phone": {
		"SuspensionRefused IDV_REQUIRED", "AuthenticatorReportedLost agent", "TemporaryPasscodeIssued",
		"TemporaryCredentialRefused TEMP_IN_APP_UNAVAILABLE", "TemporaryCredentialDelivered agent_voice", "AuthenticationFailed SCOPE_RECOVERY_ONLY",
		"AuthenticationSucceeded recovery_only", "TemporaryPasscodeRefused TEMP_CONSECUTIVE", "ReactivationRefused OSCC_SCOPE",
		"OnlineCodeCardRefused OSCC_SCOPE", "AuthenticatorReactivated own_response", "AuthenticationSucceeded ibkey",
	},
	"online_card_expired": {
		"AuthenticatorEnrolled oscc", "ChallengeRefused AUTHENTICATOR_NOT_ACTIVE", "EnrollmentRequired", "AuthenticatorRevoked stolen",
		"DeviceReplacementFeeCharged stolen", "AuthenticationSucceeded sms",
	},
	"in_app": {
		"TemporaryPasscodeIssued", "TemporaryCredentialDelivered in_app temp_code", "TemporaryCredentialCollected", "AuthenticationSucceeded temp_code",
		"TemporaryCredentialDelivered in_app reset_password", "TemporaryCredentialCollected", "AuthenticatorReactivated agent",
	},
	"move_to_hong_kong": {
		"OptOutDenied AGREEMENT_MISSING", "OptOutGranted", "SecondFactorWaived", "ResidenceChanged", "OptOutRevoked residence_change",
		"AuthenticationFailed SECOND_FACTOR_REQUIRED", "AuthenticationSucceeded ibkey",
	},
	"move_to_india": {"OptOutGranted", "ResidenceChanged", "SecondFactorWaived", "OptOutRevoked residence_change", "AuthenticationSucceeded sms"},
	"joint": {
		"HolderAdded", "HolderAdded", "OptOutGranted", "ResidenceChanged", "OptOutRevoked residence_change", "OptOutDenied REGIME_MANDATORY",
		"HolderRemoved", "OptOutGranted",
	},
	"seat": {
		"OptOutDenied OPT_OUT_AUTHORITY", "OptOutGranted", "OptOutGranted", "OptOutDenied ALREADY_OPTED_OUT", "DomicileChanged",
		"OptOutRevoked domicile_change", "OptOutRevoked domicile_change",
	},
	"adviser": {
		"OptOutGranted", "AccountAccessGranted", "OptOutRevoked access_granted", "OptOutDenied REGIME_MANDATORY", "AccountAccessRevoked",
		"OptOutGranted", "OptedBackIn",
	},
	"carrier":      {"OptOutGranted", "CarryingEntityAssigned", "OptOutRevoked carrying_entity_change"},
	"unknown_home": {"OptOutDenied FACTS_INCOMPLETE", "ResidenceChanged", "OptOutGranted"},
	"rule_book": {
		"OptOutGranted", "PolicyRulePublished SG-2FA-1 proposed", "OptOutGranted", "PolicyRuleAmended SG-2FA-1", "PolicyRulePublished CH-HOUSE-1 active",
		"OptOutRevoked rule_in_force", "OptOutDenied REGIME_MANDATORY", "PolicyRuleWithdrawn CH-HOUSE-1", "OptOutGranted",
	},
	"locked": {
		"UserLocked", "AuthenticationRefused USER_LOCKED", "UnlockRefused IDV_REQUIRED", "IdentityVerifiedByAgent", "UserUnlocked agent",
		"AuthenticationSucceeded", "UserLocked", "UserUnlocked elapsed", "AuthenticationSucceeded",
	},
	"closed":             {"AuthenticatorRevoked user_closed", "UserClosed", "AuthenticatorUnbound", "AuthenticationRefused USER_CLOSED"},
	"last_authenticator": {"RevocationRefused LAST_AUTHENTICATOR", "AuthenticationSucceeded sms"},
	"nothing_yet":        {"EnrollmentRequired", "EnrollmentRefused PHONE_UNVERIFIED"},
}

// says reports whether an event has every word of a pattern.
func says(event, pattern string) bool {
	have, want := strings.Fields(event), strings.Fields(pattern)
	for _, w := range want[1:] {
		if !slices.Contains(have, w) {
			return false
		}
	}
	return have[0] == want[0]
}

// Every story shows what it is about, whatever the seed and whenever in the day
// and the year it is told.
func TestStories(t *testing.T) {
	t.Parallel()
	stories := demo.Stories()
	if len(stories) != len(shows) {
		t.Errorf("%d stories, and what %d of them must show", len(stories), len(shows))
	}
	for seed := range uint64(4) {
		history := broker(t, 60, seed, morning.Add(time.Duration(seed)*(31*24+7)*time.Hour))
		for _, s := range stories {
			events := history.of(t, s)
			for _, pattern := range shows[s.Name] {
				i := slices.IndexFunc(events, func(e string) bool { return says(e, pattern) })
				if i < 0 {
					t.Errorf("seed %d, story %s: no %q after what comes before it", seed, s.Name, pattern)
					break
				}
				events = events[i+1:]
			}
		}
	}
}

// The catalogue can be pointed at: names and users are unique, and the users
// are those of the broker's references.
func TestStoriesCatalogue(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, s := range demo.Stories() {
		if s.Name == "" || !strings.HasSuffix(s.What, ".") || shows[s.Name] == nil {
			t.Errorf("story %+v is not described", s)
		}
		for _, key := range append([]string{s.Name}, s.Cast...) {
			if other, taken := seen[key]; taken {
				t.Errorf("%s is in the stories %s and %s", key, other, s.Name)
			}
			seen[key] = s.Name
		}
		if len(s.Cast) > 0 && (s.Reference != s.Cast[0] || s.UserID != codec.UserIDOf(s.Reference)) {
			t.Errorf("story %s points at %s and %s, not at its first user %s", s.Name, s.Reference, s.UserID, s.Cast[0])
		}
	}
}
