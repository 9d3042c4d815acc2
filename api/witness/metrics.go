package witness

import (
	"maps"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics shows a collector's status to Prometheus. Witnesses are named by the
// policy, so the labels are a closed set.
type metrics struct {
	c *Collector

	age, size, fork, failures, requests, quorum, quorumAge *prometheus.Desc
}

// Metrics is the collector's state as metrics.
func (c *Collector) Metrics() prometheus.Collector {
	of := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("authledger_"+name, help, labels, nil)
	}
	return &metrics{
		c:         c,
		age:       of("witness_cosigned_age_seconds", "Time since a witness last cosigned; absent when it never did.", "witness"),
		size:      of("witness_cosigned_size", "Size a witness last cosigned.", "witness"),
		fork:      of("witness_fork", "1 when a witness says that the log shows another history than it cosigned.", "witness"),
		failures:  of("witness_failures", "Requests to a witness that failed in a row.", "witness"),
		requests:  of("witness_requests_total", "Requests to witnesses by outcome: cosigned, refused, unreachable, fork.", "witness", "outcome"),
		quorum:    of("witness_quorum_size", "Size of the newest checkpoint that has all cosignatures the policy asks for."),
		quorumAge: of("witness_quorum_age_seconds", "Time since a checkpoint got all cosignatures the policy asks for, or since the start when none did."),
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.age, m.size, m.fork, m.failures, m.requests, m.quorum, m.quorumAge} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	s := m.c.Status()
	for _, w := range s.Witnesses {
		if !w.SignedAt.IsZero() {
			gauge(m.age, w.Age.Seconds(), w.Name)
		}
		forked := 0.0
		if w.Fork != "" {
			forked = 1
		}
		gauge(m.size, float64(w.Size), w.Name)
		gauge(m.fork, forked, w.Name)
		gauge(m.failures, float64(w.Failures), w.Name)
	}
	gauge(m.quorum, float64(s.QuorumSize))
	gauge(m.quorumAge, s.QuorumAge.Seconds())
	for of, n := range m.c.counts() {
		out <- prometheus.MustNewConstMetric(m.requests, prometheus.CounterValue, float64(n), of[0], of[1])
	}
}

// counts are the requests by witness and outcome.
func (c *Collector) counts() map[[2]string]uint {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.outcomes)
}
