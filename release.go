package aplomb

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ReleaseID names a release of one site: "r1", "r2", … in the order in which they were sealed.
type ReleaseID string

// NewReleaseID returns the name of the n-th release, n > 0.
func NewReleaseID(n int) ReleaseID { return ReleaseID("r" + strconv.Itoa(n)) }

// ParseReleaseID reads "r12".
func ParseReleaseID(s string) (ReleaseID, error) {
	digits, ok := strings.CutPrefix(s, "r")
	if n, err := strconv.Atoi(digits); !ok || err != nil || n < 1 || strconv.Itoa(n) != digits {
		return "", fmt.Errorf("release %.80q: want a name such as r12", s)
	}
	return ReleaseID(s), nil
}

// Number returns 12 for "r12", and 0 for anything that is not a release's name.
func (r ReleaseID) Number() int {
	n, err := strconv.Atoi(strings.TrimPrefix(string(r), "r"))
	if err != nil {
		return 0
	}
	return n
}

// ReleaseState says where a release is on its way. There are no others, anywhere.
type ReleaseState string

// The states of a release.
const (
	Uploaded  ReleaseState = "uploaded"  // sealed; nothing of it was in front of a visitor
	Rehearsed ReleaseState = "rehearsed" // met by a browser, or that step was skipped and said so
	Waiting   ReleaseState = "waiting"   // for an approval, a window or a person
	Canary    ReleaseState = "canary"    // in front of a part of the visitors
	Live      ReleaseState = "live"      // at the share at which it is watched; one release of a site
	Replaced  ReleaseState = "replaced"  // was live, another became live: what a rollback chooses
	Bad       ReleaseState = "bad"       // withdrawn, by Aplomb or by a person
	Retired   ReleaseState = "retired"   // blocked by a person with a reason
)

// Release is a sealed release: an immutable manifest and settings, and the state it is in.
type Release struct {
	ID       ReleaseID    `json:"release"`
	Site     SiteName     `json:"site"`
	State    ReleaseState `json:"state"`
	Why      string       `json:"why,omitempty"` // why it is in this state, in words
	Seal     Digest       `json:"seal"`
	Manifest Digest       `json:"manifest"` // digest of the sealed manifest's bytes, a blob
	Files    int          `json:"files"`
	Bytes    int64        `json:"bytes"`
	By       string       `json:"by"`
	Note     string       `json:"note,omitempty"`
	Sealed   time.Time    `json:"sealed"`
	// LastLive is when it was last seen by visitors as the live release: the moment another took its place.
	// Zero while it is live and if it never was.
	LastLive time.Time `json:"last_live,omitzero"`
	// LastN is n of the act that took its place: the order of LastLive, whatever the clock did.
	LastN int64 `json:"last_n,omitempty"`
	// LiveSince is when it last became live; zero if it never was.
	LiveSince time.Time `json:"live_since,omitzero"`
	// Collected is set when its bytes have been deleted: it is no target any more, its name stays taken.
	Collected bool `json:"collected,omitempty"`
}

// SealOf identifies a release by what it is made of: the uploaded files, in path order, and the settings that
// travel with it. Encodings and whatever else Aplomb derives do not change it. It is sha-256 over a versioned,
// length-prefixed listing; every part that can change what visitors get is in it.
func SealOf(files []File, settings []byte) Digest {
	h := sha256.New()
	var n [8]byte
	put := func(b []byte) {
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	put([]byte("aplomb seal 1"))
	put(settings)
	for _, f := range slices.SortedFunc(slices.Values(files), func(a, b File) int { return cmp.Compare(a.Path, b.Path) }) {
		put([]byte(f.Path))
		put(f.Digest[:])
	}
	return Digest(h.Sum(nil))
}
