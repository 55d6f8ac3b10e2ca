package edge

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"

	"aplomb"
)

// The causes of what goes wrong behind the edge.
const (
	CauseOriginUnreachable Cause = "origin-unreachable" // no connection to the app
	CauseOriginTimeout     Cause = "origin-timeout"     // no connection, or no answer, in time
	CauseOriginBroken      Cause = "origin-broken"      // an answer that is not HTTP, or ends before its end
	CauseOrigin5xx         Cause = "origin-5xx"         // the app itself says that it failed
)

// Refusals of requests to apps.
var (
	malformedBody = refusal{http.StatusBadRequest, CauseClient, "the body cannot be read\n"}
	slowBody      = refusal{http.StatusRequestTimeout, CauseClient, "the body came too slowly\n"}
)

// failure is why an app's answer is not what its visitor gets. A status of statusHungUp is told to nobody.
type failure struct {
	status int
	cause  Cause
}

// failureOf says who is to blame for an error of the way to an app and back.
func failureOf(ctx context.Context, err error) failure {
	var timeout net.Error
	switch {
	case ctx.Err() != nil:
		return failure{statusHungUp, CauseClient}
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return failure{http.StatusGatewayTimeout, CauseOriginTimeout}
	case errors.Is(err, errGarbage), errors.Is(err, io.ErrUnexpectedEOF):
		return failure{http.StatusBadGateway, CauseOriginBroken}
	}
	return failure{http.StatusBadGateway, CauseOriginUnreachable}
}

// refusalOf says what is wrong with a body that could not be read from its client; ok is false where the client is gone.
func refusalOf(ctx context.Context, err error) (refusal, bool) {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return slowBody, true
	case ctx.Err() != nil, errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, net.ErrClosed):
		return refusal{}, false
	}
	return malformedBody, true
}

// causeOf says to whom an app's own answer is attributed.
func causeOf(status int) Cause {
	switch {
	case status >= 500:
		return CauseOrigin5xx
	case status >= 400:
		return CauseClient
	}
	return CauseNone
}

// Texts of the answers given in the place of an app.
const (
	failedTitle = "This page is not available right now"
	failedText  = "Please try again in a moment."
	failedPage  = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>` + failedTitle +
		`</title><style>:root{color-scheme:light dark}body{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:20vh auto;padding:0 1rem}</style><h1>` +
		failedTitle + `</h1><p>` + failedText + `</p>`
)

// sendFailure answers in the place of an app: calmly, in the form that is asked for, and for nobody to keep.
func (o *sender) sendFailure(w http.ResponseWriter, r *http.Request, host aplomb.Host, f failure) {
	o.report(w, r, host, f.status, f.cause)
	if f.status == statusHungUp {
		panic(http.ErrAbortHandler) // there is nobody to answer
	}
	h := w.Header()
	setHeaders(h, policies[aplomb.KindMissing])
	kind, text := "text/plain; charset=utf-8", failedTitle+"\n"
	switch accept := strings.Join(r.Header["Accept"], ","); {
	case strings.Contains(accept, "text/html"):
		kind, text = "text/html; charset=utf-8", failedPage
	case strings.Contains(accept, "json"):
		kind, text = "application/json", `{"status":`+strconv.Itoa(f.status)+`,"error":"`+failedTitle+"\"}\n"
	}
	h["Content-Type"] = []string{kind}
	h["Content-Length"] = []string{strconv.Itoa(len(text))}
	w.WriteHeader(f.status)
	if r.Method != http.MethodHead {
		writeString(w, text)
	}
}
