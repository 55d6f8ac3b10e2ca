package api

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"aplomb"
)

// Grant is what is kept of a token that was given away: everything but the token.
type Grant struct {
	Name     string          `json:"name"`
	ID       string          `json:"id"` // the characters after "aplomb_"
	Scopes   aplomb.Scope    `json:"scopes"`
	Site     aplomb.SiteName `json:"site,omitempty"` // "" for all sites and the server
	Created  time.Time       `json:"created"`
	By       string          `json:"by"`
	Expires  time.Time       `json:"expires,omitzero"`
	LastUsed time.Time       `json:"last_used,omitzero"`
	Revoked  time.Time       `json:"revoked,omitzero"`
	// RevokedBy is who revoked it.
	RevokedBy string `json:"revoked_by,omitempty"`
}

// Expired reports whether the grant had an end, and it is over.
func (g Grant) Expired(now time.Time) bool { return !g.Expires.IsZero() && !now.Before(g.Expires) }

// Actor is how a timeline names whoever came with the token. No person is named like that.
func (g Grant) Actor() string { return g.Name + tokenActor }

const tokenActor = "@token"

const (
	grantsName   = "tokens.json"
	grantsFormat = 1

	// maxGrants bounds the tokens that open something, maxRevoked the revoked ones whose bearer is told so.
	maxGrants  = 1000
	maxRevoked = 200
)

// grantsFile is D/tokens.json.
type grantsFile struct {
	Format int           `json:"format"`
	Tokens []storedGrant `json:"tokens"`
}

type storedGrant struct {
	Grant
	SHA aplomb.Digest `json:"sha256"` // of the token
}

// kept is a grant in memory. All but used is as it was stored.
type kept struct {
	storedGrant
	used  *atomic.Int64   // when it was last used, in Unix seconds; 0 for never
	life  context.Context // ends when the token is revoked, so that nothing streams on to its bearer
	endIt context.CancelFunc
}

func keep(g storedGrant) *kept {
	k := &kept{storedGrant: g, used: new(atomic.Int64)}
	if !g.LastUsed.IsZero() {
		k.used.Store(g.LastUsed.Unix())
	}
	k.life, k.endIt = context.WithCancel(context.Background())
	if !g.Revoked.IsZero() {
		k.endIt()
	}
	return k
}

// grant returns the grant as it is now.
func (k *kept) grant() Grant {
	g := k.Grant
	if n := k.used.Load(); n != 0 {
		g.LastUsed = time.Unix(n, 0).UTC()
	}
	return g
}

// grants are a server's tokens. Readers load the table once and never wait for a disk.
type grants struct {
	lg  *slog.Logger
	dir string // where they are kept
	now func() time.Time

	table atomic.Pointer[map[string]*kept] // by ID; replaced as a whole
	dirty atomic.Bool                      // a last use is not on the disk yet

	writing sync.Mutex // one writer at a time, from reading the table to the file's name
	shut    error      // set by load: why nothing is added or revoked
}

func newGrants(lg *slog.Logger, dir string, now func() time.Time) *grants {
	g := &grants{lg: lg, dir: dir, now: now}
	g.table.Store(&map[string]*kept{})
	return g
}

// load reads the tokens. A file that cannot be used opens nothing, and is never written over.
func (g *grants) load() error {
	g.writing.Lock()
	defer g.writing.Unlock()
	file := filepath.Join(g.dir, grantsName)
	table, err := readGrants(file)
	if err != nil {
		g.shut = aplomb.NewError(aplomb.CodeDamaged, "The tokens cannot be read", fmt.Sprintf("%s: %v", file, err),
			"put back the file from a backup, or move it away and give new tokens; the socket works without").Because(err).
			With("Production is unchanged: tokens decide who may act, not what visitors get.")
		return g.shut
	}
	g.table.Store(&table)
	return nil
}

func readGrants(file string) (map[string]*kept, error) {
	table := map[string]*kept{}
	body, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return table, nil
	}
	if err != nil {
		return nil, err
	}
	var stored grantsFile
	if err := json.Unmarshal(body, &stored); err != nil {
		return nil, err
	}
	if stored.Format != grantsFormat {
		return nil, fmt.Errorf("it has format %d, this program knows %d", stored.Format, grantsFormat)
	}
	for _, t := range stored.Tokens {
		if t.SHA == (aplomb.Digest{}) || len(t.ID) != tokenIDLen || t.Scopes == 0 {
			return nil, fmt.Errorf("the token %.40q is not whole", t.Name)
		}
		table[t.ID] = keep(t)
	}
	return table, nil
}

// find returns the grant of a token. A right token whose time is over is told so; of others it is said only that they open
// nothing.
func (g *grants) find(text string) (*kept, *aplomb.Error) {
	id, t, err := ParseToken(text)
	if err != nil {
		return nil, denied("the token was not read: " + err.Error())
	}
	k := (*g.table.Load())[id]
	sum := aplomb.Sum([]byte(t))
	if k == nil || subtle.ConstantTimeCompare(sum[:], k.SHA[:]) != 1 {
		return nil, denied("the token opens nothing on this server")
	}
	now := g.now()
	switch {
	case !k.Revoked.IsZero():
		return nil, ended(k.Grant, "was revoked by "+k.RevokedBy+" on "+dateText(k.Revoked))
	case k.Expired(now):
		return nil, ended(k.Grant, "has expired on "+dateText(k.Expires))
	}
	if k.used.Swap(now.Unix()) != now.Unix() {
		g.dirty.Store(true)
	}
	return k, nil
}

func dateText(t time.Time) string { return t.UTC().Format("2 January 2006 at 15:04 UTC") }

func denied(why string) *aplomb.Error {
	return aplomb.NewError(aplomb.CodeDenied, "Not logged in", why,
		"aplomb login --api ADDRESS with a token from aplomb token add, or run the command as the user that runs aplomb up")
}

func ended(g Grant, why string) *aplomb.Error {
	site := ""
	if g.Site != "" {
		site = " --site " + string(g.Site)
	}
	return aplomb.NewError(aplomb.CodeTokenEnded, "Not logged in", fmt.Sprintf("the token %s %s", g.Name, why),
		fmt.Sprintf("ask for a new one: aplomb token add %s --scope %s%s", g.Name, g.Scopes, site))
}

// list returns the tokens by name; the revoked ones, too, where asked to.
func (g *grants) list(revoked bool) []Grant {
	out := []Grant{}
	for _, k := range *g.table.Load() {
		if k.Revoked.IsZero() || revoked {
			out = append(out, k.grant())
		}
	}
	slices.SortFunc(out, func(a, b Grant) int { return cmp.Or(cmp.Compare(a.Name, b.Name), a.Created.Compare(b.Created)) })
	return out
}

// named returns the token of a name that is not revoked.
func (g *grants) named(name string) *kept {
	for _, k := range *g.table.Load() {
		if k.Name == name && k.Revoked.IsZero() {
			return k
		}
	}
	return nil
}

// add makes a token for a grant that was checked. It is on the disk before anybody knows it.
func (g *grants) add(grant Grant) (Grant, Token, error) {
	g.writing.Lock()
	defer g.writing.Unlock()
	if g.shut != nil {
		return Grant{}, "", g.shut
	}
	if old := g.named(grant.Name); old != nil {
		return Grant{}, "", aplomb.NewError(aplomb.CodeTokenTaken, fmt.Sprintf("Token %s not made", grant.Name),
			fmt.Sprintf("there is one of that name, made by %s on %s", old.By, dateText(old.Created)),
			"aplomb token revoke "+grant.Name+", or choose another name")
	}
	if n := len(g.list(false)); n >= maxGrants {
		return Grant{}, "", aplomb.NewError(aplomb.CodeTokenAsked, "Token not made", fmt.Sprintf("there are %d already", n), "aplomb token list")
	}
	next := maps.Clone(*g.table.Load())
	var t Token
	for taken := true; taken; {
		grant.ID, t = mintToken()
		_, taken = next[grant.ID]
	}
	next[grant.ID] = keep(storedGrant{Grant: grant, SHA: aplomb.Sum([]byte(t))})
	if err := g.write(next); err != nil {
		return Grant{}, "", notSaved("Token not made", err)
	}
	g.table.Store(&next)
	return grant, t, nil
}

// revoke ends the tokens that are meant, at once: also when that cannot be written, which is then said, because a restart would
// open them again.
func (g *grants) revoke(by string, meant func(Grant) bool) ([]Grant, error) {
	g.writing.Lock()
	defer g.writing.Unlock()
	next := maps.Clone(*g.table.Load())
	var revoked []Grant
	for id, k := range next {
		if !k.Revoked.IsZero() || !meant(k.Grant) {
			continue
		}
		stored := k.storedGrant
		stored.Grant = k.grant()
		stored.Revoked, stored.RevokedBy = g.now().UTC().Truncate(time.Second), by
		next[id] = keep(stored)
		revoked = append(revoked, stored.Grant)
	}
	if revoked == nil {
		return nil, g.shut
	}
	dropOldest(next)
	before := *g.table.Load()
	g.table.Store(&next)
	for _, r := range revoked {
		before[r.ID].endIt()
	}
	if err := g.write(next); err != nil {
		g.dirty.Store(true) // flush tries again
		return revoked, notSaved("Revoked, but not for good: a restart of the server would let the token in again", err)
	}
	return revoked, nil
}

// dropOldest forgets revoked tokens beyond maxRevoked: their bearer is then told that they open nothing.
func dropOldest(table map[string]*kept) {
	var revoked []*kept
	for _, k := range table {
		if !k.Revoked.IsZero() {
			revoked = append(revoked, k)
		}
	}
	slices.SortFunc(revoked, func(a, b *kept) int { return b.Revoked.Compare(a.Revoked) })
	for _, k := range revoked[min(len(revoked), maxRevoked):] {
		delete(table, k.ID)
	}
}

func notSaved(what string, err error) error {
	code := aplomb.CodeReadOnly
	if errors.Is(err, errNoSpace) {
		code = aplomb.CodeNoSpace
	}
	return aplomb.NewError(code, what, err.Error(), "make the data folder writable, with free space, and run the command again").Because(err)
}

// write puts a table on the disk under its name, whole or not at all; the caller holds writing.
func (g *grants) write(table map[string]*kept) error {
	stored := grantsFile{Format: grantsFormat, Tokens: []storedGrant{}}
	for _, id := range slices.Sorted(maps.Keys(table)) {
		k := table[id]
		stored.Tokens = append(stored.Tokens, storedGrant{k.grant(), k.SHA})
	}
	body, err := json.MarshalIndent(stored, "", "\t")
	if err != nil {
		return fmt.Errorf("write tokens: %w", err)
	}
	file := filepath.Join(g.dir, grantsName)
	fresh := file + ".new"
	if err := writeSynced(fresh, os.O_TRUNC, append(body, '\n')); err != nil {
		os.Remove(fresh)
		return fmt.Errorf("write tokens: %w", err)
	}
	if err := os.Rename(fresh, file); err != nil {
		os.Remove(fresh)
		return fmt.Errorf("write tokens: %w", err)
	}
	if err := syncFolder(g.dir); err != nil {
		return fmt.Errorf("write tokens: %w", err)
	}
	return nil
}

// flushEvery is how long a token's last use may be in memory alone.
const flushEvery = time.Minute

// flush writes last uses down until ctx ends, and once more then.
func (g *grants) flush(ctx context.Context) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		g.flushNow()
	}
}

func (g *grants) flushNow() {
	g.writing.Lock()
	defer g.writing.Unlock()
	if g.shut != nil || !g.dirty.Swap(false) {
		return
	}
	if err := g.write(*g.table.Load()); err != nil {
		g.dirty.Store(true)
		g.lg.Warn("when tokens were last used is not on the disk yet", "err", err)
	}
}
