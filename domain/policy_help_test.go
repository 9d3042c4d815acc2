package domain

import "testing"

// withParameter is the policy with another value for one parameter.
func withParameter(t testing.TB, p *Policy, name string, value int64) *Policy {
	t.Helper()
	file := policyFile{Version: p.Version, Rules: append([]Rule(nil), p.Rules...), Parameters: p.Parameters()}
	for i := range file.Parameters {
		if file.Parameters[i].Name == name {
			file.Parameters[i].Value = value
		}
	}
	return buildPolicy(t, file)
}

// withRule is the policy with one more rule.
func withRule(t testing.TB, p *Policy, r Rule) *Policy {
	t.Helper()
	return buildPolicy(t, policyFile{Version: p.Version + 1, Rules: append(append([]Rule(nil), p.Rules...), r), Parameters: p.Parameters()})
}

func buildPolicy(t testing.TB, file policyFile) *Policy {
	t.Helper()
	p, err := newPolicy(file)
	if err != nil {
		t.Fatalf("build a policy: %v", err)
	}
	return p
}
