package edge

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"aplomb"
)

// FuzzARequestReachesTheAppAsOneRequest: whatever net/http lets in, what is written to the app is one request with the same
// method, path and body, and what it says of its visitor is the edge's word.
func FuzzARequestReachesTheAppAsOneRequest(f *testing.F) {
	for _, s := range []string{
		"GET /api/x?y=%zz HTTP/1.1\r\nHost: shop.test\r\nX-Forwarded-For: 6.6.6.6\r\nConnection: X-Forwarded-For\r\n\r\n",
		"POST /api HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\n\r\nhello",
		"POST /api%2F.%2e/ HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\nx-forwarded-for: a\r\nX_Forwarded_For: b\r\n\r\n0\r\n\r\n",
		"GET /api HTTP/1.1\r\nHost: shop.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
		"GET http://shop.test/api?a b HTTP/1.0\r\nAplomb-Release: r9\r\nCookie: a\r\nCookie: b\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(sent)))
		if err != nil || checkApp(r).status != 0 {
			return
		}
		if _, err := aplomb.ParseHost(r.Host); err != nil {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || len(body) > 1000 {
			return
		}
		r.RemoteAddr, r.ContentLength = "9.9.9.9:1", int64(len(body))
		x := &exchange{r: r, app: &appRoute{}, apps: &targets{}, site: &site{route: aplomb.Route{Live: "r1"}}, out: body, webSocket: asksForWebSocket(r)}
		path := r.URL.EscapedPath()
		x.writeRequest()
		in := bufio.NewReader(bytes.NewReader(x.out))
		got, err := http.ReadRequest(in)
		if err != nil {
			t.Fatalf("%q became %q: %v", sent, x.out, err)
		}
		passed, err := io.ReadAll(got.Body)
		if err != nil || !bytes.Equal(passed, body) || in.Buffered() > 0 {
			t.Fatalf("%q became %q: body %q, want %q, and %d bytes after it", sent, x.out, passed, body, in.Buffered())
		}
		if got.Method != r.Method || got.Host != r.Host || got.URL.EscapedPath() != path || got.URL.RawQuery != r.URL.RawQuery {
			t.Fatalf("%q became %s %s %s", sent, got.Method, got.Host, got.RequestURI)
		}
		for name, want := range map[string]string{"X-Forwarded-For": "9.9.9.9", "X-Forwarded-Proto": "http", "Aplomb-Release": "r1", "Te": "", "Trailer": ""} {
			if have := strings.Join(got.Header[name], "|"); have != want {
				t.Fatalf("%q became %q: %s is %q", sent, x.out, name, have)
			}
		}
		for name := range got.Header {
			if strings.Contains(name, "_") {
				t.Fatalf("%q became %q", sent, x.out)
			}
		}
	})
}
