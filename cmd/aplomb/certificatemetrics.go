package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"aplomb/edge"
)

// certificateMetrics reads how the hosts' certificates are, each time it is asked.
type certificateMetrics func() []edge.CertificateStatus

var (
	certificateEndDesc     = prometheus.NewDesc("aplomb_certificate_not_after_seconds", "When the host's certificate ends.", []string{"host"}, nil)
	certificateProblemDesc = prometheus.NewDesc("aplomb_certificate_problem", "1 while the host's certificate needs a look; status says why.", []string{"host"}, nil)
)

// Describe implements prometheus.Collector.
func (certificateMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- certificateEndDesc
	ch <- certificateProblemDesc
}

// Collect implements prometheus.Collector.
func (read certificateMetrics) Collect(ch chan<- prometheus.Metric) {
	for _, st := range read() {
		host, problem := string(st.Host), 0.0
		if st.Problem != "" {
			problem = 1
		}
		ch <- prometheus.MustNewConstMetric(certificateProblemDesc, prometheus.GaugeValue, problem, host)
		if !st.NotAfter.IsZero() {
			ch <- prometheus.MustNewConstMetric(certificateEndDesc, prometheus.GaugeValue, seconds(st.NotAfter), host)
		}
	}
}
