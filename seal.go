package aplomb

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// SealedManifest makes the manifest of a release from its uploaded files, the settings that travel with it, the texts
// of its rule files (nil when there are none), and the worker scripts found in its documents by WorkersInText. Files come
// out in the order of their paths, without the rule files, each with its type and whether its name changes with its
// content; documents and worker scripts are never hashed. What cannot be sealed is an *Error.
func SealedManifest(files []File, s Settings, headers, redirects []byte, workers []string, l Limits) (Manifest, []Warning, error) {
	if err := CheckFiles(files, l); err != nil {
		return Manifest{}, nil, err
	}
	for _, glob := range s.Hashed {
		if err := CheckGlob(glob); err != nil {
			return Manifest{}, nil, err
		}
	}
	seal := sealing{m: Manifest{Version: ManifestVersion, Settings: s}}
	if err := seal.parseRules(headers, redirects, l); err != nil {
		return Manifest{}, nil, err
	}
	seal.m.Files = make([]File, 0, len(files))
	for _, f := range files {
		if f.Path != HeadersFile && f.Path != RedirectsFile {
			seal.m.Files = append(seal.m.Files, f)
		}
	}
	if len(seal.m.Files) == 0 {
		return Manifest{}, nil, manifestError("the upload has rule files only", "a release serves at least one file")
	}
	slices.SortFunc(seal.m.Files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	seal.findWorkers(workers)
	seal.describeFiles()
	if err := seal.setFallback(); err != nil {
		return Manifest{}, nil, err
	}
	seal.warnings = append(seal.warnings, CheckHeaderRules(seal.m.Headers, seal.m.Files, seal.m.Workers, seal.answersNavigations())...)
	for i := range seal.m.Headers {
		seal.m.Headers[i].lines = nil // a sealed manifest is what is stored of it
	}
	seal.checkRedirects()
	return seal.m, seal.warnings, nil
}

// sealing is a manifest on its way.
type sealing struct {
	m        Manifest
	warnings []Warning
}

func (s *sealing) warn(path, format string, args ...any) {
	s.warnings = append(s.warnings, Warning{Path: path, Text: fmt.Sprintf(format, args...)})
}

func (s *sealing) parseRules(headers, redirects []byte, l Limits) error {
	var err error
	var warnings []Warning
	if s.m.Headers, warnings, err = ParseHeaders(headers, l); err != nil {
		return err
	}
	s.warnings = append(s.warnings, warnings...)
	if s.m.Redirects, warnings, err = ParseRedirects(redirects, l); err != nil {
		return err
	}
	s.warnings = append(s.warnings, warnings...)
	return nil
}

// has reports whether the release has a file of that path.
func (s *sealing) has(path string) bool {
	_, ok := s.find(path)
	return ok
}

func (s *sealing) find(path string) (File, bool) {
	i, ok := slices.BinarySearchFunc(s.m.Files, path, func(f File, p string) int { return cmp.Compare(f.Path, p) })
	if !ok {
		return File{}, false
	}
	return s.m.Files[i], true
}

// findWorkers keeps those worker scripts that are files of the release.
func (s *sealing) findWorkers(registered []string) {
	s.m.Workers = WorkersByName(s.m.Files)
	for _, path := range registered {
		if !s.has(path) {
			s.warn(path, "a document registers it as a service worker, and the folder does not have it")
			continue
		}
		s.m.Workers = append(s.m.Workers, path)
	}
	slices.Sort(s.m.Workers)
	s.m.Workers = slices.Compact(s.m.Workers)
}

// describeFiles sets each file's type and whether it is hashed.
func (s *sealing) describeFiles() {
	framework := s.m.Settings.Framework
	if framework == "" {
		framework = DetectLayout(s.m.Files)
	}
	base, framework := assetBase(s.m.Files, framework)
	typeRules := CompileHeaders(slices.DeleteFunc(slices.Clone(s.m.Headers), func(r HeaderRule) bool { return r.Pattern[0] != '/' }))
	maps, first := 0, ""
	for i := range s.m.Files {
		f := &s.m.Files[i]
		f.Type = ContentType(f.Path)
		if f.Type == octetStream {
			f.Type = ruledType(typeRules, f.Path)
		}
		hashed := IsHashed(f.Path, framework, s.m.Settings.Hashed) || isHashedBelow(base, f.Path, framework)
		f.Hashed = hashed && !IsDocument(f.Type) && !slices.Contains(s.m.Workers, f.Path)
		if strings.HasSuffix(f.Path, ".js.map") || strings.HasSuffix(f.Path, ".css.map") {
			maps++
			first = cmp.Or(first, f.Path)
		}
	}
	if maps > 0 {
		s.warn(first, "source maps are served to everyone: %d in this release; leave them out unless the source is public", maps)
	}
}

// ruledType returns the type that the rules give a file whose name does not tell one.
func ruledType(rules *HeaderMatcher, path string) string {
	set, _ := rules.Fields("", path)
	for _, f := range set {
		if f.Name == "Content-Type" {
			return f.Value
		}
	}
	return octetStream
}

// setFallback decides which document answers navigations to unknown paths.
func (s *sealing) setFallback() error {
	switch want := s.m.Settings.Fallback; want {
	case "none":
		return nil
	case "":
		s.m.Fallback = s.onlyDocument()
		return nil
	default:
		f, ok := s.find(want)
		if !ok || !IsDocument(f.Type) {
			return NewError(CodeConfig, fmt.Sprintf("the fallback %s cannot be used", shown(want)), "it is not a document of this release",
				`name one as in fallback = "/index.html", or write fallback = "none"`)
		}
		s.m.Fallback = want
		return nil
	}
}

// onlyDocument returns the one document of a release without a not-found page, "" when it has more.
func (s *sealing) onlyDocument() string {
	only := ""
	for _, f := range s.m.Files {
		if !IsDocument(f.Type) {
			continue
		}
		if only != "" || f.Path == "/404.html" {
			return ""
		}
		only = f.Path
	}
	return only
}

// answersNavigations reports whether paths without a file may be answered with a document.
func (s *sealing) answersNavigations() bool {
	return s.m.Fallback != "" || slices.ContainsFunc(s.m.Redirects, func(r Redirect) bool { return r.Status == 200 })
}

// checkRedirects warns of rules that never apply and of rules that lead to a file that is not there.
func (s *sealing) checkRedirects() {
	for _, r := range s.m.Redirects {
		c, err := compileRedirect(r)
		if err != nil {
			continue // not a rule that ParseRedirects returned
		}
		if c.pattern.static() && !c.force && c.pattern.host == nil {
			if path, ok := s.answers(c.pattern.literalPath()); ok {
				s.warnLine(r.Line, "%s is served as it is: a file comes before a redirect, unless its status ends in \"!\" as in %d!", shown(path), r.Status)
			}
		}
		if (r.Status == 200 || r.Status == 404 || r.Status == 410) && c.path.fixed() {
			if to := c.path.plain(nil); !s.served(to) {
				s.warnLine(r.Line, "%s is not in this release", shown(to))
			}
		}
	}
}

func (s *sealing) warnLine(line int, format string, args ...any) {
	s.warnings = append(s.warnings, Warning{Path: RedirectsFile, Line: line, Text: fmt.Sprintf(format, args...)})
}

// answers returns the file that answers a path, which is without a trailing slash.
func (s *sealing) answers(path string) (string, bool) {
	candidates := []string{path, path + "/index.html"}
	if s.m.Settings.CleanURLs == nil || *s.m.Settings.CleanURLs {
		candidates = append(candidates, path+".html")
	}
	for _, c := range candidates {
		if s.has(c) {
			return c, true
		}
	}
	return "", false
}

func (s *sealing) served(path string) bool {
	_, ok := s.answers(strings.TrimSuffix(path, "/"))
	return ok
}
