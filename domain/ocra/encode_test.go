package ocra

import (
	"fmt"
	"testing"
)

// TestQuestionEncodingsCounted counts the encodings of every six-digit
// question: 937,501 of a million are distinct, and all of 100000 to 999999.
func TestQuestionEncodingsCounted(t *testing.T) {
	t.Parallel()
	s, err := Parse("OCRA-1:HOTP-SHA256-8:QN06")
	if err != nil {
		t.Fatal(err)
	}
	all, drawn := map[[8]byte]bool{}, map[[8]byte]bool{}
	for n := range 1_000_000 {
		var full [questionBytes]byte
		if err := s.encodeQuestion(full[:], fmt.Sprintf("%06d", n)); err != nil {
			t.Fatal(err)
		}
		key := [8]byte(full[:8])
		if full != [questionBytes]byte(append(key[:], make([]byte, questionBytes-8)...)) {
			t.Fatalf("question %06d fills more than 8 bytes", n)
		}
		all[key] = true
		if n >= 100_000 {
			drawn[key] = true
		}
	}
	if len(all) != 937_501 || len(drawn) != 900_000 {
		t.Errorf("%d distinct encodings, %d of them from 100000 on; want 937501 and 900000", len(all), len(drawn))
	}
}
