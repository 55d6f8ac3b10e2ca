package edge

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestEveryAnswerIsRecordedOnce promises one record for each answer: of the site and release that answered, with the bytes
// that were sent and the cause of what was not as asked for, and nothing of the query.
func TestEveryAnswerIsRecordedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	big := strings.Repeat("x", 4<<20)
	var got []Record
	e, err := Open(w.lg, Config{StateDir: t.TempDir(), Blobs: w.blobs, PreviewKey: []byte(previewKey), Record: func(r Record) { got = append(got, r) }})
	if err != nil {
		t.Fatal(err)
	}
	one, two := w.release(1, content{"/index.html": "<p>one", "/assets/a-1.js": "1", "/big.bin": big}), w.release(2, content{"/index.html": "<p>two"})
	w.perform(e, intent(route(1, one, two)))
	tag := tagOf("<p>one")
	for _, c := range []struct {
		method, host, target string
		headers              []string
		want                 Record
	}{
		{"GET", shopHost, "/?card=4111", nil, Record{Site: "shop", Release: "r1", Path: "/", Status: 200, Bytes: 6}},
		{"HEAD", shopHost, "/", nil, Record{Site: "shop", Release: "r1", Path: "/", Status: 200}},
		{"GET", shopHost, "/", []string{"If-None-Match", tag}, Record{Site: "shop", Release: "r1", Path: "/", Status: 304}},
		{"GET", shopHost, "/big.bin", nil, Record{Site: "shop", Release: "r1", Path: "/big.bin", Status: 200, Bytes: 4 << 20}},
		{"GET", shopHost, "/big.bin", []string{"Range", "bytes=0-9"}, Record{Site: "shop", Release: "r1", Path: "/big.bin", Status: 206, Bytes: 10}},
		{"GET", shopHost, "/nope", nil, Record{Site: "shop", Release: "r1", Path: "/nope", Status: 404, Bytes: 10, Cause: CauseClient}},
		{"GET", shopHost, "/assets/gone.js", nil, Record{Site: "shop", Release: "r1", Path: "/assets/gone.js", Status: 404, Bytes: 10, Cause: CauseAssetMissing}},
		{"POST", shopHost, "/", nil, Record{Site: "shop", Release: "r1", Path: "/", Status: 405, Bytes: 18, Cause: CauseClient}},
		{"GET", "other.test", "/", nil, Record{Path: "/", Status: 421, Bytes: 18, Cause: CauseClient}},
		{"GET", "r2.preview.shop.localhost", "/", []string{"Cookie", previewCookie + "=" + (&previewed{now: time.Now()}).ticket()}, Record{Site: "shop", Release: "r2", Path: "/", Status: 200, Bytes: 6}},
	} {
		r := httptest.NewRequest(c.method, "http://"+c.host+c.target, nil)
		r.RequestURI = c.target
		for i := 0; i < len(c.headers); i += 2 {
			r.Header.Set(c.headers[i], c.headers[i+1])
		}
		got = nil
		e.ServeHTTP(httptest.NewRecorder(), r)
		if len(got) != 1 {
			t.Fatalf("%s %s%s: %d records", c.method, c.host, c.target, len(got))
		}
		have := got[0]
		if have.At.IsZero() || have.Method != c.method || have.Proto != "HTTP/1.1" || have.Site != "" && string(have.Host) != c.host {
			t.Errorf("%s %s%s: %+v", c.method, c.host, c.target, have)
		}
		have.At, have.Took, have.Method, have.Proto, have.Host = time.Time{}, 0, "", "", ""
		if have != c.want {
			t.Errorf("%s %s%s: %+v, want %+v", c.method, c.host, c.target, have, c.want)
		}
	}

	r := httptest.NewRequest("GET", "http://"+shopHost+"/big.bin", nil)
	r.RequestURI = "/big.bin"
	got = nil
	e.ServeHTTP(&hangingUp{ResponseRecorder: httptest.NewRecorder(), left: 1000}, r)
	if len(got) != 1 || got[0].Status != 499 || got[0].Cause != CauseClient || got[0].Bytes != 1000 {
		t.Errorf("a client that hung up: %+v", got)
	}
}

// hangingUp is a client that goes away after so many bytes.
type hangingUp struct {
	*httptest.ResponseRecorder
	left int
}

func (h *hangingUp) Write(b []byte) (int, error) {
	n := min(len(b), h.left)
	h.left -= n
	if n < len(b) {
		return n, errors.New("connection reset")
	}
	return n, nil
}

// TestRecordingLeavesTheShortWayOpen promises that a file goes to the connection as without a record: by its ReadFrom.
func TestRecordingLeavesTheShortWayOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e, err := Open(w.lg, Config{StateDir: t.TempDir(), Blobs: w.blobs, Record: func(Record) {}})
	if err != nil {
		t.Fatal(err)
	}
	w.perform(e, intent(route(1, w.release(1, content{"/big.bin": strings.Repeat("x", 4<<20)}))))
	conn := &readingFrom{ResponseRecorder: httptest.NewRecorder()}
	e.ServeHTTP(conn, request(http.MethodGet, "/big.bin"))
	if conn.direct != 4<<20 {
		t.Errorf("%d bytes went the short way, want all", conn.direct)
	}
}

type readingFrom struct {
	*httptest.ResponseRecorder
	direct int64
}

func (r *readingFrom) ReadFrom(from io.Reader) (int64, error) {
	n, err := new(bytes.Buffer).ReadFrom(from)
	r.direct += n
	return n, err
}
