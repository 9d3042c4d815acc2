package api

import (
	"math"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
)

// Limits bound what one caller may use. Zero fields take the default.
type Limits struct {
	PerSecond    int           // requests per caller and second, sustained; 20,000
	Burst        int           // requests at once; 40,000
	InFlight     int           // requests in flight per caller, long polls not counted; 100
	Polls        int           // long polls waiting per caller; 10000
	Strangers    int           // requests without a valid key per network and second; 10, burst five times that
	WriteTimeout time.Duration // of an answer, without the wait of a long poll; 30 s
}

func (l Limits) withDefaults() Limits {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	set(&l.PerSecond, 20_000)
	set(&l.Burst, 40_000)
	set(&l.InFlight, 100)
	set(&l.Polls, 10000)
	set(&l.Strangers, 10)
	if l.WriteTimeout == 0 {
		l.WriteTimeout = 30 * time.Second
	}
	return l
}

// buckets is a token bucket per name. It is safe for concurrent use.
type buckets struct {
	perSecond, burst float64
	now              func() time.Time

	mu   sync.Mutex
	held map[string]bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

// bucketLimit bounds memory against many names; when it is reached the full
// buckets, which say nothing, are dropped first.
const bucketLimit = 65536

func newBuckets(perSecond, burst int, now func() time.Time) *buckets {
	return &buckets{perSecond: float64(perSecond), burst: float64(burst), now: now, held: map[string]bucket{}}
}

// take uses a token. left is what remains; wait is the seconds to the next
// token when there was none.
func (b *buckets) take(name string) (left, wait int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.filled(name)
	if k.tokens < 1 {
		return 0, b.until(k)
	}
	k.tokens--
	if _, ok := b.held[name]; !ok && len(b.held) >= bucketLimit {
		b.sweep()
	}
	b.held[name] = k
	return int(k.tokens), 0
}

// empty is the seconds to the next token, 0 when there is one; it takes none.
func (b *buckets) empty(name string) (wait int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if k := b.filled(name); k.tokens < 1 {
		return b.until(k)
	}
	return 0
}

func (b *buckets) filled(name string) bucket {
	now := b.now()
	k, ok := b.held[name]
	if !ok {
		return bucket{tokens: b.burst, at: now}
	}
	k.tokens = math.Min(b.burst, k.tokens+math.Max(0, now.Sub(k.at).Seconds())*b.perSecond)
	k.at = now
	return k
}

func (b *buckets) until(k bucket) int {
	return max(1, int(math.Ceil((1-k.tokens)/b.perSecond)))
}

func (b *buckets) sweep() {
	for name := range b.held {
		if b.filled(name).tokens >= b.burst {
			delete(b.held, name)
		}
	}
	if len(b.held) >= bucketLimit {
		clear(b.held) // forgetting limits is better than forgetting to answer
	}
}

// gauges count what is in flight by caller. Safe for concurrent use.
type gauges struct {
	mu sync.Mutex
	n  map[string]int
}

func (g *gauges) enter(name string, limit int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n[name] >= limit {
		return false
	}
	if g.n == nil {
		g.n = map[string]int{}
	}
	g.n[name]++
	return true
}

func (g *gauges) leave(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n[name]--; g.n[name] == 0 {
		delete(g.n, name)
	}
}

// limit applies the caller's quota and its cap on requests in flight.
func (s *Server) limit(next echo.HandlerFunc) echo.HandlerFunc {
	policy := `"caller";q=` + strconv.Itoa(s.limits.Burst) + `;w=` + strconv.Itoa(max(1, s.limits.Burst/s.limits.PerSecond))
	return func(c echo.Context) error {
		k := callOf(c.Request().Context())
		if k.client.ID == "" {
			return next(c)
		}
		left, wait := s.callers.take(k.client.ID)
		h := c.Response().Header()
		h.Set("RateLimit-Policy", policy)
		h.Set("RateLimit", `"caller";r=`+strconv.Itoa(left)+`;t=`+strconv.Itoa(max(1, wait)))
		if wait > 0 {
			return &problem{code: "rate_limited", retryAfter: wait}
		}
		gauge, most := &s.flying, s.limits.InFlight
		if c.Path() == routePoll && c.QueryParam("wait") != "" {
			gauge, most = &s.polling, s.limits.Polls
		}
		if !gauge.enter(k.client.ID, most) {
			return &problem{code: "rate_limited", retryAfter: 1}
		}
		defer gauge.leave(k.client.ID)
		return next(c)
	}
}

// network is the part of an address that one subscriber holds: /64 of IPv6.
func network(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil || a.Unmap().Is4() {
		return a.Unmap().String()
	}
	p, err := a.Prefix(64)
	if err != nil {
		return address
	}
	return p.String()
}
