package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"aplomb"
	"aplomb/release"
)

// uploadOf is a request as a client sends it for n files.
func uploadOf(t testing.TB, n int) []byte {
	t.Helper()
	req := release.UploadRequest{Site: "shop", Hosts: []string{"shop.localhost"}, Note: "new header"}
	for i := range n {
		req.Files = append(req.Files, aplomb.File{Path: fmt.Sprintf("/assets/chunk-%05d-9f2c41aa.js", i), Digest: aplomb.Sum([]byte{byte(i), byte(i >> 8)}), Size: int64(i)})
	}
	body, err := json.Marshal(uploadBody{req, "because"})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestUploadRequestOfAHundredThousandFilesFits(t *testing.T) {
	t.Parallel()
	body := uploadOf(t, 100_000)
	if len(body) > maxUploadRequest/2 {
		t.Errorf("100,000 files of usual names take %d bytes, of %d", len(body), maxUploadRequest)
	}
	var got uploadBody
	if err := decodeStrictly(bytes.NewReader(body), &got); err != nil || len(got.Files) != 100_000 || got.Why != "because" {
		t.Errorf("decoded %d files, %q, %v", len(got.Files), got.Why, err)
	}
}

func TestUploadRequestIsReadStrictly(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"unknown field":           `{"site":"shop","files":[],"fiels":[]}`,
		"unknown field in a file": `{"files":[{"path":"/a","digest":"","size":1,"mode":"0777"}]}`,
		"more after it":           `{"site":"shop"} {"site":"other"}`,
		"cut short":               `{"site":"shop","files":[{"path":"/a"`,
		"not an object":           `["shop"]`,
		"digest too short":        `{"files":[{"path":"/a","digest":"abcd","size":1}]}`,
		"digest in capitals":      `{"files":[{"path":"/a","digest":"` + strings.Repeat("AB", 32) + `","size":1}]}`,
		"size as text":            `{"files":[{"path":"/a","size":"1"}]}`,
		"size too large":          `{"files":[{"path":"/a","size":99999999999999999999}]}`,
	} {
		var got uploadBody
		if err := decodeStrictly(strings.NewReader(body), &got); err == nil {
			t.Errorf("%s was accepted: %+v", name, got)
		}
	}
}

func FuzzUploadRequest(f *testing.F) {
	f.Add(uploadOf(f, 3))
	f.Add([]byte(`{"site":"shop","hosts":["a"],"files":[{"path":"/a","digest":"","size":1}],"settings":{"clean_urls":false}}`))
	f.Add([]byte(`{"files":[{"path":"\ud800","size":-1}],"why":"\u0000"}`))
	f.Add([]byte(`null`))
	f.Add([]byte(`{"files":null} x`))
	f.Fuzz(func(t *testing.T, in []byte) {
		var got uploadBody
		if err := decodeStrictly(bytes.NewReader(in), &got); err != nil {
			return
		}
		// What was accepted says the same when it is sent on.
		out, err := json.Marshal(got)
		if err != nil {
			t.Fatalf("accepted, but cannot be written: %v", err)
		}
		var again uploadBody
		if err := decodeStrictly(bytes.NewReader(out), &again); err != nil {
			t.Fatalf("written as %s, which is refused: %v", out, err)
		}
		if len(again.Files) != len(got.Files) || again.Site != got.Site || again.Why != got.Why {
			t.Fatalf("%s became %s", in, out)
		}
	})
}

func BenchmarkUploadRequest10000(b *testing.B) {
	body := uploadOf(b, 10_000)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		var got uploadBody
		if err := decodeStrictly(bytes.NewReader(body), &got); err != nil || len(got.Files) != 10_000 {
			b.Fatal(err)
		}
	}
}

func TestSteadyBodyEndsWithItsRequest(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	defer w.Close()
	var last time.Time
	b := &steadyBody{body: r, deadline: func(at time.Time) error {
		if last = at; at.Unix() == 1 {
			r.CloseWithError(io.ErrClosedPipe)
		}
		return nil
	}}
	failed := make(chan error)
	go func() {
		_, err := b.Read(make([]byte, 1))
		failed <- err
	}()
	b.end()
	if err := <-failed; !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Read = %v, want it to fail at once", err)
	}
	b.Read(make([]byte, 1))
	if last.Unix() != 1 {
		t.Errorf("a Read after the end set the deadline to %s", last)
	}
}
