package release

import (
	"time"

	"aplomb"
)

// Ask says who asks for something, and why. A person gives Why as --reason or a message.
type Ask struct {
	Actor string
	Why   string
}

// UploadRequest opens an upload: the files as the client sees them, and what is to become of them.
type UploadRequest struct {
	Site aplomb.SiteName `json:"site"`
	// Hosts are the site's hosts: needed to create the site, otherwise empty or a part of what it has.
	Hosts    []string        `json:"hosts,omitempty"`
	Files    []aplomb.File   `json:"files"`
	Settings aplomb.Settings `json:"settings"`
	Note     string          `json:"note,omitempty"`
	// AllowSecrets and AllowChanged name paths that are otherwise refused; the second needs a reason (Ask.Why).
	AllowSecrets []string `json:"allow_secrets,omitempty"`
	AllowChanged []string `json:"allow_changed,omitempty"`
	// NoLive ends the rollout when the release is sealed.
	NoLive bool `json:"no_live,omitempty"`
}

// Upload is an open upload. The client sends the missing blobs as one stream, then asks for the seal.
type Upload struct {
	ID       string             `json:"upload"`
	Rollout  int64              `json:"rollout"`
	Missing  []aplomb.Digest    `json:"missing"`
	Created  bool               `json:"site_created,omitempty"`
	Warnings []aplomb.Warning   `json:"warnings,omitempty"`
	Live     aplomb.ReleaseID   `json:"live,omitempty"`
	Usual    map[string]float64 `json:"usual_ms,omitempty"` // median of the last 20 deploys by phase: upload, seal, switch
}

// Received says what a stream of blobs brought.
type Received struct {
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
}

// Deployed is the result of a deploy or promote, and the last JSON object either prints.
type Deployed struct {
	Release       aplomb.ReleaseID    `json:"release"`
	State         aplomb.ReleaseState `json:"state"`
	Share         float64             `json:"share"`
	From          aplomb.ReleaseID    `json:"from"`
	Site          aplomb.SiteName     `json:"site"`
	URL           string              `json:"url"`
	FilesUploaded int                 `json:"files_uploaded"`
	BytesUploaded int64               `json:"bytes_uploaded"`
	FirstShareMS  float64             `json:"first_share_ms"` // from the request to the first visitor who could see it
	TookMS        float64             `json:"took_ms"`
	Act           int64               `json:"act"`
	Known         bool                `json:"known,omitempty"` // the seal was known: no new release was made
	Why           string              `json:"why,omitempty"`   // why it is not live, where it is not
	// Preview is a link to a release that is not live, for whoever is to look at it.
	Preview string `json:"preview,omitempty"`
	// Unrecorded is set when visitors are on the release and the ledger could take the intent but not the result yet;
	// Act follows on the timeline.
	Unrecorded bool `json:"unrecorded,omitempty"`
	// Offline is set while visitors get the maintenance page instead.
	Offline  *aplomb.Offline  `json:"offline,omitempty"`
	Warnings []aplomb.Warning `json:"warnings,omitempty"`
}

// NotUndone is something an act did not take back, and why.
type NotUndone struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// Back is the result of a rollback or undo.
type Back struct {
	Site      aplomb.SiteName  `json:"site"`
	From      aplomb.ReleaseID `json:"from"`
	To        aplomb.ReleaseID `json:"to"`
	Act       int64            `json:"act"`
	Undid     int64            `json:"undid,omitempty"` // undo: the act that was reversed
	TookMS    float64          `json:"took_ms"`
	LiveSince time.Time        `json:"live_since"`
	Undone    []aplomb.Done    `json:"undone"`
	Pending   []string         `json:"pending"`
	NotUndone []NotUndone      `json:"not_undone"`
	// Recorded is false when the edge moved but the ledger could not take the fact.
	Recorded bool `json:"recorded"`
	// Ended lists rollouts that were on their way and ended with this act.
	Ended []int64 `json:"ended,omitempty"`
}

// SiteStatus is what a site is now.
type SiteStatus struct {
	Site       aplomb.SiteName  `json:"site"`
	Hosts      []aplomb.Host    `json:"hosts"`
	URL        string           `json:"url"`
	Live       aplomb.ReleaseID `json:"live"`
	Share      float64          `json:"share"`
	Since      time.Time        `json:"live_since,omitzero"`
	By         string           `json:"by,omitempty"`
	Note       string           `json:"note,omitempty"`
	Back       aplomb.ReleaseID `json:"rollback_to,omitempty"` // what a rollback would choose now
	Rollouts   []RolloutStatus  `json:"rollouts"`
	LastAct    *aplomb.Fact     `json:"last_act,omitempty"`
	Degraded   string           `json:"degraded,omitempty"`           // why the ledger refuses to write, "" when it does not
	Damaged    []string         `json:"damaged,omitempty"`            // blobs found damaged: digest and paths
	Offline    *aplomb.Offline  `json:"offline,omitempty"`            // visitors get the maintenance page
	Disk       string           `json:"disk,omitempty"`               // that the disk is nearly full, in words
	Unsaved    bool             `json:"edge_state_unsaved,omitempty"` // the edge's disk does not hold what it serves: a restart would serve what was before
	UnsavedWhy string           `json:"edge_state_why,omitempty"`     // why it does not
	Missing    []string         `json:"missing,omitempty"`            // what the server lacks, in a sentence each
	Sentence   string           `json:"sentence"`                     // the same for people: "r42 is live since 14:02."
}

// RolloutStatus is an unfinished rollout.
type RolloutStatus struct {
	Rollout int64            `json:"rollout"`
	Stage   string           `json:"stage"`
	Release aplomb.ReleaseID `json:"release,omitempty"`
	By      string           `json:"by"`
	Since   time.Time        `json:"since"`
}

// Verified is the result of walking one site's chain.
type Verified struct {
	Site    aplomb.SiteName `json:"site"`
	Entries int64           `json:"entries"`
	Head    aplomb.Head     `json:"head"`
	OK      bool            `json:"ok"`
	Problem string          `json:"problem,omitempty"`
}

// Recovered is the result of recovering one site's ledger. Sentence says what visitors get now.
type Recovered struct {
	Site     aplomb.SiteName  `json:"site"`
	Live     aplomb.ReleaseID `json:"live"`
	Sentence string           `json:"sentence"`
	Aside    string           `json:"set_aside"`
	Lost     string           `json:"lost"`
	Head     aplomb.Head      `json:"head"`
	Releases int              `json:"releases"`
}
