package edge

import (
	"errors"
	"io/fs"

	"aplomb"
)

// Stored reads the routes that a restart of an edge would serve from the state folder dir, and names the files that are
// not what was written. It changes nothing; a folder that is not there holds none.
func Stored(dir string) (routes []aplomb.Route, damaged []string, err error) {
	routes, damaged, err = newStateDir(dir).load()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	return routes, damaged, err
}
