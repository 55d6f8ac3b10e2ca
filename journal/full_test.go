package journal

func fillDisk(dir string) error { return nil }
