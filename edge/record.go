package edge

import (
	"net/http"
	"sync"
	"time"

	"aplomb"
)

// Record is one answered request. It has no query string, no cookie and no address: what was asked for, not by whom.
type Record struct {
	At      time.Time
	Site    aplomb.SiteName  // "" where the request names none that is known
	Release aplomb.ReleaseID // the release that answered
	Host    aplomb.Host
	Method  string
	Path    string
	Proto   string
	Status  int // 499: the client hung up before it had all of the answer
	Bytes   int64
	Took    time.Duration
	Cause   Cause // "" for what was answered as it was asked for
}

// recorder notes what becomes of one request while it is answered.
type recorder struct {
	http.ResponseWriter
	record Record
}

var recorders = sync.Pool{New: func() any { return new(recorder) }}

// Unwrap lets http.ResponseController reach what is below.
func (rec *recorder) Unwrap() http.ResponseWriter { return rec.ResponseWriter }

// WriteHeader notes the status.
func (rec *recorder) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		rec.record.Status = status
	}
	rec.ResponseWriter.WriteHeader(status)
}

// Write counts a part of the body.
func (rec *recorder) Write(b []byte) (int, error) {
	n, err := rec.ResponseWriter.Write(b)
	rec.record.Bytes += int64(n)
	return n, err
}

// recorderOf finds the recorder in or under w, nil where nobody records.
func recorderOf(w http.ResponseWriter) *recorder {
	for {
		switch at := w.(type) {
		case *recorder:
			return at
		case interface{ Unwrap() http.ResponseWriter }:
			w = at.Unwrap()
		default:
			return nil
		}
	}
}

// answeredBy notes which release of which site answers.
func answeredBy(w http.ResponseWriter, s *site, host aplomb.Host) {
	if rec := recorderOf(w); rec != nil {
		rec.record.Site, rec.record.Release, rec.record.Host = s.route.Site.Name, s.route.Live, host
	}
}

// serveRecorded answers a request and tells record of it, also when the answer was cut off.
func (t *Table) serveRecorded(w http.ResponseWriter, r *http.Request, record func(Record)) {
	rec := recorders.Get().(*recorder)
	began := time.Now()
	*rec = recorder{ResponseWriter: w, record: Record{At: began, Method: r.Method, Path: r.URL.Path, Proto: r.Proto}}
	defer func() {
		rec.record.Took = time.Since(began)
		if rec.record.Status == 0 {
			rec.record.Status = http.StatusOK
		}
		record(rec.record)
		*rec = recorder{}
		recorders.Put(rec)
	}()
	t.ServeHTTP(rec, r)
}
