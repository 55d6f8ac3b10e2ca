package aplomb

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// AppRoute sends what is asked for under a path prefix to an app. It is a part of the release: it goes live and comes back
// with it.
type AppRoute struct {
	// Path is the prefix: "/api" takes /api and all below it, before any file that is not hashed. "/" takes what no file of
	// the release answers.
	Path string `json:"path" toml:"path"`
	// To are the app's addresses: "127.0.0.1:3000", "app.internal:3000" or "unix:/run/shop.sock".
	To []string `json:"to" toml:"to"`
	// Health is the path that a target answers with 2xx or 3xx before it gets a visitor. "" means "/".
	Health string `json:"health,omitempty" toml:"health"`
	// StripPrefix takes Path off what the app is asked for.
	StripPrefix bool `json:"strip_prefix,omitempty" toml:"strip_prefix"`
	// Timeout bounds the wait for the first byte of an answer, in seconds. 0 means AppTimeout.
	Timeout int `json:"timeout,omitempty" toml:"timeout"`
}

// AppTimeout is how long an app may think before its answer begins, unless its route says otherwise.
const AppTimeout = 60 * time.Second

// MaxAppTimeout is the longest a route may ask for.
const MaxAppTimeout = time.Hour

// Takes reports whether the route is meant for a decoded URL path.
func (r AppRoute) Takes(path string) bool {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(r.Path, "/"))
	return ok && (rest == "" || rest[0] == '/')
}

// CheckApp refuses routes that cannot be followed, or that contradict each other. The error names the route.
func CheckApp(routes []AppRoute) error {
	seen := map[string]bool{}
	for _, r := range routes {
		if err := r.check(); err != nil {
			return fmt.Errorf("app %.80q: %w", r.Path, err)
		}
		key := strings.TrimSuffix(r.Path, "/")
		if seen[key] {
			return fmt.Errorf("app %.80q: it stands there twice", r.Path)
		}
		seen[key] = true
	}
	return nil
}

func (r AppRoute) check() error {
	if err := checkURLPath(r.Path); err != nil {
		return fmt.Errorf("path: %w", err)
	}
	if strings.HasPrefix(r.Path+"/", ReservedPrefix) {
		return fmt.Errorf("path: paths under %s belong to Aplomb", ReservedPrefix)
	}
	if r.Health != "" {
		if err := checkURLPath(r.Health); err != nil {
			return fmt.Errorf("health: %w", err)
		}
	}
	if len(r.To) == 0 {
		return fmt.Errorf(`to: name at least one address, such as "127.0.0.1:3000"`)
	}
	for i, addr := range r.To {
		if err := CheckUpstream(addr); err != nil {
			return fmt.Errorf("to: %w", err)
		}
		for _, other := range r.To[:i] {
			if other == addr {
				return fmt.Errorf("to: %.80q stands there twice", addr)
			}
		}
	}
	if r.Timeout < 0 || time.Duration(r.Timeout)*time.Second > MaxAppTimeout {
		return fmt.Errorf("timeout: want 1 to %d seconds", int(MaxAppTimeout/time.Second))
	}
	return nil
}

// checkURLPath accepts what can stand in a request line as it is.
func checkURLPath(path string) error {
	if path == "" || path[0] != '/' {
		return fmt.Errorf("%.80q does not begin with /", path)
	}
	for i := 0; i < len(path); i++ {
		if c := path[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`\"<>^{|}#?%`, c) >= 0 {
			return fmt.Errorf("%.80q: %q is not allowed", path, c)
		}
	}
	if strings.Contains(path, "//") || strings.Contains(path+"/", "/./") || strings.Contains(path+"/", "/../") {
		return fmt.Errorf("%.80q: empty, . and .. segments are not allowed", path)
	}
	return nil
}

// CheckUpstream accepts the address of an app: host:port with a port of 1 to 65535, or unix: and an absolute path.
func CheckUpstream(addr string) error {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		if !strings.HasPrefix(path, "/") || strings.ContainsRune(path, 0) || len(path) > 100 {
			return fmt.Errorf("%.80q: want unix: and an absolute path of at most 100 bytes", addr)
		}
		return nil
	}
	i := strings.LastIndexByte(addr, ':')
	if i < 0 {
		return fmt.Errorf("%.80q: want host:port or unix:/path", addr)
	}
	host, port := addr[:i], addr[i+1:]
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != port {
		return fmt.Errorf("%.80q: want a port of 1 to 65535", addr)
	}
	if bare, err := ParseHost(host); err != nil || string(bare) != strings.ToLower(host) {
		return fmt.Errorf("%.80q: want the name or address of a host before the port, IPv6 in brackets", addr)
	}
	return nil
}
