package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"aplomb"
)

const (
	factsType = "application/x-ndjson"
	// heartbeat is how often an empty line tells a follower that the connection stands.
	heartbeat = 15 * time.Second
)

// factLine is one line of a stream of facts as a client reads it: a fact, or the problem that ended the stream.
type factLine struct {
	aplomb.Fact
	Problem *problem `json:"problem"`
}

// problemLine is the last line of a stream that ended early.
type problemLine struct {
	Problem problem `json:"problem"`
}

type factOrErr struct {
	fact aplomb.Fact
	err  error
}

// facts streams a site's facts as lines of JSON: those after N, oldest first, at most limit of them, and with follow
// those to come.
func (s *Server) facts(w http.ResponseWriter, r *request) (any, error) {
	after, follow, limit, err := factsQuery(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(r.Context())
	facts := make(chan factOrErr)
	go func() {
		defer close(facts)
		for f, err := range s.manager.Facts(ctx, r.site, after, follow) {
			select {
			case facts <- factOrErr{f, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	defer func() {
		cancel()
		for range facts { // until the reader has returned
		}
	}()
	out := newFactWriter(w)
	return nil, s.streamFacts(out, r, facts, limit)
}

// streamFacts writes facts until they end. An error before the first line is returned, a later one becomes the last line.
func (s *Server) streamFacts(out *factWriter, r *request, facts <-chan factOrErr, limit int64) error {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for n := int64(0); limit == 0 || n < limit; n++ {
		next, more := out.next(facts, beat.C)
		if !more {
			break
		}
		if next.err != nil {
			if !out.begun {
				return next.err
			}
			out.write(problemLine{newProblem(s.tell(r, next.err))})
			break
		}
		if out.write(next.fact) != nil {
			return nil // the client is gone
		}
	}
	out.begin()
	out.flush()
	return nil
}

func factsQuery(r *request) (after int64, follow bool, limit int64, err error) {
	q := r.URL.Query()
	number := func(name string) int64 {
		v := q.Get(name)
		if v == "" {
			return 0
		}
		n, perr := strconv.ParseInt(v, 10, 64)
		if (perr != nil || n < 0) && err == nil {
			err = aplomb.NewError(aplomb.CodeRequest, "The request cannot be read",
				fmt.Sprintf("%s=%.40q is not a number from 0", name, v), "aplomb log")
		}
		return n
	}
	after, limit = number("after"), number("limit")
	return after, q.Get("follow") == "1", limit, err
}

// factWriter writes lines of JSON, and its headers with the first of them.
type factWriter struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	buf   *bufio.Writer
	enc   *json.Encoder
	begun bool
}

func newFactWriter(w http.ResponseWriter) *factWriter {
	buf := bufio.NewWriterSize(w, 32<<10)
	return &factWriter{w: w, rc: http.NewResponseController(w), buf: buf, enc: json.NewEncoder(buf)}
}

func (o *factWriter) begin() {
	if !o.begun {
		o.begun = true
		o.w.Header().Set("Content-Type", factsType)
	}
}

func (o *factWriter) write(v any) error {
	o.begin()
	limitWrite(o.w)
	return o.enc.Encode(v)
}

// next returns the next fact. Whenever none is waiting it flushes what was written, and then writes an empty line at each beat.
func (o *factWriter) next(facts <-chan factOrErr, beat <-chan time.Time) (factOrErr, bool) {
	select {
	case f, more := <-facts:
		return f, more
	default:
	}
	for o.flush() == nil {
		select {
		case f, more := <-facts:
			return f, more
		case <-beat:
			o.beat()
		}
	}
	return factOrErr{}, false // the client is gone
}

// beat writes an empty line.
func (o *factWriter) beat() {
	o.begin()
	limitWrite(o.w)
	o.buf.WriteByte('\n')
}

func (o *factWriter) flush() error {
	if !o.begun {
		return nil
	}
	if err := o.buf.Flush(); err != nil {
		return err
	}
	return o.rc.Flush()
}
