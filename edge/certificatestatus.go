package edge

import (
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"aplomb"
)

// soon is how long before its end a certificate that nobody replaced is worth a word: a sixth of its life, at most that.
const soon = 21 * 24 * time.Hour

// Certificates tells of the certificate of every host that is served, in order of their names. Nil where nothing is served
// over TLS.
func (e *Edge) Certificates() []CertificateStatus { return e.certs.statuses(time.Now()) }

// Secured reports whether HTTPS answers for a host, with a certificate that is good now.
func (e *Edge) Secured(host aplomb.Host) bool { return e.certs.secured(host, time.Now()) }

func (c *certificates) statuses(now time.Time) []CertificateStatus {
	if c.ports.secure == 0 {
		return nil
	}
	hosts := c.hosts()
	slices.Sort(hosts)
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]CertificateStatus, 0, len(hosts))
	for _, host := range hosts {
		out = append(out, c.status(host, now))
	}
	return out
}

func (c *certificates) status(host aplomb.Host, now time.Time) CertificateStatus {
	st := CertificateStatus{Host: host}
	if o := c.ownOf(host); o != nil {
		st.describe(o.cert)
		st.Problem = joinProblems(validity(o.cert, now), o.problem)
		return st
	}
	m := c.managed[host]
	if m == nil {
		if !isLocal(host) {
			st.Problem = "no certificate is for this host, and none can be had automatically"
		}
		if c.authority != nil && c.authority.may(host) {
			st.Automatic, st.Problem = true, "no certificate yet"
		}
		for _, o := range c.own {
			st.Problem = joinProblems(st.Problem, o.problem)
		}
		return st
	}
	st.Automatic = true
	if m.cert == nil {
		st.Problem = joinProblems("no certificate yet", m.problem)
		return st
	}
	st.describe(m.cert)
	if m.problem != "" {
		st.Problem = fmt.Sprintf("not renewed, %d attempts failed", m.failures)
		if m.failures == 1 {
			st.Problem = "not renewed, an attempt failed"
		}
	}
	st.Problem = joinProblems(validity(m.cert, now), st.Problem, m.problem)
	return st
}

// isLocal reports whether a host is this machine as it calls itself, which nobody else asks for.
func isLocal(host aplomb.Host) bool {
	name := strings.Trim(string(host), "[]")
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || net.ParseIP(name) != nil
}

func (st *CertificateStatus) describe(cert *tls.Certificate) {
	st.Issuer, st.NotBefore, st.NotAfter = issuerOf(cert), cert.Leaf.NotBefore, cert.Leaf.NotAfter
}

// validity says what is wrong with a certificate at a moment, "" where nothing is.
func validity(cert *tls.Certificate, now time.Time) string {
	leaf := cert.Leaf
	left := leaf.NotAfter.Sub(now)
	switch {
	case now.Before(leaf.NotBefore):
		return fmt.Sprintf("it is good from %s on: is this machine's clock right?", leaf.NotBefore.UTC().Format(time.RFC3339))
	case left <= 0:
		return "it ended at " + leaf.NotAfter.UTC().Format(time.RFC3339)
	case left < min(leaf.NotAfter.Sub(leaf.NotBefore)/6, soon):
		return "it ends at " + leaf.NotAfter.UTC().Format(time.RFC3339)
	}
	return ""
}

func joinProblems(all ...string) string {
	return strings.Join(slices.DeleteFunc(all, func(s string) bool { return s == "" }), ": ")
}

// secured reports whether a handshake for the host ends well.
func (c *certificates) secured(host aplomb.Host, now time.Time) bool {
	if c.ports.secure == 0 {
		return false
	}
	for _, cert := range c.served.Load().choices(strings.Trim(string(host), "[]")) {
		if !now.Before(cert.Leaf.NotBefore) && now.Before(cert.Leaf.NotAfter) {
			return true
		}
	}
	return false
}
