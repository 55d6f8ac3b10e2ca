package aplomb

// Limits bound what an upload may bring. The zero value allows nothing; start from DefaultLimits.
type Limits struct {
	Files        int   // files of one release
	FileBytes    int64 // bytes of one file
	TotalBytes   int64 // bytes of all files of one release
	PathBytes    int   // bytes of one path
	PathSegments int   // segments of one path
	RulesBytes   int64 // bytes of one rule file
	RuleLine     int   // bytes of one line of a rule file
	HeaderRules  int   // blocks of a _headers file
	HeaderFields int   // fields of one block of a _headers file
	Redirects    int   // rules of a _redirects file
	Dynamic      int   // of these, rules with a splat or a placeholder
}

// DefaultLimits returns the limits of an installation that sets none.
func DefaultLimits() Limits {
	return Limits{
		Files:        100_000,
		FileBytes:    2 << 30,
		TotalBytes:   20 << 30,
		PathBytes:    1024,
		PathSegments: 32,
		RulesBytes:   1 << 20,
		RuleLine:     4096,
		HeaderRules:  1000,
		HeaderFields: 100,
		Redirects:    10_000,
		Dynamic:      1000,
	}
}
