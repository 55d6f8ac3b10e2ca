package aplomb

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
)

// SealedManifest makes the manifest of a release from its uploaded files, the settings that travel with it, the texts
// of its rule files (nil when there are none), and the worker scripts found in its documents by WorkersInText.
func SealedManifest(files []File, s Settings, headers, redirects []byte, workers []string, l Limits) (Manifest, []Warning, error) {
	m := Manifest{Version: ManifestVersion, Settings: s}
	for _, f := range files {
		if f.Path == HeadersFile || f.Path == RedirectsFile {
			continue
		}
		f.Type = ContentType(f.Path)
		m.Files = append(m.Files, f)
	}
	slices.SortFunc(m.Files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	return m, nil, nil
}

// EncodeManifest returns the bytes under which a manifest is stored: the same for the same manifest.
func EncodeManifest(m Manifest) []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

// DecodeManifest reads what EncodeManifest wrote. It refuses a version newer than ManifestVersion, and paths that are
// not in order or stand there twice.
func DecodeManifest(b []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return Manifest{}, fmt.Errorf("decode manifest: %w", err)
	}
	return m, nil
}
