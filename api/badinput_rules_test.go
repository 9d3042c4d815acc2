package api

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/gen"
)

// optOut asks for an opt-out of a user by another.
func optOut(user, by string, change map[string]any) map[string]any {
	body := map[string]any{"requestedBy": by, "agreementVersion": "2026-01", "acknowledged": true}
	maps.Copy(body, change)
	return body
}

// Category 10: jurisdiction. A denial is an outcome with its basis, never an
// error; what is not a fact is refused before it is recorded.
func TestBadJurisdictions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := map[string]string{}
	for i, row := range []struct{ name, kind, carried, residence string }{
		{"hk", "individual", "IE", "HK"}, {"in", "individual", "IE", "IN"}, {"carried", "individual", "HK", "DE"}, {"de", "individual", "IE", "DE"},
		{"unknown", "individual", "IE", ""}, {"joint", "joint", "IE", "DE"}, {"firm", "organisation", "IE", "DE"},
	} {
		client := w.newClient("C-"+row.name, row.kind, row.carried)
		people[row.name] = w.newUser("U-"+row.name, client, orText(row.residence, "DE"))
		if row.residence == "" {
			people[row.name] = want[gen.UserAnswer](t, w.post(access.Frontend, "/v1/users", map[string]any{
				"reference": "U-none", "clientId": client, "role": "owner", "username": "x", "locale": "en",
			}), 201).UserId
		}
		people["client of "+row.name] = client
		phone := w.verifiedPhone(people[row.name], fmt.Sprintf("+852 6123 45%02d", 10+i))
		w.user, w.phone = people[row.name], phone
		w.enrollSMS()
	}
	w.acts(access.Frontend, "/v1/clients/"+people["client of joint"]+"/holders", map[string]any{"personRef": "P-1", "residence": "HK", "effectiveOn": "2020-01-01"}, recorded, "")
	denied := func(id, name, reason string, change map[string]any) hostile {
		return hostile{id: "10-" + id, path: "/v1/users/" + people[name] + "/opt-out-requests", body: optOut(people[name], people[name], change),
			status: 200, reason: reason, events: []string{"OptOutRequested", "OptOutDenied"}}
	}
	de := "/v1/users/" + people["de"]
	invalid := func(id string, role access.Role, path string, body any) hostile {
		return hostile{id: "10-" + id, role: role, path: path, body: body, status: 400, code: "validation_failed"}
	}
	rule := func(change map[string]any) map[string]any {
		body := draft()
		maps.Copy(body, change)
		return body
	}
	rows := []hostile{
		denied("Hong Kong", "hk", "REGIME_MANDATORY", nil),
		denied("India", "in", "REGIME_MANDATORY", nil),
		denied("carried in Hong Kong", "carried", "REGIME_MANDATORY", nil),
		denied("one holder in Hong Kong", "joint", "REGIME_MANDATORY", nil),
		denied("residence unknown", "unknown", "FACTS_INCOMPLETE", nil),
		denied("seat unknown", "firm", "FACTS_INCOMPLETE", nil),
		denied("no agreement", "de", "AGREEMENT_MISSING", map[string]any{"acknowledged": false}),
		denied("for somebody else", "de", "OPT_OUT_AUTHORITY", map[string]any{"requestedBy": people["hk"]}),
		{id: "10-staff override", role: access.Operator, path: de + "/opt-out-requests", body: optOut(people["de"], people["de"], nil), status: 403, code: "role_missing"},
		invalid("override in the body", access.Frontend, de+"/opt-out-requests", optOut(people["de"], people["de"], map[string]any{"override": true})),
		invalid("rule in the body", access.Frontend, de+"/opt-out-requests", optOut(people["de"], people["de"], map[string]any{"ruleId": "DEFAULT-1"})),
		{id: "10-moved in between", path: de + "/opt-out-requests", body: func() any {
			w.acts(access.Frontend, de+"/residence", map[string]any{"residence": "HK", "effectiveOn": "2026-03-02"}, recorded, "")
			return optOut(people["de"], people["de"], nil)
		}, status: 200, reason: "REGIME_MANDATORY", events: []string{"OptOutRequested", "OptOutDenied"}},
		{id: "10-rules of the future", role: access.Auditor, method: "GET", path: "/v1/policy/rules?knownAt=2126-01-01T00:00:00Z", status: 400, code: "validation_failed"},
		{id: "10-impact of a rule in force", role: access.Auditor, method: "GET", path: "/v1/policy/impact?ruleId=HK-2FA-1", status: 404, code: "not_found"},
		{id: "10-rule by an agent", role: access.Operator, path: "/v1/policy/rules", body: draft(), status: 403, code: "role_missing"},
		{id: "10-rule by an auditor", role: access.Auditor, path: "/v1/policy/rules", body: draft(), status: 403, code: "role_missing"},
		{id: "10-rule that exists", role: access.Compliance, path: "/v1/policy/rules", body: rule(map[string]any{"ruleId": "HK-2FA-1", "cc": "HK", "tz": "Asia/Hong_Kong"}), status: 409, code: "exists"},
		{id: "10-rule nobody published", role: access.Compliance, path: "/v1/policy/rules/ZZ-1/withdrawal", body: map[string]any{"reason": "x", "effectiveOn": "2026-04-01"}, status: 404, code: "not_found"},
		invalid("house rule withdrawn", access.Compliance, "/v1/policy/rules/DEFAULT-1/withdrawal", map[string]any{"reason": "x", "effectiveOn": "2026-04-01"}),
		invalid("unknown effect", access.Compliance, "/v1/policy/rules", rule(map[string]any{"effects": []map[string]any{{"effect": "allow_everything"}}})),
		invalid("no effect", access.Compliance, "/v1/policy/rules", rule(map[string]any{"effects": []any{}})),
		invalid("unknown test", access.Compliance, "/v1/policy/rules", rule(map[string]any{"tests": []string{"nationality"}})),
		invalid("unknown zone", access.Compliance, "/v1/policy/rules", rule(map[string]any{"tz": "Europe/Atlantis"})),
		invalid("no country", access.Compliance, "/v1/policy/rules", rule(map[string]any{"cc": "ZZ"})),
		invalid("every country", access.Compliance, "/v1/policy/rules", rule(map[string]any{"cc": "*"})),
		invalid("ends before it begins", access.Compliance, "/v1/policy/rules", rule(map[string]any{"effectiveTo": "2026-03-31"})),
	}
	for name, cc := range map[string]string{
		"name": "ireland", "small letters": "hk", "digit": "H1", "three letters": "HKG", "fullwidth": "ＨＫ", "invented": "QQ", "group": "EU", "ended": "SU", "alias": "UK",
	} {
		rows = append(rows, invalid("country "+name, access.Frontend, de+"/residence", map[string]any{"residence": cc, "effectiveOn": "2026-03-02"}))
	}
	w.attack(t, people["de"], rows)
}

// Category 11: versions and idempotency.
func TestBadVersionsAndKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	residence := "/v1/users/" + w.user + "/residence"
	moved := map[string]any{"residence": "SG", "effectiveOn": "2026-03-02"}
	elsewhere := map[string]any{"residence": "DE", "effectiveOn": "2026-03-02"}
	keyed := func(id, key, path string, body any, events ...string) hostile {
		return hostile{id: "11-" + id, path: path, body: body, header: []string{headerKey, key}, status: 200, events: events}
	}
	next := draft()
	delete(next, "ruleId")
	amend := func(id string, version int) hostile {
		body := maps.Clone(next)
		body["version"] = version
		return hostile{id: "11-" + id, role: access.Compliance, path: "/v1/policy/rules/DE-2FA-1/amendments", body: body, status: 400, code: "validation_failed"}
	}
	w.acts(access.Compliance, "/v1/policy/rules", draft(), recorded, "")
	receipts := func(n int) map[string]any {
		list := make([]map[string]any, n)
		for i := range list {
			list[i] = map[string]any{"messageId": fmt.Sprintf("m-%d", i), "status": "sent"}
		}
		return map[string]any{"receipts": list}
	}
	reused := func(id, path string, body any) hostile {
		return hostile{id: "11-" + id, path: path, body: body, header: []string{headerKey, "k-1"}, status: 422, code: "idempotency_key_reused"}
	}
	w.attack(t, w.user, []hostile{
		keyed("first", "k-1", residence, moved, "ResidenceChanged"),
		keyed("same again", "k-1", residence, moved),
		reused("same key, other body", residence, elsewhere),
		keyed("other key, same body", "k-2", residence, moved, "ResidenceChanged"),
		keyed("same key, other path", "k-1", "/v1/users/"+w.user+"/seamless", map[string]any{"enabled": false}, "SeamlessDisabled"),
		{id: "11-same key, other caller", role: access.Operator, path: residence, body: elsewhere, header: []string{headerKey, "k-1"}, status: 200, events: []string{"ResidenceChanged"}},
		keyed("255 characters", strings.Repeat("k", 255), residence, moved, "ResidenceChanged"),
		{id: "11-256 characters", path: residence, body: moved, header: []string{headerKey, strings.Repeat("k", 256)}, status: 400, code: "idempotency_key_missing"},
		{id: "11-empty key", path: residence, body: moved, header: []string{headerKey, ""}, status: 400, code: "idempotency_key_missing"},
		{id: "11-key with a space", path: residence, body: moved, header: []string{headerKey, "a b"}, status: 400, code: "idempotency_key_missing"},
		amend("stale version", 1), amend("version left out", 3), amend("version of the future", 1000000), amend("negative version", -1),
		{id: "11-first version is 1", role: access.Compliance, path: "/v1/policy/rules", body: map[string]any{"ruleId": "XX-1", "version": 2}, status: 400, code: "validation_failed"},
		{id: "11-empty batch", role: access.Gateway, path: "/v1/gateways/generic/receipts", body: receipts(0), status: 400, code: "validation_failed"},
		{id: "11-101 receipts", role: access.Gateway, path: "/v1/gateways/generic/receipts", body: receipts(101), status: 400, code: "validation_failed"},
		{id: "11-10,000 receipts", role: access.Gateway, path: "/v1/gateways/generic/receipts", body: receipts(10000), status: 413, code: "body_too_large"},
		{id: "11-position of the future", role: access.Auditor, method: "GET", path: "/v1/locks", header: []string{headerMinPosition, "999999"}, status: 503, code: "projection_behind"},
		{id: "11-negative position", role: access.Auditor, method: "GET", path: "/v1/locks", header: []string{headerMinPosition, "-1"}, status: 400, code: "validation_failed"},
		{id: "11-position too large", role: access.Auditor, method: "GET", path: "/v1/locks", header: []string{headerMinPosition, "99999999999999999999"}, status: 400, code: "validation_failed"},
	})
}

// TestRepeatsOfSecretsAnswerTheFirstOutcome: what the user typed is no part of
// what makes a request the same, so a guess under a used key is no guess
// (category 11).
func TestRepeatsOfSecretsAnswerTheFirstOutcome(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	c := w.login().Challenge
	code := w.codeFor("login", c.Id)
	path := "/v1/challenges/" + c.Id + "/responses"
	w.attack(t, w.user, []hostile{
		{id: "11-wrong", path: path, body: response(other(code)), header: []string{headerKey, "guess"}, status: 200, events: []string{"ResponseRejected"}, counts: 1},
		{id: "11-right under the same key", path: path, body: response(code), header: []string{headerKey, "guess"}, status: 200},
	})
	w.respond(c.Id, code, gen.ResultAllow)
}

// Category 12: time. The server's clock alone decides; dates are dates.
func TestBadTimes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPSKC)
	w.register()
	w.enrollSMS()
	w.enrollIBKey()
	card := w.card("SN-1", w.user)
	w.project()
	residence := "/v1/users/" + w.user + "/residence"
	state := "/v1/users/" + w.user + "/state?asOf="
	read := []string{"AuditQueryPerformed"}
	var rows []hostile
	for name, date := range map[string]string{
		"year 0": "0000-01-01", "year 9999": "9999-12-31", "February 30": "2026-02-30", "month 13": "2026-13-01", "moment": "2026-03-01T00:00:00Z",
		"epoch": "1772323200", "slashes": "2026/03/01", "two digits": "26-03-01", "space": " 2026-03-1", "arabic-indic": "٢٠٢٦-٠٣-٠١", "empty": "",
	} {
		rows = append(rows,
			hostile{id: "12-residence " + name, path: residence, body: map[string]any{"residence": "SG", "effectiveOn": date}, status: 400, code: "validation_failed"},
			hostile{id: "12-dispatch " + name, role: access.Operator, path: "/v1/devices/" + card.id + "/return", body: map[string]any{"receivedOn": date, "condition": "ok"}, status: 400, code: "validation_failed"},
			hostile{id: "12-parameter " + name, role: access.Compliance, path: "/v1/policy/parameters/sms.cooldown_s", body: map[string]any{"value": 180, "effectiveFrom": date, "reason": "x"}, status: 400, code: "validation_failed"},
		)
	}
	for name, moment := range map[string]string{
		"epoch seconds": "1772323200", "epoch milliseconds": "1772323200000", "no zone": "2026-03-01T00:00:00", "leap second": "2026-06-30T23:59:60Z",
		"hour 24": "2026-03-01T24:00:00Z", "date": "2026-03-01", "year 10000": "10000-01-01T00:00:00Z", "named zone": "2026-03-01T00:00:00HKT", "offset of 25 hours": "2026-03-01T00:00:00%2B25:00",
	} {
		rows = append(rows, hostile{id: "12-state " + name, role: access.Auditor, method: "GET", path: state + moment, status: 400, code: "validation_failed"})
	}
	rows = append(rows,
		hostile{id: "12-offset +14:00 is a moment", role: access.Auditor, method: "GET", path: state + "2026-03-02T23:30:00%2B14:00", status: 200, events: read},
		hostile{id: "12-until before since", role: access.Auditor, method: "GET", path: "/v1/processes?since=2026-03-02T00:00:00Z&until=2026-03-01T00:00:00Z", status: 400, code: "validation_failed"},
		hostile{id: "12-the caller's clock", path: "/v1/authentications", body: map[string]any{
			"userId": w.user, "purpose": "login", "platform": "tws", "primaryFactor": "verified", "occurredAt": "2026-03-01T00:00:00Z"}, status: 400, code: "validation_failed"},
		hostile{id: "12-a longer life", path: "/v1/authentications", body: map[string]any{
			"userId": w.user, "purpose": "login", "platform": "tws", "primaryFactor": "verified", "expiresAt": "2036-03-01T00:00:00Z"}, status: 400, code: "validation_failed"},
		hostile{id: "12-clock backwards", role: access.Operator, path: "/dev/clock", body: map[string]any{"now": "2026-03-01T00:00:00Z"}, status: 400, code: "validation_failed"},
	)
	w.attack(t, w.user, rows)
}

// TestClaimedTimesDecideNothing: what the app says of its clock is kept in what
// it signed, and a gateway's time in the future is only what the gateway says.
func TestClaimedTimesDecideNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	sms := w.login("platform", "client_portal").Challenge
	tomorrow := w.clock.Now().AddDate(0, 0, 1)
	w.attack(t, w.user, []hostile{{id: "12-receipt of tomorrow", role: access.Gateway, path: "/v1/gateways/generic/receipts", body: map[string]any{
		"receipts": []map[string]any{{"messageId": sms.Delivery.MessageId, "status": "sent", "occurredAt": tomorrow.Format(time.RFC3339)}},
	}, status: 202, events: []string{"SMSSent"}}})
	if got := want[gen.Challenge](t, w.get(access.Frontend, "/v1/challenges/"+sms.Id), 200); got.Result != gen.ResultWaiting || got.ExpiresAt != sms.ExpiresAt {
		t.Errorf("the receipt moved the challenge: %+v", got)
	}
	w.enrollIBKey()
	c := w.login().Challenge
	text := w.document(c, map[string]any{"deviceTime": "9999-12-31T23:59:59Z"})
	path := "/v1/installations/" + w.installation + "/challenges/" + c.Id + "/decision"
	body := map[string]any{"document": text, "signature": w.sign("authledger/push/v1\n" + text)}
	w.clock.advance(3 * time.Minute)
	if a := want[gen.PushDecisionAnswer](t, w.post(access.Device, path, body), 200); a.Result != gen.ResultDeny || a.ReasonCode != "CHALLENGE_EXPIRED" {
		t.Errorf("the app's clock kept a push alive: %+v", a)
	}
}
