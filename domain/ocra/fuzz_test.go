package ocra_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/authledger/authledger/domain/ocra"
)

// spell writes a suite from what Parse understood. It cannot tell the hash
// functions apart except by the text, so they are taken from it.
func spell(s ocra.Suite) string {
	parts := strings.Split(s.String(), ":")
	function := strings.Split(parts[1], "-")
	var b strings.Builder
	fmt.Fprintf(&b, "OCRA-1:HOTP-%s-%d:", function[1], s.Digits())
	if s.UsesCounter() {
		b.WriteString("C-")
	}
	q := strings.Index(parts[2], "Q")
	fmt.Fprintf(&b, "Q%c%02d", parts[2][q+1], s.QuestionLength())
	if n := s.PINHashSize(); n > 0 {
		b.WriteString(map[int]string{20: "-PSHA1", 32: "-PSHA256", 64: "-PSHA512"}[n])
	}
	if n := s.SessionSize(); n > 0 {
		fmt.Fprintf(&b, "-S%03d", n)
	}
	if s.UsesTime() {
		unit := parts[2][len(parts[2])-1]
		fmt.Fprintf(&b, "-T%d%c", s.Step()/map[byte]time.Duration{'S': time.Second, 'M': time.Minute, 'H': time.Hour}[unit], unit)
	}
	return b.String()
}

func FuzzParse(f *testing.F) {
	for _, v := range append(rfc6287(f), own()...) {
		f.Add(v.suite)
	}
	for _, text := range badSuites {
		f.Add(text)
	}
	f.Add("OCRA-1:HOTP-SHA512-10:C-QH64-PSHA512-S512-T48H")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ocra.Parse(text)
		if err != nil {
			if !errors.Is(err, ocra.ErrSuite) || s != (ocra.Suite{}) {
				t.Errorf("Parse(%q) = %+v, %v", text, s, err)
			}
			return
		}
		if s.String() != text || spell(s) != text {
			t.Errorf("%q was understood as %q", text, spell(s))
		}
	})
}

func FuzzVerify(f *testing.F) {
	f.Add("OCRA-1:HOTP-SHA256-8:QN06-T1M", []byte(k32), "123456", "", []byte(nil), []byte(nil), uint64(0), uint64(rfcTime), 2, 0, "36997148")
	f.Add("OCRA-1:HOTP-SHA256-8:C-QN06", []byte(k32), "999999", "", []byte(nil), []byte(nil), uint64(7), uint64(0), 0, 10, "45025218")
	f.Add("OCRA-1:HOTP-SHA512-8:QA08-PSHA1", []byte(k64), "SRV11110", "CLI22220", pin1(f), []byte(nil), uint64(0), uint64(0), 0, 0, "18806276")
	f.Add("OCRA-1:HOTP-SHA1-0:QH64-S512", []byte(k20), "abcdef0123", "F", []byte(nil), []byte("session"), uint64(0), uint64(0), 0, 0, strings.Repeat("0", 40))
	f.Add("OCRA-1:HOTP-SHA256-10:C-QN64-T59S", []byte(k32), "0", "0", []byte(nil), []byte(nil), ^uint64(0), ^uint64(0), 3, 3, "2147483647")
	f.Add("OCRA-1:HOTP-SHA256-4:QN04", []byte("short"), "", "", []byte(nil), []byte(nil), uint64(0), uint64(0), -1, -1, "")
	f.Fuzz(func(t *testing.T, text string, key []byte, question, peer string, pin, session []byte, counter, step uint64, back, ahead int, response string) {
		s, err := ocra.Parse(text)
		if err != nil {
			return
		}
		in := ocra.Input{Counter: counter, Question: question, Peer: peer, PINHash: pin, Session: session, Time: step}
		w := ocra.Window{Steps: back, LookAhead: ahead}
		m, err := ocra.Verify(s, key, in, response, w)
		if err != nil {
			if m != (ocra.Match{}) {
				t.Errorf("error %v with %+v", err, m)
			}
			return
		}
		if m.OK {
			at := in
			at.Time += uint64(m.StepOffset)
			at.Counter += uint64(m.CounterOffset)
			if r, err := s.Compute(key, at); err != nil || r != response {
				t.Errorf("matched at %+v, where the response is %q, %v", m, r, err)
			}
		}
		right, err := s.Compute(key, in)
		if err != nil {
			t.Fatalf("verified but not computed: %v", err)
		}
		if m, err := ocra.Verify(s, key, in, right, w); err != nil || m != (ocra.Match{OK: true}) {
			t.Errorf("own response: %+v, %v", m, err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	in := ocra.Input{Question: "314159", Time: rfcTime}
	for _, c := range []struct {
		name, suite string
		w           ocra.Window
	}{
		{"exact", "OCRA-1:HOTP-SHA256-8:QN06-T1M", ocra.Window{}},
		{"two-steps-either-side", "OCRA-1:HOTP-SHA256-8:QN06-T1M", ocra.Window{Steps: 2}},
		{"look-ahead-ten", "OCRA-1:HOTP-SHA256-8:C-QN06", ocra.Window{LookAhead: 10}},
	} {
		b.Run(c.name, func(b *testing.B) {
			s, key := parse(b, c.suite), []byte(k32)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ocra.Verify(s, key, in, "00000000", c.w); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
