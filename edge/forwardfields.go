package edge

import (
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
)

// writeRequest writes the request's head into out, before the small body that may stand there already.
func (x *exchange) writeRequest() {
	body := len(x.out)
	b := x.out
	if body > 0 {
		b = exchangeHead(body)
	}
	b = append(b, x.r.Method...)
	b = append(b, ' ')
	b = x.appendTarget(b)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, x.r.Host...)
	b = append(b, "\r\n"...)
	trusted := x.apps.trusts(x.r.RemoteAddr)
	b = appendFields(b, x.r.Header, trusted)
	b = x.appendForwarded(b, trusted)
	b = appendTrace(b, x.r.Header)
	b = append(append(append(b, "Aplomb-Release: "...), x.site.route.Live...), "\r\n"...)
	switch {
	case x.webSocket:
		b = append(b, "Connection: Upgrade\r\nUpgrade: websocket\r\n"...)
	case x.chunks:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case x.body != nil || body > 0 || mayHaveBody(x.r.Method):
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, x.r.ContentLength, 10)
		b = append(b, "\r\n"...)
	}
	b = append(b, "\r\n"...)
	x.out = append(b, x.out[:body]...)
}

// exchangeHead returns room for a head before a body.
func exchangeHead(body int) []byte { return make([]byte, 0, body+2<<10) }

// mayHaveBody reports whether an app expects to be told that there is no body.
func mayHaveBody(method string) bool {
	switch method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		return true
	}
	return false
}

// appendTarget appends what the app is asked for. It is made from the parsed path, so that nothing stands in it that a
// request line cannot have.
func (x *exchange) appendTarget(b []byte) []byte {
	u := x.r.URL
	path := u.EscapedPath()
	if x.app.strip {
		// The prefix may have been sent escaped, but has as many slashes either way.
		for range strings.Count(x.app.prefix, "/") {
			i := strings.IndexByte(path[1:], '/')
			if i < 0 {
				path = "/"
				break
			}
			path = path[i+1:]
		}
	}
	b = append(b, path...)
	if u.RawQuery != "" || u.ForceQuery {
		b = append(append(b, '?'), u.RawQuery...)
	}
	return b
}

// appendFields appends the fields that are the request's own: neither those of the connection nor those that say what only
// this edge can know.
func appendFields(b []byte, in http.Header, trusted bool) []byte {
	named := connectionNames(in["Connection"])
	for name, values := range in {
		if ownField(name, trusted) || len(named) > 0 && slices.Contains(named, name) {
			continue
		}
		if name == "Cookie" && len(values) > 1 { // as HTTP/2 may split it
			values = []string{strings.Join(values, "; ")}
		}
		for _, v := range values {
			b = append(b, name...)
			b = append(b, ": "...)
			b = append(b, v...)
			b = append(b, "\r\n"...)
		}
	}
	return b
}

// ownField reports whether a field of a request is not passed on as it is.
func ownField(name string, trusted bool) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings",
		"Proxy-Authorization", "Proxy-Authenticate", "Proxy", "Host", "Content-Length", "Expect",
		"Forwarded", "X-Real-Ip", "Aplomb-Release", "Traceparent":
		return true
	case "Tracestate":
		return false
	}
	if strings.HasPrefix(name, "X-Forwarded-") {
		return !trusted || name == "X-Forwarded-For" || name == "X-Forwarded-Proto" || name == "X-Forwarded-Host"
	}
	// Many apps see Aplomb_release and Aplomb-Release as the same field.
	return strings.IndexByte(name, '_') >= 0
}

// connectionNames returns the fields that Connection names, as net/http keys them.
func connectionNames(values []string) (named []string) {
	for _, v := range values {
		for option := range strings.SplitSeq(v, ",") {
			option = textproto.TrimString(option)
			if option == "" || strings.EqualFold(option, "close") || strings.EqualFold(option, "keep-alive") {
				continue
			}
			named = append(named, textproto.CanonicalMIMEHeaderKey(option))
		}
	}
	return named
}

// appendForwarded says whose request it is: what the client says of that counts only where it is a trusted proxy.
func (x *exchange) appendForwarded(b []byte, trusted bool) []byte {
	in, proto, host := x.r.Header, "http", x.r.Host
	if x.r.TLS != nil {
		proto = "https"
	}
	b = append(b, "X-Forwarded-For: "...)
	if trusted {
		for _, v := range in["X-Forwarded-For"] {
			b = append(append(b, v...), ", "...)
		}
		if v := in.Get("X-Forwarded-Proto"); v == "http" || v == "https" {
			proto = v
		}
		if v := in.Get("X-Forwarded-Host"); v != "" {
			host = v
		}
	}
	b = append(b, peerAddr(x.r.RemoteAddr)...)
	b = append(append(b, "\r\nX-Forwarded-Proto: "...), proto...)
	b = append(append(b, "\r\nX-Forwarded-Host: "...), host...)
	return append(b, "\r\n"...)
}

// peerAddr is the address of the other end, without its port.
func peerAddr(remote string) string {
	if host, _, err := net.SplitHostPort(remote); err == nil {
		return host
	}
	return "unknown"
}

// trusts reports whether a peer is a proxy whose word on its clients counts.
func (ts *targets) trusts(remote string) bool {
	if len(ts.trusted) == 0 {
		return false
	}
	addr, err := netip.ParseAddr(peerAddr(remote))
	addr = addr.WithZone("").Unmap()
	return err == nil && slices.ContainsFunc(ts.trusted, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// appendTrace passes on the trace a request belongs to, or begins one. A begun one says that it is recorded, as an app that
// got none would decide by itself.
func appendTrace(b []byte, in http.Header) []byte {
	b = append(b, "Traceparent: "...)
	if v := in["Traceparent"]; len(v) == 1 && isTrace(v[0]) {
		return append(append(b, v[0]...), "\r\n"...)
	}
	b = append(b, "00-"...)
	b = appendHex(b, rand.Uint64()|1)
	b = appendHex(b, rand.Uint64())
	b = append(b, '-')
	b = appendHex(b, rand.Uint64()|1)
	return append(b, "-01\r\n"...)
}

func appendHex(b []byte, n uint64) []byte {
	const digits = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, digits[n>>shift&15])
	}
	return b
}

// isTrace accepts what W3C Trace Context, version 00, writes.
func isTrace(v string) bool {
	if len(v) != 55 || v[:3] != "00-" || v[35] != '-' || v[52] != '-' {
		return false
	}
	hex := v[3:35] + v[36:52] + v[53:]
	return strings.Trim(hex, "0123456789abcdef") == "" && strings.Trim(v[3:35], "0") != "" && strings.Trim(v[36:52], "0") != ""
}

// copyFields puts the answer's own fields into h.
func (x *exchange) copyFields(h http.Header) {
	fields := x.head.fields
	values := make([]string, len(fields))
	for i, f := range fields {
		switch f.name {
		case "Connection", "Proxy-Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Proxy-Authenticate":
			continue
		}
		if len(x.head.named) > 0 && slices.Contains(x.head.named, f.name) && f.name != "Content-Length" {
			continue
		}
		if before := h[f.name]; before != nil {
			h[f.name] = append(before, f.value)
			continue
		}
		values[i] = f.value
		h[f.name] = values[i : i+1 : i+1]
	}
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // not guessed
	}
}

// asksForWebSocket reports whether a request wants to become a WebSocket, the only protocol that is switched to.
func asksForWebSocket(r *http.Request) bool {
	up := r.Header["Upgrade"]
	if len(up) == 0 || r.Method != http.MethodGet || r.ProtoMajor != 1 || r.ContentLength != 0 {
		return false
	}
	return len(up) == 1 && strings.EqualFold(up[0], "websocket") && slices.Contains(connectionNames(r.Header["Connection"]), "Upgrade")
}
