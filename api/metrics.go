package api

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are the interface's own. Labels come from closed sets only.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	problems *prometheus.CounterVec
	orphans  prometheus.Counter
	inFlight prometheus.Gauge
}

func newMetrics(r *prometheus.Registry) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authledger_http_requests_total", Help: "Requests answered, by method, route pattern and status.",
		}, []string{"method", "route", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "authledger_http_request_seconds", Help: "Time from request to answer, long polls included.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"route"}),
		problems: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authledger_http_problems_total", Help: "Problem documents answered, by code.",
		}, []string{"code"}),
		orphans: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "authledger_receipt_orphans_total", Help: "Receipts for messages nobody knows.",
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "authledger_http_requests_in_flight", Help: "Requests being answered, long polls included.",
		}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.problems, m.orphans, m.inFlight} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// MetricsHandler serves the registry without asking for a key: for a listener
// that only the operator's network reaches. On the public listener /metrics
// needs an operator's key.
func (s *Server) MetricsHandler() http.Handler {
	return promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{})
}
