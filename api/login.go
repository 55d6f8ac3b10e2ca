package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"aplomb"
)

// loginSuffix ends the name of a file with a token that a person was given, beside the files that servers write.
const loginSuffix = ".login.json"

func loginName(api string) string {
	return strings.TrimSuffix(fileName(Endpoint{API: api}), ".json") + loginSuffix
}

// TokenEndpoint returns the endpoint of a server's TCP address with a token.
func TokenEndpoint(addr string, t Token) (Endpoint, error) {
	addr = strings.TrimSuffix(strings.TrimPrefix(addr, "http://"), "/")
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return Endpoint{}, aplomb.NewError(aplomb.CodeUsage, "Not a TCP address of the API", err.Error(), "--api 127.0.0.1:9400").
			Because(err).With("Production is unchanged: nothing was asked.")
	}
	return Endpoint{API: reachable(addr), Token: t}, nil
}

// Login keeps an endpoint with its token for this user's commands, in a file that nobody else can read, and returns its name.
func Login(ep Endpoint) (file string, err error) { return userPlaces(os.Getenv).keepLogin(ep) }

func (p places) keepLogin(ep Endpoint) (string, error) {
	body, err := json.Marshal(Endpoint{API: ep.API, Token: ep.Token})
	if err != nil {
		return "", fmt.Errorf("write login: %w", err)
	}
	var failed error
	for _, dir := range p.lasting {
		file := filepath.Join(dir, loginName(ep.API))
		if err = writeOwn(dir, file, append(body, '\n')); err == nil {
			return file, nil
		}
		failed = errors.Join(failed, err)
	}
	return "", aplomb.NewError(aplomb.CodeReadOnly, "The token was not kept", fmt.Sprintf("no folder of this user's own takes it: %v", failed),
		"set XDG_STATE_HOME to a folder of this user, or give the token in APLOMB_TOKEN").Because(failed).
		With("Production is unchanged: nothing was asked for.")
}

// Logout forgets the token that was kept for a server, and returns the server's address; without one, that of the only server.
func Logout(addr string) (string, error) { return userPlaces(os.Getenv).forgetLogin(addr) }

func (p places) forgetLogin(addr string) (string, error) {
	if addr == "" {
		all := p.logins()
		if len(all) > 1 {
			var names []string
			for _, e := range all {
				names = append(names, e.API)
			}
			return "", aplomb.NewError(aplomb.CodeUsage, "It is not clear which server is meant", "this user is logged in to "+strings.Join(names, ", "),
				"aplomb logout --api "+names[0]).With("Production is unchanged: nothing was asked.")
		}
		if len(all) == 1 {
			addr = all[0].API
		}
	}
	addr = reachable(strings.TrimSuffix(strings.TrimPrefix(addr, "http://"), "/"))
	found := false
	for _, dir := range p.lasting {
		err := os.Remove(filepath.Join(dir, loginName(addr)))
		if err == nil {
			found = true
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("forget the token: %w", err)
		}
	}
	if !found {
		return "", aplomb.NewError(aplomb.CodeNoToken, "Not logged out", "no token was kept for "+addr, "aplomb whoami").
			With("Production is unchanged: nothing was asked.")
	}
	return addr, nil
}

// logins are the servers for which this user has kept a token.
func (p places) logins() []Endpoint {
	var found []Endpoint
	for _, dir := range p.lasting {
		files, _ := filepath.Glob(filepath.Join(dir, "*"+loginSuffix))
		for _, file := range files {
			if e, err := readEndpoint(file); err == nil && !slices.ContainsFunc(found, func(f Endpoint) bool { return f.API == e.API }) {
				found = append(found, e)
			}
		}
	}
	return found
}

// loginTo returns the endpoint of a server for which this user has kept a token.
func (p places) loginTo(addr string) (Endpoint, bool) {
	for _, e := range p.logins() {
		if e.API == addr {
			return e, true
		}
	}
	return Endpoint{}, false
}

// withGivenToken lets a token of the environment take the place of what was found: whoever sets one wants to be its bearer, and
// not this machine's user.
func withGivenToken(ep Endpoint, token string) (Endpoint, error) {
	if token == "" {
		return ep, nil
	}
	refuse := func(why, do string) (Endpoint, error) {
		return Endpoint{}, aplomb.NewError(aplomb.CodeDenied, "The token in APLOMB_TOKEN cannot be used", why, do).
			With("Production is unchanged: nothing was asked.")
	}
	if ep.API == "" {
		return refuse("tokens are for a server's TCP address, and none is known", "--api 127.0.0.1:9400, or unset APLOMB_TOKEN")
	}
	t := Token(strings.TrimSpace(token))
	if strings.HasPrefix(string(t), tokenMark) {
		if _, _, err := ParseToken(string(t)); err != nil {
			return refuse(err.Error(), "set it to the whole token that aplomb token add printed")
		}
	}
	ep.Socket, ep.Token = "", t
	return ep, nil
}
