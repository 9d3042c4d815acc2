package api

import (
	"encoding/base64"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/api/pskc"
	"github.com/authledger/authledger/eventstore/journal"
)

// Category 8: what an app attests. Of its PIN it says a policy version; of a
// move between apps the former key signs.
func TestBadAttestations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	w.enrollIBKey()
	android := w.install("ibkr_mobile", "android", "hs-2")
	pin := "/v1/installations/" + android.id + "/pin"
	block := "/v1/installations/" + android.id + "/pin-block"
	w.clock.advance(3 * time.Minute)
	m := w.moving(android, 201)
	want[gen.Migration](t, w.post(access.Device, "/v1/migrations/"+m.MigrationId+"/proof", map[string]any{"code": w.codeFor("migration", m.MigrationId)}), 200)
	complete := func(id, uv, reason string) hostile {
		return hostile{id: "8-" + id, role: access.Device, path: "/v1/migrations/" + m.MigrationId + "/complete", body: map[string]any{"uv": uv},
			status: 200, reason: reason, events: []string{"MigrationRefused"}}
	}
	invalid := func(id, path string, body any) hostile {
		return hostile{id: "8-" + id, role: access.Device, path: path, body: body, status: 400, code: "validation_failed"}
	}
	w.attack(t, w.user, []hostile{
		invalid("version 0", pin, map[string]any{"pinPolicyVersion": 0}),
		invalid("negative version", pin, map[string]any{"pinPolicyVersion": -1}),
		invalid("fraction", pin, map[string]any{"pinPolicyVersion": 1.5}),
		invalid("huge version", pin, `{"pinPolicyVersion":9007199254740993}`),
		invalid("text", pin, map[string]any{"pinPolicyVersion": "1"}),
		invalid("the PIN itself", pin, map[string]any{"pinPolicyVersion": 1, "pin": marker}),
		invalid("unknown violation", pin, map[string]any{"pinPolicyVersion": 1, "violation": "PIN_" + marker}),
		invalid("PIN on iOS", "/v1/installations/"+w.installation+"/pin", map[string]any{"pinPolicyVersion": 1}),
		{id: "8-installation of nobody", role: access.Device, path: "/v1/installations/ins_00000000000000000000000000/pin", body: map[string]any{"pinPolicyVersion": 1}, status: 404, code: "not_found"},
		{id: "8-the login page attests", path: pin, body: map[string]any{"pinPolicyVersion": 1}, status: 403, code: "role_missing"},
		invalid("blocked after none", block, map[string]any{"wrongEntries": 0}),
		invalid("blocked too early", block, map[string]any{"wrongEntries": 9}),
		complete("no PIN attested", "app_pin", "PIN_POLICY"),
		complete("no local check", "none", "UV_REQUIRED"),
		complete("a check of the other system", "face_id", "UV_METHOD"),
		invalid("a check nobody makes", "/v1/migrations/"+m.MigrationId+"/complete", map[string]any{"uv": "dsc_pin"}),
		{id: "8-entries differ", role: access.Device, path: pin, body: map[string]any{"pinPolicyVersion": 1, "violation": "PIN_MISMATCH"}, status: 200, reason: "PIN_MISMATCH", events: []string{"AppPINRefused"}},
		complete("after the entries differed", "app_pin", "PIN_MISMATCH"),
		{id: "8-old policy", role: access.Device, path: pin, body: func() any {
			w.acts(access.Compliance, "/v1/policy/parameters/pin.policy_version", map[string]any{"value": 2, "effectiveFrom": "2026-01-01", "reason": "longer PINs"}, recorded, "")
			return map[string]any{"pinPolicyVersion": 1}
		}, status: 200, events: []string{"AppPINSet"}},
		complete("under the old policy", "app_pin", "PIN_POLICY"),
	})
}

// Category 8, the handover between apps, and the proof of an installation.
func TestBadHandovers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	old := w.install("ibkey_standalone", "ios", "hs-1")
	w.enrollOn(old, w.user, "face_id")
	app, third := w.install("ibkr_mobile", "ios", "hs-1"), w.install("ibkr_mobile", "ios", "hs-1")
	offer := want[gen.Unification](t, w.post(access.Device, "/v1/users/"+w.user+"/unifications", map[string]any{
		"installationId": app.id, "case": "auth_only", "standaloneInstallationId": old.id,
	}), 201)
	path := "/v1/unifications/" + offer.UnificationId + "/complete"
	const prefix = "authledger/handover/v1\n"
	text := prefix + journal.HandoverText(w.user, old.id, app.id)
	good := old.sign(t, text)
	forged := func(id, signature string) hostile {
		return hostile{id: "8-" + id, role: access.Device, path: path, body: map[string]any{"handover": signature}, status: 200, reason: "SIGNATURE_INVALID", events: []string{"UnificationRefused"}}
	}
	stranger := w.newUser("U-2", w.client, "HK")
	w.attack(t, w.user, []hostile{
		forged("signed by the new app", app.sign(t, text)),
		forged("for another app", old.sign(t, prefix+journal.HandoverText(w.user, old.id, third.id))),
		forged("for another user", old.sign(t, prefix+journal.HandoverText(stranger, old.id, app.id))),
		forged("the other way", old.sign(t, prefix+journal.HandoverText(w.user, app.id, old.id))),
		forged("without prefix", old.sign(t, journal.HandoverText(w.user, old.id, app.id))),
		forged("truncated", good[:len(good)-2]),
		forged("one letter", "A"),
		{id: "8-empty", role: access.Device, path: path, body: map[string]any{"handover": ""}, status: 400, code: "validation_failed"},
		{id: "8-padded", role: access.Device, path: path, body: map[string]any{"handover": good + "=="}, status: 400, code: "validation_failed"},
		{id: "8-long", role: access.Device, path: path, body: map[string]any{"handover": strings.Repeat("A", 1<<15)}, status: 400, code: "validation_failed"},
		{id: "8-proof of a GET collects nothing", role: access.Device, path: "/v1/installations/" + old.id + "/credentials/dlv" + w.user[3:] + "_99/collection",
			body: map[string]any{"proof": strconv.FormatInt(w.clock.Now().UnixMilli(), 10) + "." + good}, status: 404, code: "not_found"},
		{id: "8-no proof", role: access.Device, method: "GET", path: "/v1/installations/" + old.id + "/credentials", status: 400, code: "validation_failed"},
		{id: "8-proof of old", role: access.Device, method: "GET", path: "/v1/installations/" + old.id + "/credentials", header: []string{
			"Authledger-Installation-Proof", "1000000000000." + good}, status: 401, code: "signature_invalid"},
	})
}

// Category 9: the life of devices.
func TestBadDeviceLifecycles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPSKC)
	w.register()
	w.enrollSMS()
	key := w.enrollIBKey()
	card := w.card("SN-1", w.user)
	other := newUnit(t, "SN-2")
	want[gen.DeviceImport](t, w.imports([]pskc.Token{other.token()}), 200)
	second := w.newUser("U-2", w.newClient("C-2", "individual", "HK"), "HK")
	w.verifiedPhone(second, "+852 6765 4321")
	w.clock.advance(3 * time.Minute)
	elsewhere := w.install("ibkr_mobile", "ios", "hs-3")
	open := w.moving(w.install("ibkr_mobile", "ios", "hs-2"), 201)
	enroll := func(id string, body map[string]any, reason string) hostile {
		return hostile{id: "9-" + id, path: "/v1/users/" + w.user + "/enrollments", body: body, status: 200, reason: reason, events: []string{"EnrollmentRefused"}}
	}
	begun := func(purpose string, body map[string]any) func() any {
		return func() any {
			body["authenticationId"] = w.begin(w.user, purpose)
			return body
		}
	}
	money := func(minor any, currency string) map[string]any {
		return map[string]any{"amount": map[string]any{"minor": minor, "currency": currency}, "reason": "lost", "feeRuleId": "fee.dsc_plus"}
	}
	fee := func(id string, body any) hostile {
		return hostile{id: "9-" + id, role: access.Operator, path: "/v1/devices/" + card.id + "/fees", body: body, status: 400, code: "validation_failed"}
	}
	otherContent := card.token()
	otherContent.Counter = 7
	aut := "/v1/authenticators/" + key.AuthenticatorId
	rows := []hostile{
		{id: "9-bind a card without step-up", path: "/v1/users/" + w.user + "/enrollments", body: begun("activation", map[string]any{"kind": "dsc_plus", "deviceId": card.id}),
			status: 200, reason: "STEP_UP_REQUIRED", events: []string{"EnrollmentRefused"}},
		enroll("bind without password", map[string]any{"kind": "dsc_plus", "deviceId": card.id, "authenticationId": "txn" + w.user[3:] + "_1"}, "PRIMARY_FACTOR_REQUIRED"),
		enroll("bind in another user's login", map[string]any{"kind": "ibkey", "installationId": elsewhere.id, "authenticationId": "txn" + second[3:] + "_5"}, "PRIMARY_FACTOR_REQUIRED"),
		{id: "9-bind twice", path: "/v1/users/" + w.user + "/enrollments", body: begun("activation", map[string]any{"kind": "ibkey", "installationId": w.installation}),
			status: 200, reason: "ALREADY_ENROLLED", events: []string{"EnrollmentRefused"}},
		{id: "9-bind on a second phone", path: "/v1/users/" + w.user + "/enrollments", body: begun("activation", map[string]any{"kind": "ibkey", "installationId": elsewhere.id}),
			status: 200, reason: "IBKEY_ACTIVE_ELSEWHERE", events: []string{"EnrollmentRefused"}},
		{id: "9-SMS beside a stronger one", path: "/v1/users/" + w.user + "/enrollments", body: begun("activation", map[string]any{"kind": "sms"}),
			status: 200, reason: "SMS_NOT_ENROLLABLE", events: []string{"EnrollmentRefused"}},
		{id: "9-bind a unit nobody imported", path: "/v1/users/" + w.user + "/enrollments", body: begun("activation", map[string]any{"kind": "dsc_plus", "deviceId": newUnit(t, "SN-9").id}),
			status: 404, code: "not_found"},
		{id: "9-same key on another phone", role: access.Device, path: "/v1/installations", body: map[string]any{
			"app": "ibkr_mobile", "os": "ios", "appVersion": "8.1", "handsetId": "hs-77", "keyAlgorithm": "ES256", "publicKey": base64.RawURLEncoding.EncodeToString(spki(t, w.key)),
		}, status: 409, code: "exists"},
		{id: "9-migrate to itself", role: access.Device, path: "/v1/users/" + w.user + "/migrations", body: begun("migration", map[string]any{"installationId": w.installation}),
			status: 200, reason: "SAME_HANDSET", events: []string{"MigrationRefused"}},
		{id: "9-two migrations at once", role: access.Device, path: "/v1/users/" + w.user + "/migrations", body: begun("migration", map[string]any{"installationId": elsewhere.id}),
			status: 200, reason: "MIGRATION_IN_PROGRESS", events: []string{"MigrationRefused"}},
		{id: "9-recover on another phone", role: access.Device, path: "/v1/users/" + w.user + "/recoveries", body: begun("recovery", map[string]any{"installationId": elsewhere.id, "cause": "reinstalled"}),
			status: 200, reason: "RECOVERY_HANDSET", events: []string{"RecoveryRefused"}},
		{id: "9-complete without proof", role: access.Device, path: "/v1/migrations/" + open.MigrationId + "/complete", body: map[string]any{"uv": "face_id"}, status: 200, reason: "MIGRATION_PROOF", events: []string{"MigrationRefused"}},
		{id: "9-share IB Key", path: "/v1/users/" + second + "/device-sharings", body: func() any {
			return map[string]any{"authenticatorId": key.AuthenticatorId, "authenticationId": w.begin(second, "device_sharing")}
		}, status: 200, reason: "SHARE_IBKEY", events: []string{"DeviceSharingRequested", "DeviceSharingDenied"}},
		{id: "9-share with oneself", path: "/v1/users/" + w.user + "/device-sharings", body: begun("device_sharing", map[string]any{"authenticatorId": key.AuthenticatorId}),
			status: 404, code: "not_found"},
		{id: "9-serial with other content", role: access.Operator, path: "/v1/devices/imports", body: map[string]any{"pskc": w.file(otherContent)}, status: 409, code: "exists"},
		{id: "9-more behind the file", role: access.Operator, path: "/v1/devices/imports", body: map[string]any{"pskc": w.file(card.token()) + "AAAA"}, status: 422, code: "pskc_invalid"},
		{id: "9-seeds in clear", role: access.Operator, path: "/v1/devices/imports", body: map[string]any{"pskc": base64.StdEncoding.EncodeToString(
			[]byte(`<KeyContainer Version="1.0" xmlns="urn:ietf:params:xml:ns:keyprov:pskc"><KeyPackage><Key Id="1" Algorithm="urn:ietf:params:xml:ns:keyprov:pskc:ocra-1"><Data><Secret><PlainValue>` +
				marker + `</PlainValue></Secret></Data></Key></KeyPackage></KeyContainer>`))}, status: 422, code: "pskc_invalid"},
		{id: "9-no base64", role: access.Operator, path: "/v1/devices/imports", body: map[string]any{"pskc": "<" + marker + ">"}, status: 400, code: "validation_failed"},
		{id: "9-sent twice", role: access.Operator, path: "/v1/devices/" + card.id + "/shipment", body: func() any {
			return map[string]any{"requestId": w.order(w.user), "dispatchedOn": "2026-03-03"}
		}, status: 409, code: "exists"},
		{id: "9-sent for no order", role: access.Operator, path: "/v1/devices/" + other.id + "/shipment", body: map[string]any{"requestId": "req" + w.user[3:] + "_999", "dispatchedOn": "2026-03-03"}, status: 404, code: "not_found"},
		fee("negative fee", money(-1, "USD")),
		fee("fractional fee", money(20.5, "USD")),
		fee("huge fee", money(9007199254740992.0, "USD")),
		fee("currency in small letters", money(2000, "usd")),
		fee("fee for a battery", map[string]any{"amount": map[string]any{"minor": 2000, "currency": "USD"}, "reason": "battery", "feeRuleId": "fee.dsc_plus"}),
		{id: "9-lost by a stranger's word", role: access.Operator, path: aut + "/loss", body: map[string]any{"by": "agent"}, status: 200, reason: "IDV_REQUIRED", events: []string{"SuspensionRefused"}},
		{id: "9-passcode without identity", role: access.Operator, path: "/v1/users/" + w.user + "/temporary-passcodes", body: map[string]any{"missingAuthenticatorId": key.AuthenticatorId},
			status: 200, reason: "IDV_REQUIRED", events: []string{"TemporaryPasscodeRefused"}},
		{id: "9-card without a portal login", path: "/v1/users/" + w.user + "/code-cards", body: map[string]any{"kind": "oscc", "authenticationId": "txn" + w.user[3:] + "_1"},
			status: 200, reason: "OSCC_SCOPE", events: []string{"OnlineCodeCardRefused"}},
		{id: "9-card of no kind", path: "/v1/users/" + w.user + "/code-cards", body: map[string]any{"kind": "ibkey"}, status: 400, code: "validation_failed"},
		{id: "9-card nobody made", path: "/v1/code-cards/" + key.AuthenticatorId + "/activation", body: map[string]any{}, status: 404, code: "not_found"},
		{id: "9-reactivate what is active", role: access.Operator, path: aut + "/reactivation", body: map[string]any{"proof": "agent"}, status: 200, reason: "AUTHENTICATOR_NOT_SUSPENDED", events: []string{"ReactivationRefused"}},
		{id: "9-PIN of an IB Key", path: aut + "/pin-change", body: begun("pin_change", map[string]any{"pin": "1357"}), status: 200, reason: "AUTHENTICATOR_NOT_ACTIVE", events: []string{"DevicePINChangeRefused"}},
		{id: "9-revoke for no reason", path: aut + "/revocation", body: map[string]any{"reason": "migrated"}, status: 400, code: "validation_failed"},
		{id: "9-authenticator of nobody", path: "/v1/authenticators/aut" + w.user[3:] + "_9999/revocation", body: map[string]any{"reason": "lost"}, status: 404, code: "not_found"},
	}
	w.attack(t, w.user, rows)
}

// Category 9: a lost authenticator answers nothing, and the last one is not
// given up by accident.
func TestLostAndLastAuthenticators(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	c := w.login("platform", "client_portal").Challenge
	code := w.codeFor("login", c.Id)
	w.attack(t, w.user, []hostile{
		{id: "9-last one", path: "/v1/authenticators/" + c.AuthenticatorId + "/revocation", body: map[string]any{"reason": "client_request"}, status: 200, reason: "LAST_AUTHENTICATOR", events: []string{"RevocationRefused"}},
		{id: "9-SMS is not lost", path: "/v1/authenticators/" + c.AuthenticatorId + "/loss", body: map[string]any{"by": "client"}, status: 200, reason: "AUTHENTICATOR_NOT_ACTIVE", events: []string{"SuspensionRefused"}},
	})
	w.acts(access.Operator, "/v1/authenticators/"+c.AuthenticatorId+"/suspension", map[string]any{"reason": "compromise_suspected"}, recorded, "")
	address := "/v1/authentications/" + c.AuthenticationId + "/challenges"
	w.attack(t, w.user, []hostile{
		{id: "9-answer of a suspended one", path: "/v1/challenges/" + c.Id + "/responses", body: response(code), status: 200, events: []string{"ResponseRejected", "AuthenticationFailed"}},
		{id: "9-challenge of a suspended one", path: address, body: map[string]any{"authenticatorId": c.AuthenticatorId}, status: 200, events: []string{"ChallengeRefused"}},
	})
}

// file is a manufacturer's file of tokens in base64.
func (w *world) file(tokens ...pskc.Token) string {
	w.t.Helper()
	var file strings.Builder
	if err := pskc.Write(&file, []byte(transportKey), tokens); err != nil {
		w.t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString([]byte(file.String()))
}
