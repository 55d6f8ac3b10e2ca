package main

import (
	"fmt"
	"time"

	"aplomb"
	"aplomb/release"
)

// tellDeployed prints the result of a deploy or promote, and returns the error that carries its exit code.
func (c *call) tellDeployed(r release.Deployed, note string, took time.Duration, noLive bool) error {
	if c.flags.json {
		writeJSON(c.stdout, r)
	} else {
		for _, w := range r.Warnings {
			c.say("note: " + warningText(w))
		}
		c.tell(c.deployedText(r, note, took, noLive)...)
	}
	switch {
	case r.State == aplomb.Live || noLive && (r.State == aplomb.Uploaded || r.Known):
		return nil
	case r.State == aplomb.Bad:
		return errWithdrawn
	}
	return errWaiting
}

// deployedText is what people read last of a deploy: what is live now, what it took, and what to do if it is bad.
func (c *call) deployedText(r release.Deployed, note string, took time.Duration, noLive bool) []string {
	name, noted := string(r.Release), ""
	switch {
	case note != "" && r.Known: // the release keeps its own
		noted = " The note is on the timeline."
	case note != "":
		name += fmt.Sprintf(" %q", note)
	}
	sent := fmt.Sprintf("%s, %s sent. %s%s.", countText(r.FilesUploaded, "file"), sizeText(r.BytesUploaded), tookText(took), c.onServer())
	switch {
	case r.State == aplomb.Live && r.Known && r.From == r.Release:
		return []string{fmt.Sprintf("%s is live already: these very files. Nothing changed.%s %s%s.", name, noted, tookText(took), c.onServer()), r.URL}
	case noLive && r.Known && r.State != aplomb.Live:
		return []string{
			fmt.Sprintf("%s is here already, and %s: these very files. Nothing changed.%s %s%s.", name, r.State, noted, tookText(took), c.onServer()),
			c.advise(fmt.Sprintf("To put it live: aplomb promote %s", r.Release), r.Site),
		}
	case r.State == aplomb.Live:
		was := " for the first time"
		if r.From != "" {
			was = fmt.Sprintf(" (was %s)", r.From)
		}
		lines := []string{fmt.Sprintf("%s is live%s. %s%s", name, was, sent, noted), r.URL}
		if r.Offline != nil {
			lines = append(lines, "Visitors do not see it yet: the site is offline ("+oneLine(r.Offline.Why)+"). "+c.advise("To end that: aplomb online", r.Site))
		}
		if r.From != "" {
			lines = append(lines, c.advise("If it is bad: aplomb rollback", r.Site))
		}
		return lines
	case noLive && r.State == aplomb.Uploaded:
		lines := []string{fmt.Sprintf("%s is uploaded and not live. %s", name, sent)}
		if r.Preview != "" {
			lines = append(lines, "To look at it: "+r.Preview)
		}
		return append(lines, c.advise(fmt.Sprintf("To put it live: aplomb promote %s", r.Release), r.Site))
	}
	lines := []string{fmt.Sprintf("%s is %s. %s", name, r.State, sent)}
	if r.Why != "" {
		lines = append(lines, sentence(r.Why))
	}
	return append(lines, "Production: "+c.liveText(r)+" "+c.advise("How far it is: aplomb status", r.Site))
}

// liveText says what is live where the release in question is not.
func (c *call) liveText(r release.Deployed) string {
	if r.From == "" {
		return "nothing is live yet."
	}
	return fmt.Sprintf("%s is live.", r.From)
}

func warningText(w aplomb.Warning) string {
	switch {
	case w.Path == "":
		return w.Text
	case w.Line > 0:
		return fmt.Sprintf("%s line %d: %s", w.Path, w.Line, w.Text)
	}
	return w.Path + ": " + w.Text
}
