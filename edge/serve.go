package edge

import (
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"aplomb"
	"aplomb/blob"
)

// maxTarget bounds the length of a request's target.
const maxTarget = 8 << 10

// ServeHTTP answers one request from this table.
func (t *Table) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	site, host, refused := t.gate(w, r)
	if refused == misdirected && t.servePreview(w, r) {
		return
	}
	if site != nil {
		answeredBy(w, site, host)
	}
	if refused.status != 0 {
		t.out.refuse(w, r, host, refused)
		return
	}
	if t.certs != nil && r.TLS == nil && t.answerPlain(w, r, host) {
		return
	}
	t.answer(w, r, site, host)
}

// answer answers a request that the gate let through.
func (t *Table) answer(w http.ResponseWriter, r *http.Request, site *site, host aplomb.Host) {
	if site.rules != nil && t.answerByRule(w, r, site, host) {
		return
	}
	if app := site.appFor(r); app != nil {
		t.forward(w, r, site, host, app)
		return
	}
	if refused := check(r); refused.status != 0 {
		t.out.refuse(w, r, host, refused)
		return
	}
	a := site.find(r, host)
	switch a.kind {
	case answerApp:
		t.forward(w, r, site, host, site.lastApp())
	case answerFile:
		t.out.sendFile(w, r, host, a)
	case answerMoved:
		t.out.sendMoved(w, a)
	case answerKill:
		sendKillWorker(w, r)
	case answerNotFound:
		t.out.sendMissing(w, r, host, a, http.StatusNotFound)
	case answerGone:
		t.out.sendMissing(w, r, host, a, http.StatusGone)
	case answerBadPath:
		t.out.refuse(w, r, host, badRequest)
	case answerNoLive:
		t.out.refuse(w, r, host, site.refusal())
	}
}

// refusal is an answer without a file.
type refusal struct {
	status int
	cause  Cause
	text   string
}

var (
	badRequest   = refusal{http.StatusBadRequest, CauseClient, "bad request\n"}
	tooLong      = refusal{http.StatusRequestURITooLong, CauseClient, "the URL is too long\n"}
	misdirected  = refusal{http.StatusMisdirectedRequest, CauseClient, "no such site here\n"}
	badMethod    = refusal{http.StatusMethodNotAllowed, CauseClient, "only GET and HEAD\n"}
	methods      = refusal{http.StatusNoContent, CauseNone, ""}
	notFound     = refusal{http.StatusNotFound, CauseClient, "not found\n"}
	assetMissing = refusal{http.StatusNotFound, CauseAssetMissing, "not found\n"}
	offline      = refusal{http.StatusServiceUnavailable, CauseOffline, "offline for maintenance\n"}
	gone         = refusal{http.StatusGone, CauseClient, "gone\n"}
	noMatch      = refusal{http.StatusPreconditionFailed, CauseClient, "precondition failed\n"}
	outOfRange   = refusal{http.StatusRequestedRangeNotSatisfiable, CauseClient, "range not satisfiable\n"}
	unreadable   = refusal{http.StatusInternalServerError, CauseEdge, "the file cannot be read\n"}
	noneLive     = refusal{http.StatusServiceUnavailable, CauseClient, "no release is live yet\n"}
)

// gate lets through what is clearly a request to a known site, and refuses the rest.
func (t *Table) gate(w http.ResponseWriter, r *http.Request) (*site, aplomb.Host, refusal) {
	if r.ContentLength != 0 {
		// A body on a static path is never read: the connection ends with the answer instead.
		w.Header()["Connection"] = closeConnection
	}
	if r.Host == "" {
		return nil, "", badRequest
	}
	s, host, err := t.lookup(r.Host)
	if err != nil {
		return nil, "", badRequest
	}
	if s == nil {
		return nil, "", misdirected
	}
	return s, host, refusal{}
}

// check refuses what no file answers.
func check(r *http.Request) refusal {
	if len(r.RequestURI) > maxTarget {
		return tooLong
	}
	if strings.IndexByte(r.RequestURI, '#') >= 0 || r.URL.Scheme != "" && r.URL.Scheme != "http" && r.URL.Scheme != "https" {
		return badRequest
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		return methods
	default:
		return badMethod
	}
	if r.URL.RawPath != "" && hasEscapedSlash(r.URL.RawPath) {
		return notFound
	}
	return refusal{}
}

// hasEscapedSlash finds a slash that is part of a segment. No file has one, and what stands between may read it as a
// separator.
func hasEscapedSlash(raw string) bool {
	return strings.Contains(raw, "%2f") || strings.Contains(raw, "%2F")
}

func (s *site) refusal() refusal {
	if s.unreadable != nil {
		return unreadable
	}
	return noneLive
}

// refuse answers in plain text, with nothing of the request in it.
func (o *sender) refuse(w http.ResponseWriter, r *http.Request, host aplomb.Host, why refusal) {
	h := w.Header()
	setHeaders(h, policies[aplomb.KindMissing])
	if why.status == http.StatusMethodNotAllowed || why.status == http.StatusNoContent {
		h["Allow"] = allowedMethods
	}
	if why.text != "" {
		h["Content-Type"] = plainText
		h["Content-Length"] = []string{strconv.Itoa(len(why.text))}
	}
	w.WriteHeader(why.status)
	if r.Method != http.MethodHead && why.text != "" {
		writeString(w, why.text)
	}
	o.report(w, r, host, why.status, why.cause)
}

func (o *sender) sendMoved(w http.ResponseWriter, a answer) {
	h := w.Header()
	setHeaders(h, policies[aplomb.KindDocument])
	h["Location"] = []string{a.to}
	h["Content-Length"] = []string{"0"}
	w.WriteHeader(a.status)
}

// sendMissing says that there is nothing: with the site's page for that where one fits, otherwise in plain text.
func (o *sender) sendMissing(w http.ResponseWriter, r *http.Request, host aplomb.Host, a answer, status int) {
	why := notFound
	switch {
	case status == http.StatusGone:
		why = gone
	case aplomb.IsCode(aplomb.ContentType(r.URL.Path)) || loadsPart(r):
		why = assetMissing
	}
	if a.entry == nil {
		o.refuse(w, r, host, why)
		return
	}
	want := parseAccepted(r.Header["Accept-Encoding"])
	b, ok := o.open(r, a.entry, want)
	if !ok {
		o.refuse(w, r, host, why)
		return
	}
	defer b.close()
	h := w.Header()
	setHeaders(h, o.headersOf(a, host, r.URL.Path))
	setType(h, a.entry)
	setCoding(h, a.entry, b.coding)
	h["Content-Length"] = b.length
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		o.write(w, r, host, b, 0, b.size)
	}
	o.report(w, r, host, status, why.cause)
}

// sendFile answers with a file, or with what its conditions and ranges say of it.
func (o *sender) sendFile(w http.ResponseWriter, r *http.Request, host aplomb.Host, a answer) {
	e, in := a.entry, r.Header
	if failsIfMatch(in["If-Match"], e.tag()) {
		o.refuse(w, r, host, noMatch)
		return
	}
	want := parseAccepted(in["Accept-Encoding"])
	if fields := in["If-None-Match"]; len(fields) > 0 {
		if tag, ok := noneMatch(fields, e.tag(), want); ok {
			o.sendNotModified(w, r, host, a, tag)
			return
		}
	}
	start, length, outcome := int64(0), int64(0), wholeFile
	if fields := in["Range"]; len(fields) > 0 && r.Method == http.MethodGet && mayAnswerRange(in["If-Range"], e.tag()) {
		start, length, outcome = parseRange(fields, e.size)
	}
	switch outcome {
	case unsatisfiable:
		w.Header()["Content-Range"] = []string{"bytes */" + e.values[lengthValue]}
		o.refuse(w, r, host, outOfRange)
	case partOfFile:
		o.sendPart(w, r, host, a, start, length)
	default:
		o.sendWhole(w, r, host, a, want)
	}
}

func (o *sender) sendWhole(w http.ResponseWriter, r *http.Request, host aplomb.Host, a answer, want accepted) {
	e := a.entry
	b, ok := o.open(r, e, want)
	if !ok {
		o.refuse(w, r, host, unreadable)
		return
	}
	defer b.close()
	h := w.Header()
	setHeaders(h, o.headersOf(a, host, r.URL.Path))
	setType(h, e)
	h["Etag"] = b.tag
	h["Content-Length"] = b.length
	setCoding(h, e, b.coding)
	if !e.vary && e.kind != aplomb.KindDocument {
		h["Accept-Ranges"] = acceptBytes
	}
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		o.write(w, r, host, b, 0, b.size)
	}
}

// sendPart answers a range of the file's own bytes. Encoded forms have no parts: they may be made again with other bytes.
func (o *sender) sendPart(w http.ResponseWriter, r *http.Request, host aplomb.Host, a answer, start, length int64) {
	e := a.entry
	b, ok := o.open(r, e, accepted{})
	if !ok {
		o.refuse(w, r, host, unreadable)
		return
	}
	defer b.close()
	h := w.Header()
	setHeaders(h, o.headersOf(a, host, r.URL.Path))
	if v := h[cacheControl]; len(v) > 0 && strings.Contains(strings.ToLower(v[0]), "immutable") {
		h[cacheControl] = immutablePart
		if v[0] != immutable[0] {
			h[cacheControl] = revalidate
		}
	}
	setType(h, e)
	h["Etag"] = b.tag
	setCoding(h, e, identity)
	h["Content-Range"] = []string{"bytes " + strconv.FormatInt(start, 10) + "-" + strconv.FormatInt(start+length-1, 10) + "/" + e.values[lengthValue]}
	h["Content-Length"] = []string{strconv.FormatInt(length, 10)}
	w.WriteHeader(http.StatusPartialContent)
	o.write(w, r, host, b, start, length)
}

func (o *sender) sendNotModified(w http.ResponseWriter, r *http.Request, host aplomb.Host, a answer, tag string) {
	e := a.entry
	h := w.Header()
	setHeaders(h, o.headersOf(a, host, r.URL.Path))
	h["Etag"] = o.tagValue(e, tag)
	setCoding(h, e, identity)
	w.WriteHeader(http.StatusNotModified)
}

// headersOf returns the headers that depend on what is answered, and under which URL.
func (o *sender) headersOf(a answer, host aplomb.Host, path string) headerSet {
	if a.headers != nil {
		return a.headers
	}
	if a.entry.rules != nil {
		return a.entry.rules.apply(a.entry.headers, a.entry.kind, host, path)
	}
	return a.entry.headers
}

// setHeaders puts prepared fields into an answer. The slices are shared by all answers and never written to.
func setHeaders(h http.Header, set headerSet) {
	for _, f := range set {
		h[f.key] = f.value
	}
}

// setType leaves a rule's Content-Type in place.
func setType(h http.Header, e *entry) {
	if _, ruled := h["Content-Type"]; !ruled {
		h["Content-Type"] = e.values[typeValue : typeValue+1 : typeValue+1]
	}
}

func setCoding(h http.Header, e *entry, c blob.Coding) {
	if c != identity {
		h["Content-Encoding"] = codingTokens[c]
	}
	if e.vary {
		if given := h["Vary"]; len(given) > 0 {
			h["Vary"] = []string{given[0] + ", Accept-Encoding"}
		} else {
			h["Vary"] = acceptEncoding
		}
	}
}

func writeString(w http.ResponseWriter, s string) {
	// A client that has gone away is no news: net/http ends its connection.
	_, _ = io.WriteString(w, s)
}

// location returns path as a Location field takes it, with the query of the request.
func location(path, rawQuery string) string {
	to := (&url.URL{Path: path}).EscapedPath()
	if rawQuery != "" {
		to += "?" + rawQuery
	}
	return to
}
