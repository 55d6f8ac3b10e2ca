package api

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"aplomb"
	"aplomb/release"
)

// Client asks a server. Every error it returns is an *aplomb.Error with all five parts.
type Client struct {
	// Actor names the person who asks, "" for the user whose process this is.
	Actor string

	ep   Endpoint
	http *http.Client
}

// Dial returns a client of the server at an endpoint. It connects with the first request: through the socket where that can be
// reached, else over TCP with the token.
func Dial(ep Endpoint) *Client {
	c := &Client{ep: ep}
	c.http = &http.Client{
		Transport: &http.Transport{
			DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return dialEndpoint(ctx, ep) },
			DisableCompression: true,
			// A refused stream of blobs is told before the bytes are sent.
			ExpectContinueTimeout: bodyTimeout,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Endpoint returns where the client asks.
func (c *Client) Endpoint() Endpoint { return c.ep }

// Health asks what the server says of itself.
func (c *Client) Health(ctx context.Context) (Health, error) {
	return get[Health](ctx, c, "/v1/health")
}

// Sites returns every site's status.
func (c *Client) Sites(ctx context.Context) ([]release.SiteStatus, error) {
	return get[[]release.SiteStatus](ctx, c, "/v1/sites")
}

// Status returns one site's status.
func (c *Client) Status(ctx context.Context, site aplomb.SiteName) (release.SiteStatus, error) {
	return get[release.SiteStatus](ctx, c, sitePath(site, ""))
}

// Releases lists a site's releases, newest first.
func (c *Client) Releases(ctx context.Context, site aplomb.SiteName) ([]aplomb.Release, error) {
	return get[[]aplomb.Release](ctx, c, sitePath(site, "/releases"))
}

// Verify walks every site's chain.
func (c *Client) Verify(ctx context.Context) ([]release.Verified, error) {
	return get[[]release.Verified](ctx, c, "/v1/verify")
}

// Begin opens an upload.
func (c *Client) Begin(ctx context.Context, why string, req release.UploadRequest) (release.Upload, error) {
	return post[release.Upload](ctx, c, sitePath(req.Site, "/uploads"), uploadBody{req, why})
}

// Send sends the missing blobs of an upload as one stream, as release.WriteBlob and release.EndStream write it.
func (c *Client) Send(ctx context.Context, upload string, body io.Reader) (release.Received, error) {
	var got release.Received
	req, err := c.request(ctx, "PUT", uploadPath(upload, "/blobs"), body)
	if err != nil {
		return got, err
	}
	req.Header.Set("Content-Type", blobsType)
	req.Header.Set("Expect", "100-continue")
	return got, c.do(req, &got)
}

// Seal makes an upload a release and waits until it is live, waits, or was taken back.
func (c *Client) Seal(ctx context.Context, upload string) (release.Deployed, error) {
	return post[release.Deployed](ctx, c, uploadPath(upload, "/seal"), struct{}{})
}

// Abandon ends an upload without a release.
func (c *Client) Abandon(ctx context.Context, upload, why string) error {
	_, err := send[struct{}](ctx, c, "DELETE", uploadPath(upload, ""), whyBody{why})
	return err
}

// Promote brings a known release in front of the visitors.
func (c *Client) Promote(ctx context.Context, why string, site aplomb.SiteName, id aplomb.ReleaseID) (release.Deployed, error) {
	return post[release.Deployed](ctx, c, sitePath(site, "/promote"), releaseBody{id, why})
}

// Rollback takes back what is under way, or goes to the release that was live before.
func (c *Client) Rollback(ctx context.Context, why string, site aplomb.SiteName) (release.Back, error) {
	return post[release.Back](ctx, c, sitePath(site, "/rollback"), whyBody{why})
}

// Undo reverses the last act that visitors saw; act is its n, or 0.
func (c *Client) Undo(ctx context.Context, why string, site aplomb.SiteName, act int64) (release.Back, error) {
	return post[release.Back](ctx, c, sitePath(site, "/undo"), undoBody{act, why})
}

// Retire blocks a release for good.
func (c *Client) Retire(ctx context.Context, why string, site aplomb.SiteName, id aplomb.ReleaseID) (aplomb.Fact, error) {
	return post[aplomb.Fact](ctx, c, sitePath(site, "/retire"), releaseBody{id, why})
}

// Note puts why on the timeline, for a release where one is named.
func (c *Client) Note(ctx context.Context, why string, site aplomb.SiteName, id aplomb.ReleaseID) (aplomb.Fact, error) {
	return post[aplomb.Fact](ctx, c, sitePath(site, "/note"), noteBody{id, why})
}

// Recover makes a degraded site's ledger writable again.
func (c *Client) Recover(ctx context.Context, why string, site aplomb.SiteName) (release.Recovered, error) {
	return post[release.Recovered](ctx, c, sitePath(site, "/recover"), whyBody{why})
}

// Facts yields a site's facts with N > after, oldest first. With follow it waits for more until ctx ends, which yields no
// error; a server that ends the stream does.
func (c *Client) Facts(ctx context.Context, site aplomb.SiteName, after int64, follow bool) iter.Seq2[aplomb.Fact, error] {
	return func(yield func(aplomb.Fact, error) bool) {
		path := sitePath(site, "/facts") + "?after=" + strconv.FormatInt(after, 10)
		if follow {
			path += "&follow=1"
		}
		err := c.stream(ctx, path, yield)
		if err == nil && follow {
			err = c.broken(site, io.EOF)
		}
		if err != nil && !errors.Is(err, errStopped) && !(follow && ctx.Err() != nil) {
			yield(aplomb.Fact{}, err)
		}
	}
}

// errStopped says that the reader of a stream wants no more.
var errStopped = errors.New("stopped")

func (c *Client) stream(ctx context.Context, path string, yield func(aplomb.Fact, error) bool) error {
	req, err := c.request(ctx, "GET", path, nil)
	if err != nil {
		return err
	}
	resp, err := c.answer(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return nil
		}
		if err != nil {
			return c.failed(req, err)
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue // the server's heartbeat
		}
		var l factLine
		if err := json.Unmarshal(line, &l); err != nil {
			return c.stranger(resp, err)
		}
		if l.Problem != nil {
			return l.Problem.error()
		}
		if !yield(l.Fact, nil) {
			return errStopped
		}
	}
}

func sitePath(site aplomb.SiteName, rest string) string {
	return "/v1/sites/" + url.PathEscape(string(site)) + rest
}

func uploadPath(upload, rest string) string { return "/v1/uploads/" + url.PathEscape(upload) + rest }

// get asks, and asks once more when the connection broke: asking changes nothing.
func get[T any](ctx context.Context, c *Client, path string) (T, error) {
	var v T
	for again := false; ; again = true {
		req, err := c.request(ctx, "GET", path, nil)
		if err != nil {
			return v, err
		}
		if err = c.do(req, &v); err == nil || again || !errors.Is(err, errBroken) {
			return v, err
		}
	}
}

func post[T any](ctx context.Context, c *Client, path string, body any) (T, error) {
	return send[T](ctx, c, "POST", path, body)
}

func send[T any](ctx context.Context, c *Client, method, path string, body any) (T, error) {
	var v T
	b, err := json.Marshal(body)
	if err != nil {
		return v, internal(err)
	}
	req, err := c.request(ctx, method, path, bytes.NewReader(b))
	if err != nil {
		return v, err
	}
	// Without a body to rewind, net/http never sends a write twice: a second rollback would go one release further back.
	req.GetBody = nil
	req.Header.Set("Content-Type", jsonType)
	req.Header.Set("Idempotency-Key", rand.Text())
	return v, c.do(req, &v)
}

func (c *Client) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	host := c.ep.API
	if host == "" {
		host = "localhost" // the socket has no name; HTTP wants one
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+host+path, body)
	if err != nil {
		return nil, internal(err)
	}
	if c.ep.Token != "" {
		req.Header.Set("Authorization", "Bearer "+string(c.ep.Token))
	}
	if c.Actor != "" {
		req.Header.Set(actorHeader, cleanActor(c.Actor))
	}
	req.Header.Set("User-Agent", "aplomb")
	return req, nil
}

// do sends a request and reads its answer into v.
func (c *Client) do(req *http.Request, v any) error {
	resp, err := c.answer(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return c.failed(req, err)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return c.stranger(resp, err)
	}
	return nil
}

// answer sends a request and returns an answer that is not an error.
func (c *Client) answer(req *http.Request) (*http.Response, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.failed(req, err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != problemType {
		return nil, c.stranger(resp, errors.New("no problem document"))
	}
	var p problem
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&p); err != nil {
		return nil, c.stranger(resp, err)
	}
	return nil, p.error()
}

// errBroken marks a connection that was lost after it stood.
var errBroken = errors.New("connection broken")

// failed says why no answer came: nobody was there, this side did not wait, or the connection broke.
func (c *Client) failed(req *http.Request, err error) error {
	if cause := req.Context().Err(); cause != nil {
		why := "the command was interrupted"
		if errors.Is(cause, context.DeadlineExceeded) {
			why = "the time given for it is over"
		}
		return aplomb.NewError(aplomb.CodeCut, "The answer was not waited for", why, "aplomb status"+siteFlag(req)).
			Because(errors.Join(cause, err)).
			With("Production: not known from here; an act the server has begun goes on to its end.")
	}
	if unreached, ok := errors.AsType[*dialError](err); ok {
		if errors.Is(err, fs.ErrPermission) {
			return notMine(c.ep, err)
		}
		return noServer("No Aplomb server answers at "+c.ep.String(), plainly(unreached), c.ep, err)
	}
	return c.broken(siteOf(req), err)
}

// broken says that the server went away in the middle.
func (c *Client) broken(site aplomb.SiteName, err error) error {
	flag := ""
	if site != "" {
		flag = " --site " + string(site)
	}
	return aplomb.NewError(aplomb.CodeNoServer, "The connection to the Aplomb server at "+c.ep.String()+" broke", plainly(err),
		"aplomb status"+flag).Because(errors.Join(errBroken, err)).
		With("Production: not known from here; an act the server has begun goes on to its end, or is finished at its next start.")
}

// noServer says that nothing was reached, and how to start what is missing.
func noServer(what, why string, ep Endpoint, err error) *aplomb.Error {
	do := "aplomb up --dir DIR"
	if ep.Dir != "" {
		do = "aplomb up --dir " + ep.Dir
	}
	if ep.API != "" {
		do += " --api " + ep.API
	}
	return aplomb.NewError(aplomb.CodeNoServer, what, why, do).Because(err).
		With("Production: not known from here; this command changed nothing.")
}

// notMine says that the socket is another user's.
func notMine(ep Endpoint, err error) *aplomb.Error {
	why, do := "the modes of its socket, or of a folder above it, keep this user out", "run the command as the user that runs aplomb up"
	if name := ownerOf(ep.Socket); name != "" {
		why = fmt.Sprintf("%s belongs to %s, and lets nobody else in but root", ep.Socket, name)
		do = fmt.Sprintf("sudo -u %s COMMAND", name)
	}
	return aplomb.NewError(aplomb.CodeForbidden, "The Aplomb server at "+ep.String()+" does not let this user in", why, do).Because(err).
		With("Production: not known from here; this command changed nothing.")
}

// ownerOf returns the name of the user whose a file is, or, where this user does not see it, whose the nearest folder above is
// that can be seen; "" where that is nobody's in particular.
func ownerOf(path string) string {
	for ; path != filepath.Dir(path); path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if err != nil {
			continue
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok || int(st.Uid) == os.Getuid() {
			return ""
		}
		id := strconv.FormatUint(uint64(st.Uid), 10)
		if u, err := user.LookupId(id); err == nil {
			return u.Username
		}
		return "#" + id
	}
	return ""
}

// stranger says that what answered does not speak this API.
func (c *Client) stranger(resp *http.Response, err error) error {
	return aplomb.NewError(aplomb.CodeNoServer, "What answers at "+c.ep.String()+" is not an Aplomb server of this version",
		fmt.Sprintf("it answered %s as %.80q", resp.Status, resp.Header.Get("Content-Type")), "aplomb version").Because(err).
		With("Production: not known from here; ask with aplomb status.")
}

func internal(err error) *aplomb.Error {
	return aplomb.NewError(aplomb.CodeInternal, "The request could not be made", err.Error(), "aplomb version").Because(err).
		With("Production: not known from here; this command changed nothing.")
}

// plainly takes an error's addresses and calls away: "connection refused" is enough.
func plainly(err error) string {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "the server ended it"
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

func siteOf(req *http.Request) aplomb.SiteName {
	rest, ok := strings.CutPrefix(req.URL.Path, "/v1/sites/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return aplomb.SiteName(name)
}

func siteFlag(req *http.Request) string {
	if site := siteOf(req); site != "" {
		return " --site " + string(site)
	}
	return ""
}
