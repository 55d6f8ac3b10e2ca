package aplomb

// CheckFiles reports the first file that cannot be part of a release, as an *Error that names it.
func CheckFiles(files []File, l Limits) error { return nil }
