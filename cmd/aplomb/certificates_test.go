package main

import (
	"net"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"aplomb"
	"aplomb/edge"
)

func TestMetricsSayWhenCertificatesEnd(t *testing.T) {
	t.Parallel()
	m := newMetrics()
	m.registry.MustRegister(certificateMetrics(func() []edge.CertificateStatus {
		return []edge.CertificateStatus{{Host: "shop.test", NotAfter: time.Unix(2000, 0)}, {Host: "new.test", Problem: "no certificate yet"}}
	}))
	rec := httptest.NewRecorder()
	m.handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range []string{
		`aplomb_certificate_not_after_seconds{host="shop.test"} 2000`, `aplomb_certificate_problem{host="shop.test"} 0`, `aplomb_certificate_problem{host="new.test"} 1`,
	} {
		if !strings.Contains(rec.Body.String(), line+"\n") {
			t.Errorf("no line %s in\n%s", line, rec.Body)
		}
	}
	if strings.Contains(rec.Body.String(), `not_after_seconds{host="new.test"}`) {
		t.Error("a host without a certificate has an end of one")
	}
}

func TestSiteURLLeadsToHTTPSWhereItAnswers(t *testing.T) {
	t.Parallel()
	at := func(ports ...int) (out []net.Addr) {
		for _, p := range ports {
			out = append(out, &net.TCPAddr{Port: p})
		}
		return out
	}
	both := machineSettings{Listen: []string{":80"}, ListenTLS: []string{":443"}}
	for _, c := range []struct {
		name    string
		m       machineSettings
		bound   []net.Addr
		secured bool
		want    string
	}{
		{"plain only", machineSettings{Listen: []string{":80"}}, at(80), false, "http://shop.test/"},
		{"plain only, elsewhere", machineSettings{Listen: []string{":8080"}}, at(8080), false, "http://shop.test:8080/"},
		{"HTTPS only", machineSettings{ListenTLS: []string{":8443"}}, at(8443), false, "https://shop.test:8443/"},
		{"both, with a certificate", both, at(80, 443), true, "https://shop.test/"},
		{"both, without one yet", both, at(80, 443), false, "http://shop.test/"},
		{"both, elsewhere", both, at(8080, 8443), true, "https://shop.test:8443/"},
	} {
		got := siteURL(c.m, c.bound, func(h aplomb.Host) bool { return c.secured && h == "shop.test" })(aplomb.Site{Hosts: []aplomb.Host{"shop.test", "www.shop.test"}})
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestMachineSettingsTellTheEdgeOfCertificates(t *testing.T) {
	t.Parallel()
	no := false
	m := machineSettings{Cert: "own.pem", Key: "own.key", Certs: []certificateFiles{{"a.pem", "/abs/a.key"}}, ACME: true, ACMEEmail: "ops@shop.test", ACMECA: "https://ca.test/", ACMECARoots: "ca.pem", HTTPSRedirect: &no}
	var cfg edge.Config
	m.secure(&cfg, "/D")
	if len(cfg.CertFiles) != 2 || cfg.CertFiles[0] != (edge.CertificateFiles{Cert: "own.pem", Key: "own.key"}) || cfg.CertFiles[1] != (edge.CertificateFiles{Cert: "/D/a.pem", Key: "/abs/a.key"}) {
		t.Errorf("files %+v", cfg.CertFiles)
	}
	want := edge.Authority{Dir: filepath.Join("/D", "certificates"), URL: "https://ca.test/", RootsFile: "/D/ca.pem", Email: "ops@shop.test"}
	if cfg.Authority == nil || *cfg.Authority != want || cfg.RedirectToHTTPS {
		t.Errorf("authority %+v, redirect %v; want %+v and none", cfg.Authority, cfg.RedirectToHTTPS, want)
	}
	cfg = edge.Config{}
	m.withoutHTTPS().secure(&cfg, "/D")
	if cfg.Authority != nil || cfg.CertFiles != nil || len(m.withoutHTTPS().ListenTLS) > 0 {
		t.Errorf("without HTTPS: %+v", cfg)
	}
}
