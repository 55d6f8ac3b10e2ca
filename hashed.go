package aplomb

// DetectLayout returns the framework whose output the files are, as far as their names tell, "" in doubt.
func DetectLayout(files []File) string { return "" }

// IsHashed reports whether the name of a file changes with its content.
func IsHashed(path, framework string, globs []string) bool { return false }

// CheckGlob reports what is wrong with a glob of Settings.Hashed.
func CheckGlob(glob string) error { return nil }
