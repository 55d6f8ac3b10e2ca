package edge

import (
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"aplomb"
)

// ports are those of the first address of each kind, 0 where there is none.
type ports struct {
	plain, secure int
}

func portsOf(plain, secure []net.Listener) (p ports) {
	port := func(of []net.Listener) int {
		if len(of) > 0 {
			if at, ok := of[0].Addr().(*net.TCPAddr); ok {
				return at.Port
			}
		}
		return 0
	}
	return ports{plain: port(plain), secure: port(secure)}
}

// answerPlain answers what came in the clear and is not the site's to answer: an authority's challenge, and requests for
// hosts that HTTPS answers. A host without a good certificate is served in the clear, so that HTTPS never takes a site away.
func (t *Table) answerPlain(w http.ResponseWriter, r *http.Request, host aplomb.Host) bool {
	c := t.certs
	if c.authority != nil && c.authority.provePlain(w, r, host) {
		return true
	}
	// What stands in front and ends TLS itself says so: leading that visitor to HTTPS would lead in a circle.
	if !c.redirect || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") || !c.secured(host, time.Now()) {
		return false
	}
	t.out.sendMoved(w, answer{status: http.StatusPermanentRedirect, to: "https://" + string(host) + c.ports.suffix(r.Host) + r.URL.RequestURI()})
	return true
}

// suffix returns the port of HTTPS as an address shows it. Where a visitor's own address shows no port although ours is
// not HTTP's, something in front leads the well-known ports here.
func (p ports) suffix(asked string) string {
	shown := asked[strings.LastIndexByte(asked, ']')+1:]
	if p.secure == 443 || p.plain != 80 && !strings.Contains(shown, ":") {
		return ""
	}
	return ":" + strconv.Itoa(p.secure)
}
