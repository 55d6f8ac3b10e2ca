package main

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"

	"aplomb"
	"aplomb/edge"
)

// certificateFiles are a pair of [[certs]] in machine.toml. Relative to the data folder.
type certificateFiles struct {
	Cert string `toml:"cert"`
	Key  string `toml:"key"`
}

const tlsExample = "aplomb up --tls-listen :443 --cert cert.pem --key key.pem, or acme = true in machine.toml"

// checkCertificates refuses settings of HTTPS that contradict each other.
func (m machineSettings) checkCertificates() error {
	named := m.ACME || m.Cert != "" || m.Key != "" || len(m.Certs) > 0
	switch {
	case len(m.ListenTLS) > 0 && !named:
		return usage("HTTPS needs a certificate and its key", "an address for TLS was named without them, and without acme = true", tlsExample)
	case (m.Cert == "") != (m.Key == ""):
		return usage("a certificate and its key are named together", "one is named without the other", tlsExample)
	case len(m.ListenTLS) == 0 && (named || m.HTTPSRedirect != nil && *m.HTTPSRedirect):
		return usage("a certificate without an address for HTTPS", "nothing would be served over HTTPS", tlsExample)
	case !m.ACME && (m.ACMEEmail != "" || m.ACMECA != "" || m.ACMECARoots != ""):
		return usage("settings of automatic certificates without acme = true", "no certificate would be asked for", "write acme = true in machine.toml")
	}
	for i, pair := range m.Certs {
		if pair.Cert == "" || pair.Key == "" {
			return usage(fmt.Sprintf("pair %d of certs has no cert or no key", i+1), "both files are needed", `write [[certs]], cert = "cert.pem" and key = "key.pem" in machine.toml`)
		}
	}
	if m.ACMECA != "" {
		if u, err := url.Parse(m.ACMECA); err != nil || u.Scheme != "https" || u.Host == "" {
			return usage(fmt.Sprintf("acme_ca = %q is not the address of an authority", m.ACMECA), "it begins with https:// and leads to its directory", `write acme_ca = "https://ca.example/directory", or leave it out for Let's Encrypt`)
		}
	}
	return nil
}

// secure tells the edge where its certificates come from. Files are relative to the data folder where machine.toml names
// them in [[certs]] or acme_ca_roots, and to the working folder where a flag does.
func (m machineSettings) secure(cfg *edge.Config, dir string) {
	inDir := func(file string) string {
		if file == "" || filepath.IsAbs(file) {
			return file
		}
		return filepath.Join(dir, file)
	}
	if m.Cert != "" {
		cfg.CertFiles = append(cfg.CertFiles, edge.CertificateFiles{Cert: m.Cert, Key: m.Key})
	}
	for _, pair := range m.Certs {
		cfg.CertFiles = append(cfg.CertFiles, edge.CertificateFiles{Cert: inDir(pair.Cert), Key: inDir(pair.Key)})
	}
	if m.ACME {
		cfg.Authority = &edge.Authority{Dir: filepath.Join(dir, "certificates"), URL: m.ACMECA, RootsFile: inDir(m.ACMECARoots), Email: m.ACMEEmail}
	}
	cfg.RedirectToHTTPS = m.HTTPSRedirect == nil || *m.HTTPSRedirect
}

// withoutHTTPS returns the settings of a machine that serves plain HTTP alone.
func (m machineSettings) withoutHTTPS() machineSettings {
	m.ListenTLS, m.Cert, m.Key, m.Certs, m.HTTPSRedirect = nil, "", "", nil, nil
	m.ACME, m.ACMEEmail, m.ACMECA, m.ACMECARoots = false, "", "", ""
	return m
}

// certificateProblems says, in a sentence each, which hosts HTTPS does not answer as it should, now or soon.
func (h *house) certificateProblems() []string {
	var out []string
	for _, st := range h.edge.Certificates() {
		if st.Problem != "" {
			out = append(out, fmt.Sprintf("HTTPS of %s: %s.", st.Host, strings.TrimSuffix(st.Problem, ".")))
		}
	}
	return out
}

// siteURL returns the address at which people on this machine, or where DNS leads here, reach a site: over HTTPS where its
// host has a certificate, or nothing else is listened on.
func siteURL(m machineSettings, bound []net.Addr, secured func(aplomb.Host) bool) func(aplomb.Site) string {
	port := func(i, usual int) string {
		if i < len(bound) {
			if tcp, ok := bound[i].(*net.TCPAddr); ok && tcp.Port != usual {
				return fmt.Sprintf(":%d", tcp.Port)
			}
		}
		return ""
	}
	return func(s aplomb.Site) string {
		if len(s.Hosts) == 0 {
			return ""
		}
		host := s.Hosts[0]
		if len(m.Listen) == 0 || len(m.ListenTLS) > 0 && secured(host) {
			return "https://" + string(host) + port(len(m.Listen), 443) + "/"
		}
		return "http://" + string(host) + port(0, 80) + "/"
	}
}
