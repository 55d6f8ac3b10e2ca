package aplomb

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// PreviewPath is where a signed link to a preview leads: the page that exchanges it for a cookie.
const PreviewPath = ReservedPrefix + "preview"

// PreviewFor is how long a link to a preview is good.
const PreviewFor = 24 * time.Hour

// PreviewTicket is what a link to a preview grants: one release of one site, until a moment.
type PreviewTicket struct {
	Site    SiteName
	Release ReleaseID
	Until   time.Time // to the second
	// Serial is the site's PreviewSerial when the link was made: raising that one voids all links made before.
	Serial int
}

// SignPreview returns the ticket as text for a URL: its fields, and their HMAC-SHA-256 under key.
func SignPreview(key []byte, t PreviewTicket) string {
	body := strings.Join([]string{string(t.Site), string(t.Release), strconv.FormatInt(t.Until.Unix(), 36), strconv.Itoa(t.Serial)}, ".")
	return body + "." + base64.RawURLEncoding.EncodeToString(previewMAC(key, body))
}

// OpenPreview reads a signed ticket. A text that key did not sign, and a ticket whose time is over, are errors of the kind
// ErrInvalid.
func OpenPreview(key []byte, s string, now time.Time) (PreviewTicket, error) {
	if len(s) > 256 || len(key) == 0 {
		return PreviewTicket{}, fmt.Errorf("preview: not a ticket: %w", ErrInvalid)
	}
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return PreviewTicket{}, fmt.Errorf("preview: not a ticket: %w", ErrInvalid)
	}
	mac, err := base64.RawURLEncoding.Strict().DecodeString(s[i+1:])
	if err != nil || !hmac.Equal(mac, previewMAC(key, s[:i])) {
		return PreviewTicket{}, fmt.Errorf("preview: not signed here: %w", ErrInvalid)
	}
	fields := strings.Split(s[:i], ".")
	if len(fields) != 4 {
		return PreviewTicket{}, fmt.Errorf("preview: not a ticket: %w", ErrInvalid)
	}
	until, err := strconv.ParseInt(fields[2], 36, 64)
	if err != nil {
		return PreviewTicket{}, fmt.Errorf("preview: not a ticket: %w", ErrInvalid)
	}
	serial, err := strconv.Atoi(fields[3])
	if err != nil {
		return PreviewTicket{}, fmt.Errorf("preview: not a ticket: %w", ErrInvalid)
	}
	t := PreviewTicket{Site: SiteName(fields[0]), Release: ReleaseID(fields[1]), Until: time.Unix(until, 0), Serial: serial}
	if !now.Before(t.Until) {
		return PreviewTicket{}, fmt.Errorf("preview: the link was good until %s: %w", t.Until.UTC().Format(time.RFC3339), ErrInvalid)
	}
	return t, nil
}

func previewMAC(key []byte, body string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("aplomb preview 1\n"))
	h.Write([]byte(body))
	return h.Sum(nil)
}

// PreviewHosts are the hosts under which the site's releases are previewed, each with the release's name before it:
// the one its owner set, and one that browsers find on this machine without any DNS.
func (s Site) PreviewHosts() []Host {
	own := Host("preview." + string(s.Name) + ".localhost")
	if s.PreviewHost != "" {
		return []Host{s.PreviewHost, own}
	}
	return []Host{own}
}

// SplitPreviewHost takes "r12.preview.example.com" apart.
func SplitPreviewHost(h Host) (ReleaseID, Host, bool) {
	first, rest, ok := strings.Cut(string(h), ".")
	if !ok {
		return "", "", false
	}
	id, err := ParseReleaseID(first)
	return id, Host(rest), err == nil
}
