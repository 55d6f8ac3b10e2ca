package rollout

import (
	"fmt"

	"aplomb"
)

func blocked(r aplomb.Release) *aplomb.Error {
	if r.State == aplomb.Retired {
		return aplomb.NewError(aplomb.CodeRetired, fmt.Sprintf("%s does not go live", r.ID), fmt.Sprintf("it is blocked for good: %s", r.Why), "aplomb releases")
	}
	return aplomb.NewError(aplomb.CodeBad, fmt.Sprintf("%s does not go live", r.ID), fmt.Sprintf("the same files were withdrawn: %s", r.Why), fmt.Sprintf("aplomb promote %s --reason \"…\"", r.ID))
}

func notWhole(id aplomb.ReleaseID) *aplomb.Error {
	return aplomb.NewError(aplomb.CodeNotWhole, fmt.Sprintf("%s does not go live", id), "not all of its bytes are here any more", "aplomb deploy")
}

// Overtaken is the answer to whoever asked for a rollout that another act ended.
func Overtaken(id aplomb.ReleaseID, why string) *aplomb.Error {
	return aplomb.NewError(aplomb.CodeOvertaken, fmt.Sprintf("%s is uploaded and not live", id), fmt.Sprintf("its rollout was %s", why), fmt.Sprintf("aplomb promote %s", id))
}

func nothingToUndo(why, do string) *aplomb.Error {
	return aplomb.NewError(aplomb.CodeNothingUndo, "nothing undone", why, do)
}

func noTarget(s State, broken []aplomb.ReleaseID) *aplomb.Error {
	why := fmt.Sprintf("%s is the only release of %s that visitors have seen and that was not withdrawn", s.Live, s.Site.Name)
	switch {
	case s.Live == "":
		why = fmt.Sprintf("no release of %s is live", s.Site.Name)
	case len(broken) > 0:
		why = fmt.Sprintf("the releases before %s are not whole any more: %v", s.Live, broken)
	}
	return aplomb.NewError(aplomb.CodeNoTarget, "not rolled back", why, "aplomb deploy DIR with a good release, or aplomb promote rN --reason \"…\", or aplomb offline --reason \"…\"")
}

func orRelease(id aplomb.ReleaseID) aplomb.ReleaseID {
	if id == "" {
		return "rN"
	}
	return id
}
