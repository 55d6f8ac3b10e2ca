package main

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"aplomb"
	"aplomb/edge"
	"aplomb/release"
)

// metrics counts what the edge answers and shows, when it is asked, what the sites are. It is safe for concurrent use.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	bytes    *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	known    sync.Map // answerKey → answerCounters: a look-up by labels for each request would cost more than the answer
}

type answerKey struct {
	site   aplomb.SiteName
	status int
	cause  edge.Cause
}

type answerCounters struct {
	requests, bytes prometheus.Counter
	seconds         prometheus.Observer
}

// answerSeconds are the limits between which the times of answers are counted.
var answerSeconds = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "aplomb_requests_total", Help: "Answers to visitors, by status and by whom an answer other than the one asked for is attributed to.",
		}, []string{"site", "status", "cause"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "aplomb_response_bytes_total", Help: "Bytes of bodies sent to visitors.",
		}, []string{"site"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "aplomb_request_duration_seconds", Help: "Time from the request's header to the end of its answer.", Buckets: answerSeconds,
		}, []string{"site"}),
	}
	v := thisVersion()
	build := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "aplomb_build_info", Help: "The program that runs; always 1.", ConstLabels: prometheus.Labels{"version": v.Version, "go": v.Go},
	}, func() float64 { return 1 })
	m.registry.MustRegister(m.requests, m.bytes, m.seconds, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// record counts one answer.
func (m *metrics) record(r edge.Record) {
	key := answerKey{r.Site, r.Status, r.Cause}
	found, ok := m.known.Load(key)
	if !ok {
		found, _ = m.known.LoadOrStore(key, answerCounters{
			requests: m.requests.WithLabelValues(string(r.Site), strconv.Itoa(r.Status), string(r.Cause)),
			bytes:    m.bytes.WithLabelValues(string(r.Site)),
			seconds:  m.seconds.WithLabelValues(string(r.Site)),
		})
	}
	c := found.(answerCounters)
	c.requests.Inc()
	c.bytes.Add(float64(r.Bytes))
	c.seconds.Observe(r.Took.Seconds())
}

// show lets the metrics tell of the sites too.
func (m *metrics) show(s *siteMetrics) { m.registry.MustRegister(s) }

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// siteMetrics reads what the sites are, each time it is asked.
type siteMetrics struct {
	sites func(context.Context) ([]release.SiteStatus, error)
	lost  func() int64 // records that the access log lost
	space func() (free, total int64, err error)
}

var (
	liveDesc     = prometheus.NewDesc("aplomb_live_since_seconds", "When the release became live, by release; one for each site.", []string{"site", "release"}, nil)
	degradedDesc = prometheus.NewDesc("aplomb_ledger_degraded", "1 while the site's ledger refuses to write.", []string{"site"}, nil)
	damagedDesc  = prometheus.NewDesc("aplomb_damaged_blobs", "Stored files found damaged and not served.", []string{"site"}, nil)
	rolloutsDesc = prometheus.NewDesc("aplomb_rollouts", "Rollouts on their way.", []string{"site"}, nil)
	lastActDesc  = prometheus.NewDesc("aplomb_last_act_seconds", "When visitors last saw a deploy, rollback or undo.", []string{"site", "kind"}, nil)
	lostDesc     = prometheus.NewDesc("aplomb_access_log_lost_total", "Records that the access log could not write.", nil, nil)
	freeDesc     = prometheus.NewDesc("aplomb_disk_free_bytes", "Free bytes of the data folder's disk.", nil, nil)
	sizeDesc     = prometheus.NewDesc("aplomb_disk_size_bytes", "Bytes of the data folder's disk.", nil, nil)
)

// Describe implements prometheus.Collector.
func (s *siteMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{liveDesc, degradedDesc, damagedDesc, rolloutsDesc, lastActDesc, lostDesc, freeDesc, sizeDesc} {
		ch <- d
	}
}

// scrapeTime bounds how long a scrape waits for the sites.
const scrapeTime = 5 * time.Second

// Collect implements prometheus.Collector.
func (s *siteMetrics) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	ch <- prometheus.MustNewConstMetric(lostDesc, prometheus.CounterValue, float64(s.lost()))
	if free, total, err := s.space(); err == nil {
		gauge(freeDesc, float64(free))
		gauge(sizeDesc, float64(total))
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime) // a collector is given none
	defer cancel()
	sites, err := s.sites(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(degradedDesc, err)
		return
	}
	for _, site := range sites {
		name, degraded := string(site.Site), 0.0
		if site.Degraded != "" {
			degraded = 1
		}
		gauge(degradedDesc, degraded, name)
		gauge(damagedDesc, float64(len(site.Damaged)), name)
		gauge(rolloutsDesc, float64(len(site.Rollouts)), name)
		if site.Live != "" {
			gauge(liveDesc, seconds(site.Since), name, string(site.Live))
		}
		if act := site.LastAct; act != nil {
			gauge(lastActDesc, seconds(act.At), name, string(act.Kind))
		}
	}
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func (c *call) metricsCommand() *cobra.Command {
	return newCommand(text{
		use:   "metrics",
		short: "Print the server's metrics, in the text format of Prometheus",
		long: `The same that the API answers at /metrics to whoever has a token that may read. docs/grafana.json is a dashboard that shows
them.`,
		examples: []string{"aplomb metrics", "aplomb metrics --api 127.0.0.1:9400 | grep aplomb_"},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitDenied},
		next:     "nothing",
		failed:   "No metrics",
	}, atMost(0, "no arguments"), func(cmd *cobra.Command, _ []string) error {
		s, err := c.dial()
		if err != nil {
			return err
		}
		defer s.close()
		return s.client.Metrics(cmd.Context(), c.stdout)
	})
}
