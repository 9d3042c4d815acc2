package journal

import (
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/codec"
)

// population registers users who have nothing but themselves.
func population(w *world, n int) []string {
	users := make([]string, n)
	client := codec.ClientIDOf("crowd")
	w.do(domain.RegisterClient{ClientID: client, Kind: domain.Individual, CarryingEntity: "IB-IE", CarryingCC: "IE"})
	for i := range users {
		users[i] = codec.UserIDOf(string(rune('0' + i)))
		w.do(domain.RegisterUser{UserID: users[i], ClientID: client, Role: domain.RoleOwner, Username: domain.Clear("u"), Residence: "DE"})
	}
	return users
}

// BenchmarkExecute is 64 callers with users of their own; the store costs
// nothing, so this is the journal itself: decide, seal, encode, fold.
func BenchmarkExecute(b *testing.B) {
	const callers = 64
	for name, command := range map[string]func(user string, n int) domain.Command{
		"one event": func(user string, n int) domain.Command { return domain.SetSeamless{UserID: user, Enabled: n%2 == 1} },
		"login": func(user string, _ int) domain.Command {
			return domain.StartAuthentication{UserID: user, Purpose: domain.PurposeLogin, Platform: domain.TWS, PrimaryVerified: true}
		},
	} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b)
			users := population(w, callers)
			var next, events atomic.Int64
			b.SetParallelism(callers / runtime.GOMAXPROCS(0))
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				user := users[int(next.Add(1)-1)%callers]
				for n := 0; pb.Next(); n++ {
					out, err := w.j.Execute(b.Context(), w.request(command(user, n)))
					if err != nil {
						b.Error(err)
						return
					}
					events.Add(int64(len(out.Events)))
				}
			})
			b.ReportMetric(float64(events.Load())/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(events.Load())/float64(b.N), "events/op")
		})
	}
}
