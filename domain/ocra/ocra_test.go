package ocra_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/authledger/authledger/domain/ocra"
)

func parse(t testing.TB, text string) ocra.Suite {
	t.Helper()
	s, err := ocra.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func compute(t testing.TB, s ocra.Suite, in ocra.Input) string {
	t.Helper()
	r, err := s.Compute([]byte(k32), in)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestParseReadsEveryPart(t *testing.T) {
	t.Parallel()
	s := parse(t, "OCRA-1:HOTP-SHA512-10:C-QH40-PSHA256-S128-T48H")
	if s.Digits() != 10 || !s.UsesCounter() || s.QuestionLength() != 40 || s.PINHashSize() != 32 ||
		s.SessionSize() != 128 || !s.UsesTime() || s.Step() != 48*time.Hour {
		t.Errorf("parsed %+v", s)
	}
	bare := parse(t, "OCRA-1:HOTP-SHA1-0:QA64")
	if bare.Digits() != 0 || bare.UsesCounter() || bare.PINHashSize() != 0 || bare.SessionSize() != 0 || bare.UsesTime() {
		t.Errorf("parsed %+v", bare)
	}
	for _, text := range []string{
		"OCRA-1:HOTP-SHA1-4:QN04", "OCRA-1:HOTP-SHA1-9:QN64-T1S", "OCRA-1:HOTP-SHA256-8:QN08-T59S",
		"OCRA-1:HOTP-SHA256-8:QN08-T59M", "OCRA-1:HOTP-SHA256-8:QN08-T1H", "OCRA-1:HOTP-SHA256-8:QN08-S064",
		"OCRA-1:HOTP-SHA256-8:QN08-S256", "OCRA-1:HOTP-SHA256-8:QN08-PSHA512-S512",
	} {
		if got := parse(t, text).String(); got != text {
			t.Errorf("String() = %q, want %q", got, text)
		}
	}
}

// badSuites are the rejected suites of public test suites and our own.
var badSuites = []string{
	"", ":", "::", "OCRA-1", "OCRA-1:HOTP-SHA256-8", "OCRA-1::QA08", "OCRA-1:HOTP-SHA256-8:", "OCRA-1:HOTP-SHA256-8:QN08:",
	"OCRA-2:HOTP-SHA256-8:QN08", "OCRA-1 :HOTP-SHA256-8:QN08", "ocra-1:hotp-sha256-8:qn08", "OCRA-1:HOTP-sha256-8:QN08",
	"OCRA-1:TOTP-SHA256-8:QN08", "OCRA-1:HOTP-SHA384-8:QN08", "OCRA-1:HOTP-SHA256:QN08", "OCRA-1:HOTP-SHA256-8-8:QN08",
	"OCRA-1:HOTP-SHA1-1:QN08", "OCRA-1:HOTP-SHA1-3:QN08", "OCRA-1:HOTP-SHA1-11:QN08", "OCRA-1:HOTP-SHA1-08:QN08",
	"OCRA-1:HOTP-SHA1-00:QN08", "OCRA-1:HOTP-SHA1-:QN08", "OCRA-1:HOTP-SHA1-+8:QN08", "OCRA-1:HOTP-SHA1--8:QN08",
	"OCRA-1:HOTP-SHA1-100:QN08",
	"OCRA-1:HOTP-SHA256-8:C", "OCRA-1:HOTP-SHA256-8:C-", "OCRA-1:HOTP-SHA256-8:C-C-QN08", "OCRA-1:HOTP-SHA256-8:QN08-C",
	"OCRA-1:HOTP-SHA256-8:QX08", "OCRA-1:HOTP-SHA256-8:Q N08", "OCRA-1:HOTP-SHA256-8:QN03", "OCRA-1:HOTP-SHA256-8:QN65",
	"OCRA-1:HOTP-SHA256-8:QN8", "OCRA-1:HOTP-SHA256-8:QN008", "OCRA-1:HOTP-SHA256-8:Q", "OCRA-1:HOTP-SHA256-8:qn08",
	"OCRA-1:HOTP-SHA256-8:QN08-", "OCRA-1:HOTP-SHA256-8:-QN08", "OCRA-1:HOTP-SHA256-8:QN08-QN08",
	"OCRA-1:HOTP-SHA256-8:QN08--T1M", "OCRA-1:HOTP-SHA256-8:QN08-T1M-T1M", "OCRA-1:HOTP-SHA256-8:QN08-T1M-PSHA1",
	"OCRA-1:HOTP-SHA256-8:QN08-S064-PSHA1", "OCRA-1:HOTP-SHA256-8:QN08-T1M-S064", "OCRA-1:HOTP-SHA256-8:QN08-PSHA1-PSHA1",
	"OCRA-1:HOTP-SHA256-8:QN08-P", "OCRA-1:HOTP-SHA256-8:QN08-PSHA384", "OCRA-1:HOTP-SHA256-8:QN08-PMD5",
	"OCRA-1:HOTP-SHA256-8:QN08-S", "OCRA-1:HOTP-SHA256-8:QN08-S64", "OCRA-1:HOTP-SHA256-8:QN08-S000", "OCRA-1:HOTP-SHA256-8:QN08-S513",
	"OCRA-1:HOTP-SHA256-8:QN08-T", "OCRA-1:HOTP-SHA256-8:QN08-T1", "OCRA-1:HOTP-SHA256-8:QN08-TM", "OCRA-1:HOTP-SHA256-8:QN08-T0S",
	"OCRA-1:HOTP-SHA256-8:QN08-T0M", "OCRA-1:HOTP-SHA256-8:QN08-T0H", "OCRA-1:HOTP-SHA256-8:QN08-T01M", "OCRA-1:HOTP-SHA256-8:QN08-T60S",
	"OCRA-1:HOTP-SHA256-8:QN08-T60M", "OCRA-1:HOTP-SHA256-8:QN08-T49H", "OCRA-1:HOTP-SHA256-8:QN08-T1D", "OCRA-1:HOTP-SHA256-8:QN08-T100S",
	"OCRA-1:HOTP-SHA256-8:QN0;", "OCRA-1:HOTP-SHA256-8:QN0A", "OCRA-1:HOTP-SHA256-8:QN08-T;S", "OCRA-1:HOTP-SHA256-8:QN08-T/S",
	"OCRA-1:HOTP-SHA256-8:QN08\x00", "OCRA-1:HOTP-SHA256-8:QN08 ", "OCRA-1:HOTP-SHA256-8:QN٠٨",
	"OCRA-1:HOTP-SHA256-8:QN08-" + strings.Repeat("T1M-", 100),
}

func TestParseRejects(t *testing.T) {
	t.Parallel()
	for _, text := range badSuites {
		s, err := ocra.Parse(text)
		if !errors.Is(err, ocra.ErrSuite) || s != (ocra.Suite{}) {
			t.Errorf("Parse(%q) = %+v, %v; want ErrSuite", text, s, err)
		}
		if err != nil && len(err.Error()) < len(ocra.ErrSuite.Error())+8 {
			t.Errorf("Parse(%q): error %q gives no reason", text, err)
		}
	}
}

// TestQuestionCollision shows RFC 6287's encoding of numbers: n and 16n are
// one question, and the recommended range is free of it.
func TestQuestionCollision(t *testing.T) {
	t.Parallel()
	s := parse(t, "OCRA-1:HOTP-SHA256-8:QN06")
	for _, q := range []string{"000001", "000016", "000256", "004096", "065536"} {
		if got := compute(t, s, ocra.Input{Question: q}); got != "88640486" {
			t.Errorf("question %s: got %s, want 88640486", q, got)
		}
	}
}

func TestMutualQuestionIsTheConcatenation(t *testing.T) {
	t.Parallel()
	short, long := parse(t, "OCRA-1:HOTP-SHA256-8:QA08"), ocra.Input{Question: "CLI22220SRV11110"}
	if _, err := short.Compute([]byte(k32), long); !errors.Is(err, ocra.ErrInput) {
		t.Errorf("one question of 16 characters under QA08: %v, want ErrInput", err)
	}
	split := compute(t, short, ocra.Input{Question: "CLI22220", Peer: "SRV11110"})
	if split != "28247970" { // RFC 6287 C.2
		t.Errorf("got %s, want 28247970", split)
	}
}

func TestHexQuestionMatchesTheSameNumber(t *testing.T) {
	t.Parallel()
	h := parse(t, "OCRA-1:HOTP-SHA256-8:QH08")
	lower, upper := compute(t, h, ocra.Input{Question: "153158e"}), compute(t, h, ocra.Input{Question: "153158E"})
	if lower != upper {
		t.Errorf("hexadecimal questions differ by case: %s, %s", lower, upper)
	}
	if left := compute(t, h, ocra.Input{Question: "0153158e"}); left == lower {
		t.Error("an odd question was padded on the left")
	}
	if right := compute(t, h, ocra.Input{Question: "153158e0"}); right != lower {
		t.Error("an odd question was not padded on the right")
	}
}

func TestNoTruncationGivesTheHMAC(t *testing.T) {
	t.Parallel()
	s := parse(t, "OCRA-1:HOTP-SHA256-0:QA08-S064")
	mac := hmac.New(sha256.New, []byte(k32))
	mac.Write([]byte("OCRA-1:HOTP-SHA256-0:QA08-S064\x00question"))
	mac.Write(make([]byte, 120))
	mac.Write(append(make([]byte, 61), "abc"...))
	in := ocra.Input{Question: "question", Session: []byte("abc")}
	want := hex.EncodeToString(mac.Sum(nil))
	if got := compute(t, s, in); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if m, err := ocra.Verify(s, []byte(k32), in, want, ocra.Window{}); err != nil || !m.OK {
		t.Errorf("verify: %+v, %v", m, err)
	}
	if _, err := ocra.Verify(s, []byte(k32), in, strings.ToUpper(want), ocra.Window{}); !errors.Is(err, ocra.ErrResponse) {
		t.Errorf("upper-case response: %v, want ErrResponse", err)
	}
}

func TestTruncateDigits(t *testing.T) {
	t.Parallel()
	mac := bytes.Repeat([]byte{0xff}, 20) // offset 15, number 0x7fffffff = 2147483647
	for digits, want := range map[int]string{4: "3647", 6: "483647", 9: "147483647", 10: "2147483647", 0: strings.Repeat("ff", 20)} {
		if got := ocra.Truncate(mac, digits); got != want {
			t.Errorf("%d digits: got %s, want %s", digits, got, want)
		}
	}
	if got := ocra.Truncate(make([]byte, 64), 10); got != "0000000000" {
		t.Errorf("zero MAC: got %s", got)
	}
	low := append([]byte{0x80, 1, 2, 3}, make([]byte, 16)...) // the sign bit is masked
	if got := ocra.Truncate(low, 8); got != "00066051" {
		t.Errorf("got %s, want 00066051", got)
	}
	for _, bad := range []func(){
		func() { ocra.Truncate(mac, 3) }, func() { ocra.Truncate(mac, 11) }, func() { ocra.Truncate(mac, -1) },
		func() { ocra.Truncate(mac[:19], 6) }, func() { ocra.Truncate(nil, 0) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			bad()
		}()
	}
}

func TestComputeRejects(t *testing.T) {
	t.Parallel()
	good := ocra.Input{Question: "123456"}
	for _, c := range []struct {
		name, suite, key string
		in               ocra.Input
	}{
		{"short key", "OCRA-1:HOTP-SHA256-8:QN06", k32[:15], good},
		{"no key", "OCRA-1:HOTP-SHA256-8:QN06", "", good},
		{"no question", "OCRA-1:HOTP-SHA256-8:QN06", k32, ocra.Input{}},
		{"long question", "OCRA-1:HOTP-SHA256-8:QN06", k32, ocra.Input{Question: "1234567"}},
		{"long peer", "OCRA-1:HOTP-SHA256-8:QN06", k32, ocra.Input{Question: "1", Peer: "1234567"}},
		{"letters in a number", "OCRA-1:HOTP-SHA256-8:QN06", k32, ocra.Input{Question: "12a456"}},
		{"sign in a number", "OCRA-1:HOTP-SHA256-8:QN06", k32, ocra.Input{Question: "-12345"}},
		{"underscore in a number", "OCRA-1:HOTP-SHA256-8:QN06", k32, ocra.Input{Question: "12_345"}},
		{"foreign digits", "OCRA-1:HOTP-SHA256-8:QN06", k32, ocra.Input{Question: "١٢٣"}},
		{"not hexadecimal", "OCRA-1:HOTP-SHA256-8:QH06", k32, ocra.Input{Question: "12g456"}},
		{"space in text", "OCRA-1:HOTP-SHA256-8:QA06", k32, ocra.Input{Question: "12 456"}},
		{"missing PIN hash", "OCRA-1:HOTP-SHA256-8:QN06-PSHA256", k32, good},
		{"PIN hash of another size", "OCRA-1:HOTP-SHA256-8:QN06-PSHA256", k32, ocra.Input{Question: "123456", PINHash: make([]byte, 20)}},
		{"PIN hash that would be ignored", "OCRA-1:HOTP-SHA256-8:QN06", k32, ocra.Input{Question: "123456", PINHash: make([]byte, 32)}},
		{"long session", "OCRA-1:HOTP-SHA256-8:QN06-S064", k32, ocra.Input{Question: "123456", Session: make([]byte, 65)}},
		{"session that would be ignored", "OCRA-1:HOTP-SHA256-8:QN06", k32, ocra.Input{Question: "123456", Session: []byte{1}}},
	} {
		s := parse(t, c.suite)
		if r, err := s.Compute([]byte(c.key), c.in); !errors.Is(err, ocra.ErrInput) || r != "" {
			t.Errorf("%s: got %q, %v; want ErrInput", c.name, r, err)
		}
		if m, err := ocra.Verify(s, []byte(c.key), c.in, "12345678", ocra.Window{}); !errors.Is(err, ocra.ErrInput) || m.OK {
			t.Errorf("%s: verify gave %+v, %v; want ErrInput", c.name, m, err)
		}
	}
	if _, err := (ocra.Suite{}).Compute([]byte(k32), good); !errors.Is(err, ocra.ErrInput) {
		t.Errorf("zero suite: %v, want ErrInput", err)
	}
	if err := (ocra.Suite{}).CheckResponse(""); !errors.Is(err, ocra.ErrResponse) {
		t.Errorf("zero suite accepts a response: %v", err)
	}
}

func TestComputeAcceptsTheLimits(t *testing.T) {
	t.Parallel()
	s := parse(t, "OCRA-1:HOTP-SHA256-8:QA10-S064")
	in := ocra.Input{Question: "0189AMZamz", Peer: "azAZ09zaZA", Session: make([]byte, 64)}
	if r, err := s.Compute([]byte(k32[:16]), in); err != nil || s.CheckResponse(r) != nil {
		t.Errorf("got %q, %v", r, err)
	}
	for _, q := range []string{"/", ":", "@", "[", "`", "{", "_", "é"} { // neighbours of the accepted ranges
		if _, err := s.Compute([]byte(k32), ocra.Input{Question: q}); !errors.Is(err, ocra.ErrInput) {
			t.Errorf("question %q: %v, want ErrInput", q, err)
		}
	}
}

func TestEveryInputChangesTheResponse(t *testing.T) {
	t.Parallel()
	s := parse(t, "OCRA-1:HOTP-SHA256-0:C-QN06-PSHA256-S064-T1M")
	base := ocra.Input{Counter: 1, Question: "123456", PINHash: pin256(), Session: []byte("s"), Time: 9}
	seen := map[string]string{compute(t, s, base): "base"}
	for name, change := range map[string]func(*ocra.Input){
		"counter":  func(in *ocra.Input) { in.Counter = 1 << 56 },
		"question": func(in *ocra.Input) { in.Question = "123457" },
		"peer":     func(in *ocra.Input) { in.Peer = "1" },
		"pin":      func(in *ocra.Input) { in.PINHash = make([]byte, 32) },
		"session":  func(in *ocra.Input) { in.Session = []byte("t") },
		"time":     func(in *ocra.Input) { in.Time = 10 },
	} {
		in := base
		change(&in)
		r := compute(t, s, in)
		if other, ok := seen[r]; ok {
			t.Errorf("%s and %s give the same response", name, other)
		}
		seen[r] = name
	}
}

func TestTimeStep(t *testing.T) {
	t.Parallel()
	minute, hour, none := parse(t, "OCRA-1:HOTP-SHA256-8:QN06-T1M"), parse(t, "OCRA-1:HOTP-SHA256-8:QN06-T2H"), parse(t, "OCRA-1:HOTP-SHA256-8:QN06")
	at := time.Date(2008, time.March, 25, 12, 6, 59, 999, time.UTC) // RFC 6287 Appendix C
	if got := minute.TimeStep(at); got != rfcTime {
		t.Errorf("got %#x, want %#x", got, rfcTime)
	}
	if got := minute.TimeStep(at.Add(time.Second)); got != rfcTime+1 {
		t.Errorf("a second later: got %#x", got)
	}
	if got := hour.TimeStep(time.Unix(7200, 0)); got != 1 {
		t.Errorf("two hours: got %d", got)
	}
	if got := none.TimeStep(at); got != 0 {
		t.Errorf("no time: got %d", got)
	}
	if got := minute.TimeStep(time.Unix(-60, 0)); got != 0 {
		t.Errorf("before 1970: got %d", got)
	}
}

func TestVerifyWindow(t *testing.T) {
	t.Parallel()
	type try struct {
		name  string
		suite string
		at    ocra.Input // what the device used
		in    ocra.Input // what the verifier expects
		w     ocra.Window
		want  ocra.Match
	}
	const timed, counted, both = "OCRA-1:HOTP-SHA256-8:QN06-T1M", "OCRA-1:HOTP-SHA256-8:C-QN06", "OCRA-1:HOTP-SHA256-8:C-QN06-T1M"
	q := "314159"
	tm := func(n uint64) ocra.Input { return ocra.Input{Question: q, Time: n} }
	ct := func(n uint64) ocra.Input { return ocra.Input{Question: q, Counter: n} }
	for _, c := range []try{
		{"exact step", timed, tm(100), tm(100), ocra.Window{}, ocra.Match{OK: true}},
		{"step outside no window", timed, tm(101), tm(100), ocra.Window{}, ocra.Match{}},
		{"two steps behind", timed, tm(98), tm(100), ocra.Window{Steps: 2}, ocra.Match{OK: true, StepOffset: -2}},
		{"two steps ahead", timed, tm(102), tm(100), ocra.Window{Steps: 2}, ocra.Match{OK: true, StepOffset: 2}},
		{"three steps behind", timed, tm(97), tm(100), ocra.Window{Steps: 2}, ocra.Match{}},
		{"three steps ahead", timed, tm(103), tm(100), ocra.Window{Steps: 2}, ocra.Match{}},
		{"window before step zero", timed, tm(0), tm(1), ocra.Window{Steps: 2}, ocra.Match{OK: true, StepOffset: -1}},
		{"window does not wrap below zero", timed, tm(math.MaxUint64), tm(0), ocra.Window{Steps: 2}, ocra.Match{}},
		{"window does not wrap above", timed, tm(0), tm(math.MaxUint64), ocra.Window{Steps: 2}, ocra.Match{}},
		{"last step", timed, tm(math.MaxUint64), tm(math.MaxUint64 - 1), ocra.Window{Steps: 2}, ocra.Match{OK: true, StepOffset: 1}},
		{"look-ahead means nothing to a clock", timed, tm(101), tm(100), ocra.Window{LookAhead: 10}, ocra.Match{}},
		{"exact counter", counted, ct(7), ct(7), ocra.Window{LookAhead: 10}, ocra.Match{OK: true}},
		{"last counter of the look-ahead", counted, ct(17), ct(7), ocra.Window{LookAhead: 10}, ocra.Match{OK: true, CounterOffset: 10}},
		{"counter beyond the look-ahead", counted, ct(18), ct(7), ocra.Window{LookAhead: 10}, ocra.Match{}},
		{"counter never goes back", counted, ct(6), ct(7), ocra.Window{LookAhead: 10, Steps: 5}, ocra.Match{}},
		{"counter does not wrap", counted, ct(0), ct(math.MaxUint64), ocra.Window{LookAhead: 10}, ocra.Match{}},
		{"last counter", counted, ct(math.MaxUint64), ct(math.MaxUint64 - 3), ocra.Window{LookAhead: 10}, ocra.Match{OK: true, CounterOffset: 3}},
		{"clock and counter both off", both, ocra.Input{Question: q, Counter: 9, Time: 49}, ocra.Input{Question: q, Counter: 7, Time: 50},
			ocra.Window{Steps: 1, LookAhead: 2}, ocra.Match{OK: true, StepOffset: -1, CounterOffset: 2}},
		{"one of both too far", both, ocra.Input{Question: q, Counter: 10, Time: 49}, ocra.Input{Question: q, Counter: 7, Time: 50},
			ocra.Window{Steps: 1, LookAhead: 2}, ocra.Match{}},
	} {
		s := parse(t, c.suite)
		got, err := ocra.Verify(s, []byte(k32), c.in, compute(t, s, c.at), c.w)
		if err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v; want %+v", c.name, got, err, c.want)
		}
	}
}

// TestVerifyPrefersTheNearest uses four digits, where two steps of one window
// often share a response.
func TestVerifyPrefersTheNearest(t *testing.T) {
	t.Parallel()
	s, tried := parse(t, "OCRA-1:HOTP-SHA256-4:QN06-T1S"), 0
	for q := 100000; q < 101000; q++ {
		in := ocra.Input{Question: fmt.Sprint(q), Time: 1000}
		first := map[string]int{}
		for _, d := range []int{0, -1, 1, -2, 2, -3, 3, -4, 4} {
			at := in
			at.Time = uint64(1000 + d)
			r := compute(t, s, at)
			if nearest, ok := first[r]; ok {
				tried++
				if m, err := ocra.Verify(s, []byte(k32), in, r, ocra.Window{Steps: 4}); err != nil || m != (ocra.Match{OK: true, StepOffset: nearest}) {
					t.Errorf("question %d: got %+v, %v; want offset %d", q, m, err, nearest)
				}
				continue
			}
			first[r] = d
		}
	}
	if tried == 0 {
		t.Fatal("no two steps shared a response; the test shows nothing")
	}
}

func TestVerifyRejects(t *testing.T) {
	t.Parallel()
	s, in := parse(t, "OCRA-1:HOTP-SHA256-8:C-QN06-T1M"), ocra.Input{Question: "123456", Time: 5}
	for _, r := range []string{"", "1234567", "123456789", "1234567a", "1234567 ", "+1234567", "١٢٣٤", "12345678\x00"} {
		m, err := ocra.Verify(s, []byte(k32), in, r, ocra.Window{})
		if !errors.Is(err, ocra.ErrResponse) || m.OK {
			t.Errorf("response %q: got %+v, %v; want ErrResponse", r, m, err)
		}
		if err != nil && r != "" && strings.Contains(err.Error(), r) {
			t.Errorf("error %q contains the response", err)
		}
	}
	for _, w := range []ocra.Window{{Steps: -1}, {LookAhead: -1}, {Steps: 500}, {LookAhead: 1000}, {Steps: 16, LookAhead: 31}, {Steps: math.MaxInt}, {LookAhead: math.MaxInt}} {
		if m, err := ocra.Verify(s, []byte(k32), in, "12345678", w); !errors.Is(err, ocra.ErrWindow) || m.OK {
			t.Errorf("window %+v: got %+v, %v; want ErrWindow", w, m, err)
		}
	}
	if _, err := ocra.Verify(s, []byte(k32), in, "12345678", ocra.Window{Steps: 12, LookAhead: 39}); err != nil {
		t.Errorf("a window of 1000 candidates: %v", err)
	}
}
