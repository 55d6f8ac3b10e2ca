package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"aplomb"
)

// found is one file of a folder. path is its URL path; the file itself is at path[1:] under the folder's root.
type found struct {
	path  string
	stamp stamp
}

// walk lists the files under root, sorted by URL path. What is not a plain file or folder is an error that names it: a symlink
// served by accident can show a file that was never meant for anybody.
func walk(root *os.Root) ([]found, error) {
	w := walker{list: make([]found, 0, 1024)}
	w.group.SetLimit(runtime.GOMAXPROCS(0))
	err := w.folder(root, "/")
	if others := w.group.Wait(); err == nil {
		err = others
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(w.list, func(a, b found) int { return strings.Compare(a.path, b.path) })
	return w.list, nil
}

type walker struct {
	group errgroup.Group // of folders being read beside the first

	mu   sync.Mutex // guards list
	list []found
}

// folder adds what is in one folder. Each name is looked up in its own opened folder, so that the cost of a file does not
// grow with its depth, and a folder that is replaced on the way leads nowhere else.
func (w *walker) folder(dir *os.Root, prefix string) error {
	f, err := dir.Open(".")
	if err != nil {
		return cannotRead(prefix, err)
	}
	entries, err := f.ReadDir(-1)
	f.Close()
	if err != nil {
		return cannotRead(prefix, err)
	}
	if isDataFolder(entries) {
		return ownStore(prefix)
	}
	files := make([]found, 0, len(entries))
	for _, e := range entries {
		path := prefix + e.Name()
		if !utf8.ValidString(path) {
			return aplomb.NewError(aplomb.CodePath, fmt.Sprintf("the name %q cannot be a URL", path), "it is not valid UTF-8", "rename it, and deploy again")
		}
		if e.IsDir() {
			if err := w.below(dir, e.Name(), path+"/"); err != nil {
				return err
			}
			continue
		}
		file, err := lookAt(dir, e.Name(), path)
		if err != nil {
			return err
		}
		files = append(files, file)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, files...)
	return nil
}

// below adds a folder inside another: beside everything else where a core is free, else at once.
func (w *walker) below(dir *os.Root, name, prefix string) error {
	sub, err := dir.OpenRoot(name)
	if err != nil {
		return cannotRead(prefix, err)
	}
	read := func() error {
		defer sub.Close()
		return w.folder(sub, prefix)
	}
	if w.group.TryGo(read) {
		return nil
	}
	return read()
}

func lookAt(dir *os.Root, name, path string) (found, error) {
	info, err := dir.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return found{}, changedWhileRead(path)
	}
	if err != nil {
		return found{}, cannotRead(path, err)
	}
	if !info.Mode().IsRegular() {
		return found{}, notAFile(path, info.Mode())
	}
	return found{path: path, stamp: stampOf(info)}, nil
}

func notAFile(path string, mode fs.FileMode) error {
	kind := "something other than a file"
	switch {
	case mode&fs.ModeSymlink != 0:
		kind = "a symbolic link"
	case mode&fs.ModeNamedPipe != 0:
		kind = "a named pipe"
	case mode&fs.ModeSocket != 0:
		kind = "a socket"
	case mode&fs.ModeDevice != 0:
		kind = "a device"
	}
	return aplomb.NewError(aplomb.CodePath, fmt.Sprintf("%s is %s", path, kind),
		"a release holds plain files alone, so that what is served is what was in the folder",
		"replace it with a copy of the file, or delete it, and deploy again")
}

// isDataFolder tells a server's data folder by what only that holds together.
func isDataFolder(entries []fs.DirEntry) bool {
	has := map[string]bool{}
	for _, e := range entries {
		has[e.Name()] = true
	}
	return has["blobs"] && has["journal"] && (has["state"] || has["lock"])
}

// ownStore refuses to publish what a server keeps: its keys, its tokens and the files of every release.
func ownStore(prefix string) error {
	what, do := "the folder "+strings.TrimSuffix(prefix, "/")+" is the data folder of an Aplomb server", "stop the server, move its data folder elsewhere, and start it with: aplomb up --dir DIR"
	if prefix == "/" {
		what, do = "this folder is the data folder of an Aplomb server", "name the folder that the build wrote: aplomb deploy ./dist"
	}
	return aplomb.NewError(aplomb.CodeStore, what, "what a server keeps is not for visitors: keys, and every release it has", do)
}

func cannotRead(path string, err error) error {
	return aplomb.NewError(aplomb.CodeNoFolder, fmt.Sprintf("%s cannot be read", path), reasonOf(err),
		"make it readable for this user, and deploy again").Because(err)
}

func changedWhileRead(path string) error {
	return aplomb.NewError(aplomb.CodeMissing, fmt.Sprintf("%s changed while it was read", path),
		"a build seems to be writing into the folder", "wait for the build to end, and deploy again")
}
