package replay

import (
	"errors"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func TestParsePoint(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Point{
		"2026-03-01T09:30:00Z":           AtTime(time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)),
		"2026-03-01T09:30:00.123456789Z": AtTime(time.Date(2026, 3, 1, 9, 30, 0, 123456000, time.UTC)),
		"2026-03-01T00:00:00+05:30":      AtTime(time.Date(2026, 2, 28, 18, 30, 0, 0, time.UTC)),
		"2026-03-01":                     AtTime(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)),
		"-36h":                           AtTime(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)),
		"-1h30m":                         AtTime(time.Date(2026, 3, 2, 10, 30, 0, 0, time.UTC)),
		"@1":                             AtSequence(1),
		"@9223372036854775807":           AtSequence(1<<63 - 1),
	} {
		got, err := ParsePoint(text, noon)
		if err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", text, got, err, want)
		}
		if again, err := ParsePoint(got.String(), noon.Add(time.Hour)); err != nil || again != want {
			t.Errorf("%s prints as %s, which reads as %v, %v", text, got, again, err)
		}
	}
}

func TestParsePointRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "now", "yesterday", "36h", "+36h", "-", "-36", "-x", "@", "@0", "@-1", "@+1", "@1.5", "@9223372036854775808",
		"2026-03-01T09:30:00", "2026-02-30", "2026-3-1", " 2026-03-01", "1772443800",
	} {
		p, err := ParsePoint(text, noon)
		if !errors.Is(err, ErrUsage) || !p.IsZero() || !strings.Contains(err.Error(), "want") {
			t.Errorf("%q: %v, %v; want an error that says what would do", text, p, err)
		}
	}
}

func FuzzParsePoint(f *testing.F) {
	for _, text := range []string{"2026-03-01T09:30:00Z", "2026-03-01", "-36h", "@12", "now"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePoint(text, noon)
		if (err == nil) == p.IsZero() {
			t.Fatalf("%q: point %q with error %v", text, p, err)
		}
		if err != nil {
			return
		}
		if again, err := ParsePoint(p.String(), noon); err != nil || again != p {
			t.Fatalf("%q prints as %q, which reads as %q, %v", text, p, again, err)
		}
	})
}
