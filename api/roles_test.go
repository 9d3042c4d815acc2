package api

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/gen"
)

func TestSpecificationValidatesAndIsEmbedded(t *testing.T) {
	t.Parallel()
	doc, err := specification()
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range doc.Components.Schemas {
		if s.Value.Type.Is("object") && (s.Value.AdditionalProperties.Has == nil || *s.Value.AdditionalProperties.Has) {
			t.Errorf("schema %s accepts unknown members", name)
		}
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.OperationID == "" || op.Summary == "" || op.Description == "" || len(op.Tags) != 1 {
				t.Errorf("%s %s lacks id, summary, description or tag", method, path)
			}
			if row, ok := rules[method+" "+pathParameter.ReplaceAllString(path, ":$1")]; ok && row.appends {
				if !slices.ContainsFunc(op.Parameters, func(p *paramRef) bool { return p.Value.Name == headerKey }) {
					t.Errorf("%s %s appends but does not name %s", method, path, headerKey)
				}
			}
		}
	}
}

// TestEveryRouteHasARule walks what echo serves: a route without a row fails,
// and so does a row without a route.
func TestEveryRouteHasARule(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	served := map[string]bool{}
	for _, r := range w.server.echo.Routes() {
		name := r.Method + " " + r.Path
		served[name] = true
		if _, ok := rules[name]; !ok {
			t.Errorf("route %s has no row in the role table", name)
		}
	}
	for name, row := range rules {
		if !served[name] {
			t.Errorf("row %s names no route", name)
		}
		if row.public == (len(row.roles) > 0) {
			t.Errorf("row %s is neither clearly public nor for roles", name)
		}
		if strings.HasPrefix(name, "POST /v1/") != row.appends {
			t.Errorf("row %s: appends = %v", name, row.appends)
		}
	}
}

var routeParameter = regexp.MustCompile(`:[A-Za-z]+`)

// example is an address of the route with well-formed ids that do not exist.
func example(route string) string {
	key := strings.Repeat("0", 26)
	return routeParameter.ReplaceAllStringFunc(route, func(name string) string {
		switch name {
		case ":userId":
			return "usr_" + key
		case ":clientId":
			return "clt_" + key
		case ":installationId":
			return "ins_" + key
		case ":eventId":
			return "evt_" + key
		case ":phoneId":
			return "phn_" + key + "_1"
		case ":verificationId":
			return "vrf_" + key + "_1"
		case ":enrollmentId":
			return "enr_" + key + "_1"
		case ":authenticationId":
			return "txn_" + key + "_1"
		case ":challengeId":
			return "chl_" + key + "_1"
		case ":authenticatorId":
			return "aut_" + key + "_1"
		case ":migrationId":
			return "mig_" + key + "_1"
		case ":recoveryId":
			return "rec_" + key + "_1"
		case ":unificationId":
			return "uni_" + key + "_1"
		case ":sharingId":
			return "shr_" + key + "_1"
		case ":holdId":
			return "hld_" + key + "_1"
		case ":deliveryId":
			return "dlv_" + key + "_1"
		case ":deviceId":
			return "dev_" + key
		case ":ruleId":
			return "HK-2FA-1"
		case ":name":
			return "sms.cooldown_s"
		case ":kind":
			return "user"
		case ":id":
			return "usr_" + key
		}
		return "validation_failed"
	})
}

// TestRoleMatrix asks every route as every role, and as nobody.
func TestRoleMatrix(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.Limits.Strangers = 1000 })
	for name, row := range rules {
		method, route, _ := strings.Cut(name, " ")
		for _, role := range append(access.Roles(), "nobody") {
			a := w.do(w.request(role, method, example(route), nil))
			want := func() int {
				switch {
				case row.public:
					return 0
				case role == "nobody":
					return http.StatusUnauthorized
				case !row.admits(role):
					return http.StatusForbidden
				}
				return 0
			}()
			refusedHere := a.status == http.StatusUnauthorized && mayAnswer401(name, role) || a.status != http.StatusUnauthorized && a.status != http.StatusForbidden
			switch {
			case want != 0 && a.status != want:
				t.Errorf("%s as %s: %d, want %d", name, role, a.status, want)
			case want == 0 && !refusedHere:
				t.Errorf("%s as %s: %d, but the table admits it", name, role, a.status)
			case a.status >= 500:
				t.Errorf("%s as %s: %d %s", name, role, a.status, a.body)
			}
		}
	}
}

// mayAnswer401 is true where being admitted is not enough: the installation
// proves itself too.
func mayAnswer401(name string, role access.Role) bool {
	return strings.HasPrefix(name, "GET /v1/installations/:installationId/c") && role == access.Device
}

func TestDevelopmentRoutesExistInDemoOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.Demo, c.Inbox, c.Clock = false, nil, nil })
	for _, r := range []struct{ method, path string }{{"GET", "/dev/inbox"}, {"GET", "/dev/clock"}, {"POST", "/dev/clock"}} {
		if a := w.do(w.request(access.Operator, r.method, r.path, nil)); a.status != http.StatusNotFound {
			t.Errorf("%s %s: %d", r.method, r.path, a.status)
		}
	}
	d := newWorld(t)
	if got := want[gen.InboxList](t, d.get(access.Frontend, "/dev/inbox"), 200); len(got.Items) != 1 || got.Items[0].Text != "123456" {
		t.Errorf("inbox: %+v", got)
	}
	next := d.clock.Now().AddDate(0, 0, 1)
	if got := want[gen.Clock](t, d.post(access.Operator, "/dev/clock", gen.Clock{Now: next}), 200); !got.Now.Equal(next) {
		t.Errorf("clock: %v, want %v", got.Now, next)
	}
	if a := d.post(access.Operator, "/dev/clock", gen.Clock{Now: next.AddDate(0, 0, -1)}); a.status != http.StatusBadRequest {
		t.Errorf("clock backwards: %d", a.status)
	}
}

// TestKeysAreRefusedAlike: whatever is wrong with a key, the answer is one and
// the same, and query parameters or other headers are no keys.
func TestKeysAreRefusedAlike(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := w.api[access.Frontend]
	if err := w.access.Revoke(t.Context(), w.ids[access.Gateway]); err != nil {
		t.Fatal(err)
	}
	for name, header := range map[string][]string{
		"none":           {},
		"other scheme":   {"Authorization", "Basic " + key},
		"key alone":      {"Authorization", key},
		"prefix only":    {"Authorization", "Bearer " + key[:19]},
		"cut":            {"Authorization", "Bearer " + key[:len(key)-1]},
		"none algorithm": {"Authorization", "Bearer eyJhbGciOiJub25lIn0.e30."},
		"long":           {"Authorization", "Bearer " + strings.Repeat("a", 4096)},
		"revoked":        {"Authorization", "Bearer " + w.api[access.Gateway]},
		"other header":   {"X-Api-Key", key, "X-User", "operator"},
	} {
		a := w.do(w.request("nobody", "GET", "/v1/meta/event-types?key="+key, nil, header...))
		if a.status != http.StatusUnauthorized || a.code(t) != "unauthenticated" || a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	two := w.request(access.Frontend, "GET", "/v1/meta/event-types", nil)
	two.Header.Add("Authorization", "Bearer "+w.api[access.Operator])
	if a := w.do(two); a.status != http.StatusUnauthorized {
		t.Errorf("two keys: %d", a.status)
	}
	w.quiet(key)
}

func TestStrangersAreLimitedByNetwork(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.Limits.Strangers = 1 })
	ask := func(address string, header ...string) int {
		r := w.request("nobody", "GET", "/v1/meta/event-types", nil, header...)
		r.RemoteAddr = address
		return w.do(r).status
	}
	for i := range 5 {
		if got := ask("[2001:db8::" + string(rune('1'+i)) + "]:1"); got != http.StatusUnauthorized {
			t.Fatalf("try %d: %d", i, got)
		}
	}
	if got := ask("[2001:db8::ffff]:1"); got != http.StatusTooManyRequests {
		t.Errorf("same network, other address: %d", got)
	}
	if got := ask("[2001:db8::ffff]:1", "X-Forwarded-For", "198.51.100.1", "X-Real-Ip", "198.51.100.1", "Forwarded", "for=198.51.100.1"); got != http.StatusTooManyRequests {
		t.Errorf("a header changed the address: %d", got)
	}
	if got := ask("198.51.100.7:1"); got != http.StatusUnauthorized {
		t.Errorf("other network: %d", got)
	}
}
