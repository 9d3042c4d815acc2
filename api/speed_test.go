package api

import (
	"testing"

	"github.com/authledger/authledger/api/access"
)

// BenchmarkRefusedResponse is the whole chain around the cheapest write: keys,
// limits, strict JSON, validation, handler, journal, answer.
func BenchmarkRefusedResponse(b *testing.B) {
	w := newWorld(b, func(c *Config) { c.Limits.PerSecond, c.Limits.Burst = 1<<30, 1<<30 })
	w.register()
	w.enrollSMS()
	c := w.login().Challenge
	b.ReportAllocs()
	for b.Loop() {
		if a := w.post(access.Frontend, "/v1/challenges/"+c.Id+"/responses", map[string]any{"response": "x"}); a.status != 200 {
			b.Fatalf("%d %s", a.status, a.body)
		}
	}
}
