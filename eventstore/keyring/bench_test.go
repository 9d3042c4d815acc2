package keyring_test

import (
	"fmt"
	"sync/atomic"
	"testing"
)

func BenchmarkSeal(b *testing.B) {
	k := open(b)
	clear := []byte("+85291234567")
	seal(b, k, "user-1", event1, "phone", "x")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Seal(ctx, "user-1", event1, "phone", clear); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	k := open(b)
	sealed := seal(b, k, "user-1", event1, "phone", "+85291234567")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Open(ctx, "user-1", event1, "phone", sealed); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDigits(b *testing.B) {
	k := golden(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Digits(ctx, goldenKid, "login.sms", "chl_u-1_1", 1, 6); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSecret(b *testing.B) {
	k := open(b)
	if err := k.PutSecret(ctx, "user-1", "ocra", []byte("12345678901234567890123456789012")); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Secret(ctx, "user-1", "ocra"); err != nil {
			b.Fatal(err)
		}
	}
}

// First logins of new subjects, 64 at a time: the shared commit at work.
func BenchmarkSealNewSubjects(b *testing.B) {
	k := open(b)
	var n atomic.Int64
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := k.Seal(ctx, fmt.Sprintf("user-%d", n.Add(1)), event1, "phone", nil); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
