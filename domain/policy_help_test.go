package domain

import (
	"slices"
	"testing"
)

// withParameter is the policy with another value for one parameter.
func withParameter(t testing.TB, p *Policy, name string, value int64) *Policy {
	t.Helper()
	parameters := p.Parameters()
	for i := range parameters {
		if parameters[i].Name == name {
			parameters[i].Value = value
		}
	}
	return buildPolicy(t, p.Version, slices.Clone(p.Rules), parameters)
}

// withRule is the policy with one more rule.
func withRule(t testing.TB, p *Policy, r Rule) *Policy {
	t.Helper()
	return buildPolicy(t, p.Version+1, append(slices.Clone(p.Rules), r), p.Parameters())
}

func buildPolicy(t testing.TB, version uint64, rules []Rule, parameters []Parameter) *Policy {
	t.Helper()
	p, err := newPolicy(version, rules, parameters)
	if err != nil {
		t.Fatalf("build a policy: %v", err)
	}
	return p
}
