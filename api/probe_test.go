package api

import (
	"io"
	"net/http"
	"testing"
)

func TestProbesNeedNoTokenAndTellNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ready\n"} {
		resp, err := client.Get("http://" + h.s.Endpoint().API + path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || string(b) != want {
			t.Errorf("%s: %d %q, %v", path, resp.StatusCode, b, err)
		}
	}
	for _, path := range []string{"/metrics", "/v1/health", "/healthz/", "/healthz/../v1/sites"} {
		resp, err := client.Get("http://" + h.s.Endpoint().API + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s without a token: %d", path, resp.StatusCode)
		}
	}
}
