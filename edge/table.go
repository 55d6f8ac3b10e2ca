package edge

import (
	"log/slog"
	"maps"
	"net/http"
	"slices"

	"aplomb"
	"aplomb/blob"
)

// Table says what every host is answered with. It is immutable: a switch puts another table in its place.
type Table struct {
	hosts map[aplomb.Host]*site
	sites map[aplomb.SiteName]*site
	out   *sender
	apps  *targets
	// previews answers for hosts that are no site's own; nil where there are none.
	previews *previews
	// certs answers what came in the clear and belongs to HTTPS; nil where there is none.
	certs *certificates
}

// NewTable returns a table that serves these routes, apart from any Edge: for rehearsals and tests. It fails where a
// live release's manifest cannot be read.
func NewTable(lg *slog.Logger, blobs blob.Reader, routes ...aplomb.Route) (*Table, error) {
	s := newShelf(blobs)
	s.apps = newTargets(lg, nil)
	t := &Table{hosts: map[aplomb.Host]*site{}, sites: map[aplomb.SiteName]*site{}, out: newSender(lg, blobs, nil), apps: s.apps}
	for _, r := range routes {
		made, _ := s.site(r, nil)
		if made.unreadable != nil {
			return nil, made.unreadable
		}
		if err := t.put(made); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// Handler serves a table.
func Handler(t *Table) http.Handler { return t }

// with returns a table in which one site is replaced.
func (t *Table) with(s *site) (*Table, error) {
	next := &Table{
		hosts: make(map[aplomb.Host]*site, len(t.hosts)+len(s.route.Site.Hosts)),
		sites: make(map[aplomb.SiteName]*site, len(t.sites)+1),
		out:   t.out,
		apps:  t.apps,

		previews: t.previews,
		certs:    t.certs,
	}
	name := s.route.Site.Name
	for host, other := range t.hosts {
		if other.route.Site.Name != name {
			next.hosts[host] = other
		}
	}
	for other, site := range t.sites {
		next.sites[other] = site
	}
	delete(next.sites, name)
	return next, next.put(s)
}

// put adds a site while a table is being made.
func (t *Table) put(s *site) error {
	hosts := slices.AppendSeq(slices.Clone(s.route.Site.Hosts), maps.Keys(s.route.Site.RedirectTo))
	for _, host := range hosts {
		if other := t.hosts[host]; other != nil {
			return hostTaken(host, other.route.Site.Name, s.route.Site.Name)
		}
	}
	for _, host := range hosts {
		t.hosts[host] = s
	}
	t.sites[s.route.Site.Name] = s
	t.previews = t.previews.with(s)
	return nil
}

// lookup finds the site of a Host field or of the authority of an absolute URI.
func (t *Table) lookup(field string) (*site, aplomb.Host, error) {
	if s := t.hosts[aplomb.Host(field)]; s != nil {
		return s, aplomb.Host(field), nil
	}
	host, err := aplomb.ParseHost(field)
	if err != nil {
		return nil, "", err
	}
	return t.hosts[host], host, nil
}
