package edge

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// bytesConn is a connection whose other end has sent everything already, a few bytes at a time.
type bytesConn struct {
	net.Conn
	rest []byte
	step int
}

func (c *bytesConn) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, c.rest[:min(c.step, len(c.rest))])
	c.rest = c.rest[n:]
	return n, nil
}

// readAnswer reads one answer to its end.
func readAnswer(sent []byte, step int, method string) (answerHead, []byte, error) {
	c := &appConn{net: &bytesConn{rest: sent, step: step}, buf: new([answerHeadMost]byte)}
	var h answerHead
	if err := c.readHead(method, &h); err != nil {
		return h, nil, err
	}
	var body []byte
	for {
		part, err := c.ready()
		body = append(body, part...)
		switch {
		case err != nil:
			return h, body, err
		case len(part) > 0:
		case c.done():
			h.keep = h.keep && c.begin == c.end
			return h, body, nil
		default:
			if _, err := c.more(); err != nil {
				return h, body, err
			}
		}
	}
}

func TestAnswersThatCanBeReadInTwoWaysAreRefused(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", answerHeadMost)
	for name, sent := range map[string]string{
		"not HTTP":                     "SSH-2.0-OpenSSH\r\n\r\n",
		"HTTP/2":                       "HTTP/2 200 OK\r\n\r\n",
		"HTTP/1.2":                     "HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n",
		"lower case version":           "http/1.1 200 OK\r\n\r\n",
		"two spaces":                   "HTTP/1.1  200 OK\r\n\r\n",
		"status of two digits":         "HTTP/1.1 20 OK\r\n\r\n",
		"status of four digits":        "HTTP/1.1 2000 OK\r\n\r\n",
		"status 099":                   "HTTP/1.1 099 OK\r\n\r\n",
		"status 600":                   "HTTP/1.1 600 OK\r\n\r\n",
		"status with a sign":           "HTTP/1.1 +20 OK\r\n\r\n",
		"control in the reason":        "HTTP/1.1 200 O\x00K\r\n\r\n",
		"bare LF":                      "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
		"one bare LF":                  "HTTP/1.1 200 OK\r\nA: b\nContent-Length: 0\r\n\r\n",
		"bare CR in a value":           "HTTP/1.1 200 OK\r\nA: b\rc\r\nContent-Length: 0\r\n\r\n",
		"NUL in a value":               "HTTP/1.1 200 OK\r\nA: b\x00\r\n\r\n",
		"obs-fold":                     "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
		"obs-fold first":               "HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
		"no colon":                     "HTTP/1.1 200 OK\r\nA b\r\n\r\n",
		"no name":                      "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
		"space before the colon":       "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n",
		"name with a bracket":          "HTTP/1.1 200 OK\r\nA(b): c\r\n\r\n",
		"length and chunked":           "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"chunked and length":           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
		"two lengths":                  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
		"the same length twice":        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
		"list of lengths":              "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
		"length with a sign":           "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
		"negative length":              "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
		"length in hex":                "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello",
		"empty length":                 "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
		"length beyond 63 bits":        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"xchunked":                     "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"gzip, chunked":                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"chunked twice":                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"chunked in HTTP/1.0":          "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"chunked, identity":            "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nx",
		"body with 204":                "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
		"chunks with 204":              "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"size in 0x":                   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
		"size with a sign":             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
		"size with a space":            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
		"empty size":                   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n",
		"size beyond 63 bits":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff5\r\nhello\r\n0\r\n\r\n",
		"bare LF after a size":         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
		"bare LF in an extension":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a\nhello\r\n0\r\n\r\n",
		"bare LF after a chunk":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n",
		"chunk longer than its size":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n",
		"long extension":               "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;" + long[:1000] + "\r\nhello\r\n0\r\n\r\n",
		"trailer without a colon":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx\r\n\r\n",
		"trailers without an end":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("A: "+long[:4000]+"\r\n", 3) + "\r\n",
		"head too large":               "HTTP/1.1 200 OK\r\nA: " + long + "\r\n\r\n",
		"too many fields":              "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", answerFieldsMost+1) + "\r\n",
		"the end inside the head":      "HTTP/1.1 200 OK\r\nA: b\r\n",
		"Connection that is no option": "HTTP/1.1 200 OK\r\nConnection: a b\r\n\r\n",
	} {
		for _, step := range []int{1, 7, len(sent)} {
			if h, body, err := readAnswer([]byte(sent), step, "GET"); !errors.Is(err, errGarbage) {
				t.Errorf("%s, %d bytes at a time: %d %q, %v; want it refused", name, step, h.status, body, err)
			}
		}
	}
}

func TestAnswersThatEndEarlyAreNotWhole(t *testing.T) {
	t.Parallel()
	for _, sent := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		if _, _, err := readAnswer([]byte(sent), 3, "GET"); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: %v, want an unexpected end", sent, err)
		}
	}
}

func TestAnswersAreReadToTheirEndAndNoFurther(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method, sent, body string
		status             int
		keep               bool
	}{
		{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", 200, true},
		{"GET", "HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", "", 200, true},
		{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: Close\r\n\r\nhello", "hello", 200, false},
		{"GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", 200, false},
		{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n", "hello", 200, false},
		{"GET", "HTTP/1.1 200 OK\r\n\r\nto the end", "to the end", 200, false},
		{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5;x=\"y\"\r\nhello\r\n00006\r\n world\r\n0\r\nA: b\r\n\r\n", "hello world", 200, true},
		{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "", 200, true},
		{"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "", 200, true},
		{"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "", 304, true},
		{"GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "", 204, true},
	} {
		for _, step := range []int{1, 5, len(c.sent)} {
			h, body, err := readAnswer([]byte(c.sent), step, c.method)
			if err != nil || string(body) != c.body || h.status != c.status || step == len(c.sent) && h.keep != c.keep {
				t.Errorf("%q: %d %q keep %v, %v; want %d %q keep %v", c.sent, h.status, body, h.keep, err, c.status, c.body, c.keep)
			}
		}
	}
}

// FuzzWhatIsAcceptedOfAnAppIsReadAlikeByNetHTTP: an answer that this edge and the other reader of the language's own library
// understand differently would be a way to smuggle one.
func FuzzWhatIsAcceptedOfAnAppIsReadAlikeByNetHTTP(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: b\r\na: c\r\n\r\nhello", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: u\r\n\r\n",
		"HTTP/1.0 404 \r\n\r\nall", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nConnection: close, X-Y\r\n\r\n", "HTTP/1.1 204\r\n\r\n",
	} {
		f.Add([]byte(s), uint8(0), uint8(200))
		f.Add([]byte(s), uint8(1), uint8(1))
	}
	f.Fuzz(func(t *testing.T, sent []byte, head, step uint8) {
		method := []string{"GET", "HEAD", "POST"}[head%3]
		h, body, err := readAnswer(bytes.Clone(sent), max(1, int(step)), method)
		if err != nil {
			return
		}
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(sent)), &http.Request{Method: method})
		if err != nil {
			t.Fatalf("%q: read as %d, net/http says %v", sent, h.status, err)
		}
		theirs, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != h.status || h.status >= 200 && !bytes.Equal(theirs, body) {
			t.Fatalf("%q: read as %d %q, net/http reads %d %q, %v", sent, h.status, body, resp.StatusCode, theirs, err)
		}
		ours := http.Header{}
		for _, field := range h.fields {
			ours[field.name] = append(ours[field.name], field.value)
		}
		for _, name := range []string{"Transfer-Encoding", "Content-Length", "Trailer", "Connection"} { // net/http keeps these elsewhere
			ours.Del(name)
			resp.Header.Del(name)
		}
		if !maps.EqualFunc(ours, resp.Header, slices.Equal[[]string]) {
			t.Fatalf("%q: fields %v, net/http reads %v", sent, ours, resp.Header)
		}
		if h.keep && resp.Close {
			t.Fatalf("%q: kept open, net/http closes", sent)
		}
	})
}
