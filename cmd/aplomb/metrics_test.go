package main

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"aplomb"
	"aplomb/edge"
	"aplomb/release"
)

// scraped is what a scrape of metrics with one answer and one site says.
func scraped(t *testing.T) string {
	t.Helper()
	m := newMetrics()
	m.show(&siteMetrics{
		sites: func(context.Context) ([]release.SiteStatus, error) {
			return []release.SiteStatus{{
				Site: "shop", Live: "r2", Since: time.Unix(1000, 0), Degraded: "damaged", Damaged: []string{"a", "b"},
				LastAct: &aplomb.Fact{At: time.Unix(1000, 5e8), Kind: aplomb.FactLive},
			}}, nil
		},
		lost:  func() int64 { return 3 },
		space: func() (int64, int64, error) { return 10, 100, nil },
	})
	for range 2 {
		m.record(edge.Record{Site: "shop", Status: 404, Cause: edge.CauseClient, Bytes: 10, Took: 3 * time.Millisecond})
	}
	rec := httptest.NewRecorder()
	m.handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	return rec.Body.String()
}

func TestMetricsSayWhatWasAnsweredAndWhatSitesAre(t *testing.T) {
	t.Parallel()
	text := scraped(t)
	for _, line := range []string{
		`aplomb_requests_total{cause="client",site="shop",status="404"} 2`,
		`aplomb_response_bytes_total{site="shop"} 20`,
		`aplomb_request_duration_seconds_bucket{site="shop",le="0.0025"} 0`,
		`aplomb_request_duration_seconds_bucket{site="shop",le="0.005"} 2`,
		`aplomb_live_since_seconds{release="r2",site="shop"} 1000`,
		`aplomb_ledger_degraded{site="shop"} 1`,
		`aplomb_damaged_blobs{site="shop"} 2`,
		`aplomb_last_act_seconds{kind="live",site="shop"} 1000.5`,
		`aplomb_access_log_lost_total 3`,
		`aplomb_disk_free_bytes 10`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no line %s in\n%s", line, text)
		}
	}
}

// TestTheDashboardShowsMetricsThatExist promises that no panel of docs/grafana.json stays empty for a wrong name.
func TestTheDashboardShowsMetricsThatExist(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../docs/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(b, &board); err != nil {
		t.Fatal(err)
	}
	text, seen := scraped(t), 0
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			for _, name := range regexp.MustCompile(`\b(aplomb|process|go)_[a-z_]+`).FindAllString(target.Expr, -1) {
				if seen++; !strings.Contains(text, "\n"+name+"{") && !strings.Contains(text, "\n"+name+" ") {
					t.Errorf("panel %q shows %s, which is not among the metrics", p.Title, name)
				}
			}
		}
	}
	if seen < 10 {
		t.Errorf("%d names looked at: the dashboard was not read", seen)
	}
}
