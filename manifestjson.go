package aplomb

import (
	"encoding/json"
	"fmt"
)

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
	if m.Version < 1 || m.Version > ManifestVersion {
		return Manifest{}, fmt.Errorf("decode manifest: version %d, this program reads up to %d: %w", m.Version, ManifestVersion, ErrInvalid)
	}
	for i := 1; i < len(m.Files); i++ {
		if m.Files[i-1].Path >= m.Files[i].Path {
			return Manifest{}, fmt.Errorf("decode manifest: %q after %q is out of order: %w", m.Files[i].Path, m.Files[i-1].Path, ErrInvalid)
		}
	}
	return m, nil
}
