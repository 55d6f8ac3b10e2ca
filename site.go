package aplomb

import (
	"fmt"
	"strings"
	"time"
)

// SiteName names a site: 1 to 63 of a-z, 0-9 and "-", beginning and ending with a letter or digit.
type SiteName string

// ParseSiteName checks s and returns it as a name.
func ParseSiteName(s string) (SiteName, error) {
	if s == "" || len(s) > 63 {
		return "", fmt.Errorf("site name %.80q: want 1 to 63 characters", s)
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case c == '-' && i > 0 && i < len(s)-1:
		default:
			return "", fmt.Errorf("site name %q: only a-z, 0-9 and, inside, \"-\"", s)
		}
	}
	return SiteName(s), nil
}

// Host is a host name as a request's Host field names it: lower case, no port, no trailing dot.
type Host string

// ParseHost reads a Host field or a configured host, with or without a port, and returns the bare host name.
// It accepts names, IPv4 addresses and IPv6 addresses in brackets; anything else is an error.
func ParseHost(s string) (Host, error) {
	name, port := s, ""
	if strings.HasPrefix(s, "[") {
		i := strings.IndexByte(s, ']')
		if i < 0 {
			return "", fmt.Errorf("host %.80q: no closing bracket", s)
		}
		name, port = s[:i+1], s[i+1:]
		if len(name) < 4 || strings.Trim(name[1:i], "0123456789abcdefABCDEF:.") != "" {
			return "", fmt.Errorf("host %.80q: not an IPv6 address", s)
		}
	} else if i := strings.IndexByte(s, ':'); i >= 0 {
		name, port = s[:i], s[i:]
	}
	if port != "" && (port[0] != ':' || len(port) > 6 || strings.Trim(port[1:], "0123456789") != "") {
		return "", fmt.Errorf("host %.80q: bad port", s)
	}
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > 253 {
		return "", fmt.Errorf("host %.80q: want 1 to 253 characters", s)
	}
	if name[0] != '[' {
		if err := checkHostLabels(name); err != nil {
			return "", err
		}
	}
	return Host(strings.ToLower(name)), nil
}

func checkHostLabels(name string) error {
	label := 0
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case c == '.':
			if label == 0 {
				return fmt.Errorf("host %.80q: empty label", name)
			}
			label = 0
			continue
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return fmt.Errorf("host %.80q: %q is not allowed", name, c)
		}
		if label++; label > 63 {
			return fmt.Errorf("host %.80q: a label has more than 63 characters", name)
		}
	}
	return nil
}

// Site is a set of hosts served together. What stands here binds whoever deploys and is never moved by a rollback.
type Site struct {
	Name    SiteName  `json:"name"`
	Hosts   []Host    `json:"hosts"`
	Created time.Time `json:"created"`
	// RedirectTo leads visitors of other hosts of the site to one of Hosts: "www.example.com" → "example.com".
	RedirectTo map[Host]Host `json:"redirect_to,omitempty"`
	// Upstreams are the addresses of apps that a release may name: "127.0.0.1:*", "app.internal:3000", "unix:/run/*".
	// Nil means DefaultUpstreams.
	Upstreams []string `json:"upstreams,omitempty"`
	// PreviewHost is the host under whose subdomains releases are previewed, "" where that is this machine's alone.
	PreviewHost Host `json:"preview_host,omitempty"`
	// PreviewSerial counts how often all links to previews were revoked.
	PreviewSerial int `json:"preview_serial,omitempty"`
	// Offline is set while the site shows its maintenance page.
	Offline *Offline `json:"offline,omitempty"`
	// Gone are URL paths that answer 410 whatever release has them: what a person made forgotten, with a reason.
	Gone []string `json:"gone,omitempty"`
}

// Offline says since when a site shows its maintenance page, who took it offline and why.
type Offline struct {
	Since time.Time `json:"since"`
	By    string    `json:"by"`
	Why   string    `json:"why"`
	// RetryAfter is what visitors are told, in seconds.
	RetryAfter int `json:"retry_after"`
}

// DefaultUpstreams are the addresses of apps that a release may name where its site says nothing: those of this machine.
func DefaultUpstreams() []string { return []string{"127.0.0.1:*", "[::1]:*", "localhost:*", "unix:*"} }
