package edge

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"time"
)

const (
	// chunkLineMost bounds a line between chunks, trailerMost all fields after the last one.
	chunkLineMost = 256
	trailerMost   = 8 << 10
)

// appConn is one connection to an app. Whoever took it from its target owns it, apart from the list.
type appConn struct {
	net net.Conn
	raw syscall.RawConn // nil where it has none
	// buf holds what was read and not yet used: buf[begin:end]. It is there only while a request is under way.
	buf        *[answerHeadMost]byte
	begin, end int
	// body of the answer that is being read
	framing framing
	left    int64 // of the whole body, or of the chunk
	inChunk bool
	read    bool // a byte has come since the request was sent

	since time.Time // of idleness
	// guarded by the target's mu
	prev, next *appConn
}

func newAppConn(c net.Conn) *appConn {
	a := &appConn{net: c}
	if s, ok := c.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			a.raw = raw
		}
	}
	return a
}

// quiet reports whether an idle connection is open and has sent nothing: a byte that no request asked for would be taken
// for the next answer.
func (c *appConn) quiet() bool {
	if c.raw == nil {
		return true
	}
	quiet := false
	err := c.raw.Read(func(fd uintptr) bool {
		var one [1]byte
		_, err := syscall.Read(int(fd), one[:])
		quiet = errors.Is(err, syscall.EAGAIN)
		return true
	})
	return err == nil && quiet
}

// fill reads more into the buffer. It fails with io.EOF only where nothing came.
func (c *appConn) fill() error {
	if c.begin == c.end {
		c.begin, c.end = 0, 0
	} else if c.end == len(c.buf) {
		if c.begin == 0 {
			return garbage("more than %d bytes where a line or a head must end", len(c.buf))
		}
		c.end = copy(c.buf[:], c.buf[c.begin:c.end])
		c.begin = 0
	}
	n, err := c.net.Read(c.buf[c.end:])
	if n > 0 {
		c.read = true
		c.end += n
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// readHead reads the head of one answer, interim ones included.
func (c *appConn) readHead(method string, h *answerHead) error {
	looked := 0
	for {
		if n := headEnd(c.buf[c.begin:c.end], looked); n > 0 {
			text := string(c.buf[c.begin : c.begin+n])
			c.begin += n
			if err := parseHead(text, method, h); err != nil {
				return err
			}
			c.framing, c.left, c.inChunk = h.framing, h.length, false
			return nil
		}
		looked = c.end - c.begin
		if looked > 0 && !mayBeginAnswer(c.buf[c.begin:c.end]) {
			return garbage("it begins with %.20q", c.buf[c.begin:c.end])
		}
		if err := c.fill(); err != nil {
			if errors.Is(err, io.EOF) && looked > 0 {
				return garbage("it ends inside the head")
			}
			return err
		}
	}
}

// mayBeginAnswer ends early what would otherwise be read up to the size of a head.
func mayBeginAnswer(b []byte) bool {
	const begins = "HTTP/1."
	n := min(len(b), len(begins))
	return string(b[:n]) == begins[:n]
}

// done reports whether the whole body has been used.
func (c *appConn) done() bool {
	return c.framing == bodyNone || c.framing == bodyLength && c.left == 0
}

// ready returns a part of the body that can be had without waiting; none where it has to be waited for, or is at its end.
func (c *appConn) ready() ([]byte, error) {
	switch c.framing {
	case bodyLength:
		return c.take(), nil
	case bodyToClose:
		c.left = int64(c.end - c.begin)
		return c.take(), nil
	case bodyChunked:
		return c.readyChunk()
	}
	return nil, nil
}

// take uses up to left bytes of the buffer.
func (c *appConn) take() []byte {
	n := int(min(c.left, int64(c.end-c.begin)))
	part := c.buf[c.begin : c.begin+n]
	c.begin += n
	c.left -= int64(n)
	return part
}

func (c *appConn) readyChunk() ([]byte, error) {
	for {
		if c.inChunk && c.left > 0 {
			return c.take(), nil
		}
		if c.inChunk { // the line end after its bytes
			if c.end-c.begin < 2 {
				return nil, nil
			}
			if c.buf[c.begin] != '\r' || c.buf[c.begin+1] != '\n' {
				return nil, garbage("a chunk is longer than it says")
			}
			c.begin += 2
			c.inChunk = false
		}
		line, ok, err := c.line(chunkLineMost)
		if !ok {
			return nil, err
		}
		if c.left, err = parseChunkSize(line); err != nil {
			return nil, err
		}
		if c.left == 0 {
			c.framing, c.left = bodyTrailer, trailerMost
			return nil, c.trailer()
		}
		c.inChunk = true
	}
}

// bodyTrailer is the part of a chunked body behind its last chunk.
const bodyTrailer framing = 255

// trailer reads the fields after the last chunk, as far as they are there. They are checked, and not passed on.
func (c *appConn) trailer() error {
	for {
		line, ok, err := c.line(trailerMost)
		if !ok {
			return err
		}
		if len(line) == 0 {
			c.framing = bodyNone
			return nil
		}
		if c.left -= int64(len(line)); c.left < 0 {
			return garbage("more than %d bytes of trailers", trailerMost)
		}
		if _, _, err := parseField(string(line)); err != nil {
			return err
		}
	}
}

// line uses one line of the buffer, if its end is there.
func (c *appConn) line(most int) (line []byte, ok bool, err error) {
	b := c.buf[c.begin:c.end]
	i := bytes.IndexByte(b, '\n')
	switch {
	case i < 0 && len(b) <= most:
		return nil, false, nil
	case i < 1 || i > most || b[i-1] != '\r':
		return nil, false, garbage("a line of a chunked body")
	}
	c.begin += i + 1
	return b[:i-1], true, nil
}

// parseChunkSize reads the size of a chunk and passes over its extensions.
func parseChunkSize(line []byte) (int64, error) {
	n, i := int64(0), 0
	for ; i < len(line); i++ {
		v, ok := hexValue(line[i])
		if !ok {
			break
		}
		n = n<<4 | int64(v)
	}
	if i == 0 || i > 15 || i < len(line) && line[i] != ';' {
		return 0, garbage("chunk size %.20q", line)
	}
	for ; i < len(line); i++ {
		if !fieldByte(line[i]) {
			return 0, garbage("chunk size %.20q", line)
		}
	}
	return n, nil
}

func hexValue(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// more waits for more of the body. It reports false at the body's end.
func (c *appConn) more() (bool, error) {
	err := c.fill()
	switch {
	case err == nil && c.framing == bodyTrailer:
		return true, c.trailer()
	case err == nil:
		return true, nil
	case errors.Is(err, io.EOF) && c.framing == bodyToClose:
		c.framing = bodyNone
		return false, nil
	case errors.Is(err, io.EOF):
		return false, io.ErrUnexpectedEOF
	}
	return false, err
}
