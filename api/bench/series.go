package bench

import (
	"math"
	"slices"
	"time"
)

// series is one quantity, round by round.
type series []float64

// Span is a series as it is reported.
type Span struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// span needs at least one round.
func (s series) span() Span {
	sorted := slices.Sorted(slices.Values(s))
	n := len(sorted)
	return Span{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Min: sorted[0], Max: sorted[n-1]}
}

// over is the ratio inside each round.
func (s series) over(base series) series {
	out := make(series, len(s))
	for i := range s {
		out[i] = s[i] / base[i]
	}
	return out
}

// quantile of sorted durations, in milliseconds.
func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	i := min(len(sorted)-1, int(q*float64(len(sorted))))
	return float64(sorted[i]) / float64(time.Millisecond)
}
