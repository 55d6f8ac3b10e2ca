package release

import (
	"fmt"
	"time"

	"aplomb"
)

// Preview is a signed link to one release, for whoever it is given to.
type Preview struct {
	Site    aplomb.SiteName  `json:"site"`
	Release aplomb.ReleaseID `json:"release"`
	URL     string           `json:"url"`
	Until   time.Time        `json:"until"`
}

// Preview makes a link to a release whose bytes are kept, whatever its state.
func (m *Manager) Preview(ask Ask, site aplomb.SiteName, id aplomb.ReleaseID) (Preview, error) {
	d, err := m.driver(site)
	if err != nil {
		return Preview{}, err
	}
	v := d.view.Load()
	rel, ok := v.state.Releases[id]
	switch {
	case len(m.cfg.PreviewKey) == 0:
		err = aplomb.NewError(aplomb.CodeDegraded, "no link made", "this server has no key to sign links with: its data folder could not be written when it started", "make the data folder writable and start aplomb up again")
	case !ok:
		err = aplomb.NewError(aplomb.CodeNoRelease, fmt.Sprintf("there is no %s", id), fmt.Sprintf("%s has other releases", site), "aplomb releases")
	case rel.Collected:
		err = aplomb.NewError(aplomb.CodeNotWhole, "no link made", fmt.Sprintf("the bytes of %s have been deleted", id), "aplomb releases")
	}
	if err != nil {
		return Preview{}, d.tell(err)
	}
	p := m.previewOf(v.state.Site, id)
	m.lg.Info("link to a preview", "site", site, "release", id, "actor", ask.Actor, "until", p.Until)
	return p, nil
}

// previewOf signs a link; the zero Preview where there is no key.
func (m *Manager) previewOf(site aplomb.Site, id aplomb.ReleaseID) Preview {
	if len(m.cfg.PreviewKey) == 0 {
		return Preview{}
	}
	t := aplomb.PreviewTicket{Site: site.Name, Release: id, Until: m.cfg.Now().Add(aplomb.PreviewFor).Truncate(time.Second), Serial: site.PreviewSerial}
	at := aplomb.Site{Name: site.Name, Hosts: []aplomb.Host{aplomb.Host(id) + "." + site.PreviewHosts()[0]}}
	return Preview{Site: site.Name, Release: id, Until: t.Until, URL: m.cfg.URL(at) + aplomb.PreviewPath[1:] + "?ticket=" + aplomb.SignPreview(m.cfg.PreviewKey, t)}
}
