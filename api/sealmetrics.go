package api

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/authledger/authledger/api/gen"
)

// sealMetrics reads how sealing goes whenever it is scraped.
type sealMetrics struct{ server *Server }

var (
	sealLagRecords = prometheus.NewDesc("authledger_seal_lag_records", "Records that no checkpoint covers yet.", nil, nil)
	sealLagSeconds = prometheus.NewDesc("authledger_seal_lag_seconds", "How long the oldest of them has waited.", nil, nil)
	sealSize       = prometheus.NewDesc("authledger_seal_checkpoint_size", "Records the newest checkpoint covers.", nil, nil)
	sealAge        = prometheus.NewDesc("authledger_seal_checkpoint_age_seconds", "Age of the newest checkpoint; above 90 it is silent.", nil, nil)
	sealLate       = prometheus.NewDesc("authledger_seal_late_records_total", "Records sealed since the start that came late, by at most a minute.", nil, nil)
	sealState      = prometheus.NewDesc("authledger_seal_state", "1 for the state of the sealer, else 0.", []string{"state"}, nil)
)

// Describe implements prometheus.Collector.
func (sealMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{sealLagRecords, sealLagSeconds, sealSize, sealAge, sealLate, sealState} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m sealMetrics) Collect(out chan<- prometheus.Metric) {
	st := m.server.sealing(context.Background())
	for desc, value := range map[*prometheus.Desc]float64{
		sealLagRecords: float64(st.LagRecords), sealLagSeconds: st.LagSeconds, sealSize: float64(st.Size), sealAge: st.CheckpointAgeSeconds,
	} {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value)
	}
	out <- prometheus.MustNewConstMetric(sealLate, prometheus.CounterValue, float64(st.LateRecords))
	for _, state := range []gen.SealingState{gen.SealingStateSealing, gen.SealingStateFailing, gen.SealingStateStopped} {
		value := 0.0
		if state == st.State {
			value = 1
		}
		out <- prometheus.MustNewConstMetric(sealState, prometheus.GaugeValue, value, string(state))
	}
}
