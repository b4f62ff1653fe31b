package homes

// KeyFiles are the files in which sshd looks for an account's keys.
type KeyFiles struct {
	// Paths name those that can be kept, in the order in which sshd reads them: clean, absolute or relative to the home,
	// as Read takes them.
	Paths []string
	// Patterns are those of them that glob(3) expands: the last name of each is a Pattern, and its own Name is in Paths.
	// What else they find is for Door.Glob.
	Patterns []string
	// Unkept are those that cannot.
	Unkept []Unkept
}

// Unkept is a file, or an entry of sshd's AuthorizedKeysFile that names no single file, which sshd may read for an account
// and which is not kept.
type Unkept struct {
	Path string // as sshd's configuration has it
	Why  string
}
