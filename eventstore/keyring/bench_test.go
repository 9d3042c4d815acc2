package keyring_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/authledger/authledger/eventstore/keyring"
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

// A rotation over 10,000 people: the metric is keys wrapped anew per second.
func BenchmarkRotateKEK(b *testing.B) {
	k := open(b)
	const subjects = 10_000
	names := make([]string, 0, subjects)
	for i := range subjects {
		names = append(names, fmt.Sprintf("user-%d", i))
	}
	for chunk := range slices.Chunk(names, 1000) {
		if err := k.CreateKeys(ctx, chunk...); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if _, err := k.RotateKEK(ctx); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*subjects/b.Elapsed().Seconds(), "keys/s")
}

// A scan of 64 MiB for what one person's erasure looks for.
func BenchmarkScan(b *testing.B) {
	dir := b.TempDir()
	content := make([]byte, 64<<20)
	source := rand.New(rand.NewPCG(1, 2))
	for i := range content {
		content[i] = byte(source.Uint32())
	}
	if err := os.WriteFile(filepath.Join(dir, "f"), content, 0o600); err != nil {
		b.Fatal(err)
	}
	var p keyring.Patterns
	for i := range 8 {
		if err := p.Add("key", fmt.Appendf(nil, "%032d", i)); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		if report, err := keyring.Scan(ctx, dir, p, nil); err != nil || len(report.Findings) != 0 {
			b.Fatal(report, err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	k := open(b)
	key, err := k.NewSigningKey(ctx)
	if err != nil {
		b.Fatal(err)
	}
	message := []byte("ledger.example/2fa\n1000\nroot\n")
	for b.Loop() {
		if _, err := k.Sign(ctx, key.Epoch, message); err != nil {
			b.Fatal(err)
		}
	}
}
