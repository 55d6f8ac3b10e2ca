package api

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"aplomb"
)

// actorHeader names the person for whom the machine's own user asks.
const actorHeader = "Aplomb-Actor"

// caller is who sent a request, and what they may do.
type caller struct {
	name  string
	scope aplomb.Scope
	door  string

	// of a token that was given away
	token   string          // its name
	id      string          // what tells it from another of that name
	site    aplomb.SiteName // the only site it is for, "" for all
	expires time.Time
}

type callerKey struct{}

func withCaller(r *http.Request, c caller) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), callerKey{}, c))
}

// callerOf returns who a door let in; nobody, with no scope, where none did.
func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// ownUser returns the caller that a process of uid is: the machine's user may do everything, and is trusted to name the person
// it asks for. A name that only tokens have is not a person's.
func ownUser(r *http.Request, uid int, door string) caller {
	name := cleanActor(r.Header.Get(actorHeader))
	if name == "" || strings.HasSuffix(name, tokenActor) {
		name = userName(uid)
	}
	return caller{name: name, scope: aplomb.ScopeAll, door: door}
}

// bearer returns the caller that comes with a token that was given away. It says who that is: the bearer does not choose.
func bearer(g Grant) caller {
	return caller{name: g.Actor(), scope: g.Scopes, door: doorTCP, token: g.Name, id: g.ID, site: g.Site, expires: g.Expires}
}

// maxActor bounds an actor's name, in characters.
const maxActor = 64

// cleanActor leaves what can be printed on one line of a timeline.
func cleanActor(s string) string {
	if !utf8.ValidString(s) {
		return ""
	}
	printable := strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return -1
		}
		return c
	}, s)
	if cut := []rune(printable); len(cut) > maxActor {
		printable = string(cut[:maxActor])
	}
	return strings.TrimSpace(printable)
}

// userName names uid's user.
func userName(uid int) string {
	if name := cleanActor(account("/etc/passwd", uid).name); name != "" {
		return name
	}
	return fmt.Sprintf("uid %d", uid)
}

// login is a line of the password file.
type login struct{ name, home string }

// account looks uid up in the password file, and nowhere else: a rollback must not wait for a directory service.
func account(passwd string, uid int) login {
	f, err := os.Open(passwd)
	if err != nil {
		return login{}
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) > 5 && fields[2] == strconv.Itoa(uid) {
			return login{fields[0], fields[5]}
		}
	}
	return login{}
}
