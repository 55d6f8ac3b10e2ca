package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"

	"aplomb"
	"aplomb/api"
	"aplomb/release"
)

// server is the server that a command talks to.
type server struct {
	client *api.Client
	site   aplomb.SiteName // the site in question; "" while that is open
	only   bool            // it is the only one there is
	// acted says that something was sent that may have changed production.
	acted bool
}

func (s *server) close() { s.client.Close() }

// dial finds the server's door. It sends nothing yet.
func (c *call) dial() (*server, error) {
	if c.server != nil {
		return c.server, nil
	}
	ep, err := api.FindEndpoint(c.flags.api)
	if err != nil {
		return nil, err
	}
	client := api.Dial(ep)
	client.Actor = c.namedActor()
	c.server = &server{client: client}
	return c.server, nil
}

// namedSite returns the site that a flag, the environment or aplomb.toml names, "" where none does. The file is read only when
// nothing before it answers: a mistake in it must not stand in the way of a rollback that names its site.
func (c *call) namedSite() (aplomb.SiteName, error) {
	name := c.flags.site
	if name == "" {
		name = c.getenv("APLOMB_SITE")
	}
	if name == "" {
		cfg, err := c.loadConfig()
		if err != nil {
			return "", err
		}
		return aplomb.SiteName(cfg.Site), nil
	}
	site, err := aplomb.ParseSiteName(name)
	if err != nil {
		return "", usage(fmt.Sprintf("no site can be named %q", name), err.Error(), "aplomb status")
	}
	return site, nil
}

// siteOnServer finds the server and the site in question: the one that is named, else the only one there is.
func (c *call) siteOnServer(ctx context.Context) (*server, aplomb.SiteName, error) {
	site, err := c.namedSite()
	if err != nil {
		return nil, "", err
	}
	s, err := c.dial()
	if err != nil {
		return nil, "", err
	}
	if site == "" {
		if site, err = c.onlySite(ctx, s); err != nil {
			return nil, "", err
		}
	}
	s.site = site
	return s, site, nil
}

func (c *call) onlySite(ctx context.Context, s *server) (aplomb.SiteName, error) {
	sites, err := s.client.Sites(ctx)
	if err != nil {
		return "", err
	}
	switch len(sites) {
	case 0:
		return "", aplomb.NewError(aplomb.CodeNoSite, "there is no site on this server yet", "the first deploy creates one", "aplomb deploy ./dist").
			With("Production is unchanged: nothing was ever live here.")
	case 1:
		s.only = true
		return sites[0].Site, nil
	}
	names := siteNames(sites)
	return "", usage("it is not clear which site is meant", "there are "+listText(names), "name one: --site "+names[0])
}

// act asks the server for something that visitors may see. Once it has been sent it goes on whatever happens to this command:
// an interrupt then only ends the waiting.
func act[T any](ctx context.Context, c *call, what string, do func(context.Context) (T, error)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	asking, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	sent := make(chan struct{})
	once := sync.OnceFunc(func() { close(sent) })
	asking = httptrace.WithClientTrace(asking, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { once() }})
	type answer struct {
		value T
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		v, err := do(asking)
		answered <- answer{v, err}
	}()
	if c.server != nil {
		c.server.acted = true
	}
	select {
	case a := <-answered:
		return a.value, a.err
	case <-ctx.Done():
	}
	select {
	case a := <-answered:
		return a.value, a.err
	case <-sent:
	}
	cancel()
	if a := <-answered; a.err == nil || !errors.Is(a.err, context.Canceled) && !errors.Is(a.err, aplomb.ErrDown) {
		return a.value, a.err
	}
	return none, c.detached(what)
}

// detached says that an act goes on without this command.
func (c *call) detached(what string) error {
	if c.flags.json {
		return aplomb.NewError(aplomb.CodeCut, "The command was interrupted after it had asked", "the "+what+" goes on in the server", "aplomb status").
			With("What production is now: aplomb status")
	}
	c.say("The " + what + " goes on. " + c.advise("How far it is: aplomb status", c.server.site))
	return errDetached
}

// productionWithin is how long a failure waits to be able to say what production is.
const productionWithin = 500 * time.Millisecond

// production is the last line of a failure whose error does not bring one: what production is now, or what is known of it.
func (c *call) production(e *aplomb.Error) string {
	s := c.server
	switch {
	case s != nil && errors.Is(e, aplomb.ErrDown) && s.acted:
		return "What production is now is not known here: the connection was lost after the request was sent. " + c.advise("Ask with: aplomb status", s.site)
	case s != nil && errors.Is(e, aplomb.ErrDown):
		return "Production is unchanged by this command: nothing was sent. What is live now is not known here, because no server answers."
	case s != nil && s.acted:
		return c.productionOf(s)
	}
	if text := c.unchanged(); text != "" {
		return text
	}
	return "Production is unchanged: nothing was sent. What is live was not asked."
}

// productionOf asks what became of an act that failed.
func (c *call) productionOf(s *server) string {
	ctx, cancel := context.WithTimeout(context.Background(), productionWithin) // the command's own may have ended
	defer cancel()
	st, err := s.client.Status(ctx, s.site)
	switch {
	case errors.Is(err, aplomb.ErrNotFound):
		return fmt.Sprintf("Production: there is no site %s.", s.site)
	case err != nil:
		return "What production is now is not known here. " + c.advise("Ask with: aplomb status", s.site)
	case st.Live == "":
		return fmt.Sprintf("Production of %s: nothing is live yet.", s.site)
	}
	return fmt.Sprintf("Production of %s: %s, live since %s.", s.site, st.Live, clockText(st.Since, c.now()))
}

// unchanged says what production is where nothing was done to it; "" where no server says so at once.
func (c *call) unchanged() string {
	s, asked := c.server, aplomb.SiteName("")
	if s == nil {
		addr, name := c.flags.api, c.flags.site
		if !c.ran { // the flags after a mistake were not read
			addr, name = cmp.Or(addr, flagIn(c.args, "--api")), cmp.Or(name, flagIn(c.args, "--site"))
		}
		ep, err := api.FindEndpoint(addr)
		if err != nil {
			return ""
		}
		s, asked = &server{client: api.Dial(ep)}, aplomb.SiteName(cmp.Or(name, c.getenv("APLOMB_SITE")))
		defer s.close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), productionWithin) // the command's own may have ended
	defer cancel()
	sites, err := s.client.Sites(ctx)
	if err != nil {
		return ""
	}
	if asked = cmp.Or(s.site, asked); asked == "" && len(sites) > 1 {
		if name, err := c.namedSite(); err == nil {
			asked = name
		}
	}
	return unchangedText(sites, asked, c.now())
}

// unchangedText says what is live of the site in question, or of all.
func unchangedText(sites []release.SiteStatus, asked aplomb.SiteName, now time.Time) string {
	if len(sites) == 0 {
		return "Production is unchanged: nothing was ever live here."
	}
	if asked == "" && len(sites) == 1 {
		asked = sites[0].Site
	}
	var all []string
	for _, st := range sites {
		if st.Site == asked {
			return st.Production(time.Time{}, now)
		}
		what := "on " + string(st.Live)
		if st.Live == "" {
			what = "not live yet"
		}
		all = append(all, fmt.Sprintf("%s is %s", st.Site, what))
	}
	if asked != "" {
		return fmt.Sprintf("Production is unchanged: there is no site %s.", asked)
	}
	return "Production is unchanged: " + listText(all) + "."
}

// flagIn finds the value of a flag among arguments that could not be read to their end.
func flagIn(args []string, name string) string {
	for i, arg := range args {
		if value, ok := strings.CutPrefix(arg, name+"="); ok {
			return value
		}
		if arg == name && i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}
