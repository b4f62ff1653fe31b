// Package explain says why the keys of one user log him in, or do not: step by step, in the order of sshd, with the first thing that stops a login.
//
// [Judge] is pure. The [Facts] are what somebody has found out before: what sshd says of itself (sshd -T), what it finds in the home with the user's
// rights, what its AuthorizedKeysCommand answered, what the registry lists and the policy makes of it. The [Answer] is for people ([Answer.Text], 80
// columns) and, as JSON, for machines: its codes are a contract.
//
//	answer := explain.Judge(facts)
//	answer.Text(out)
//
// The verdict is about logins by a key as they are at this moment. What keyreeve is going to do about a line that is there is told beside it.
//
// # Limits
//
// Certificates, passwords and other ways in are not judged; that they may let somebody in is told. What a connection decides about is known for the address
// that was named, or told. PAM is known as far as its stack names the gate and pam_nologin.
package explain

import (
	"net/netip"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/doctor"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/host"
	"github.com/keyreeve/keyreeve/policy"
)

// Facts are what is known of a user.
type Facts struct {
	User string
	Now  time.Time
	// Zone is that of the host, for expiry-time without Z.
	Zone *time.Location
	// From is the address of the client; the zero Addr where it is not known.
	From netip.Addr
	// Wanted is what the question is about: a fingerprint of SHA-256, and the key where it was given whole. None: all keys.
	Wanted string
	Key    authkeys.Key

	// Account is what NSS says; nil where it knows nobody of that name.
	Account *Account
	// NoLogin names a file that keeps everybody out but root, such as /etc/nologin; PAM says whether one that sshd itself does not ask for counts.
	NoLogin string

	Registry Registry
	// Judge is the policy's verdict on a line of his.
	Judge   func(authkeys.Line) policy.Verdict
	Servers []Server
	// Removed are lines that went, the newest first.
	Removed []Removed
	// Unknown is what could not be found out, and Notes what else one should know.
	Unknown, Notes []string
}

// Account is an account as sshd has it.
type Account struct {
	host.Account
	host.Shut

	// ShellFault says why the shell is none, as sshd looks at it.
	ShellFault string
	// Groups are the names of his groups, where sshd's configuration asks for them.
	Groups []string
	// Own are the groups of others' directories and files above that are his alone (host.OwnGroup).
	Own map[int]bool
}

// Registry is what keyreeve knows of him.
type Registry struct {
	// Listed: the reading that counts has an entry of him. UID and Home are those of it.
	Listed bool
	UID    int
	Home   string
	// Away says why his account has no keys at all, LeftAlone why keyreeve does not keep his files.
	Away      policy.Verdict
	LeftAlone string
	// Mode is report, warn or enforce.
	Mode string
	// Said are the steps that were made of it before, by the daemon; where there are some, nothing is made of the rest.
	Said []Step
	Keys []Registered
}

// Registered is a key that the registry lists for him, or an exception.
type Registered struct {
	Key     authkeys.Key
	Label   string
	Options string
	policy.Verdict

	Until time.Time // zero: for good
}

// Server is one sshd of the host, and what it finds.
type Server struct {
	Config   string
	Settings host.Settings
	// Err: it does not say what it does. Its defaults are judged by then.
	Err error
	// TrustsOwnGroups: a group that is the user's own may write to his key files (host.SSHD.TrustsOwnGroups).
	TrustsOwnGroups bool
	// Blocks are what Match lines ask for that a connection decides about.
	Blocks []string
	Files  []File
	// Unkept are files that sshd may read, and that were not looked at.
	Unkept  []homes.Unkept
	Command *Command
	// Revoked are the files of RevokedKeys, in their order.
	Revoked []Revoked
	Gate    doctor.Gate
	// Granted are the fingerprints that the gate lets in; GateErr says why it lets nobody in.
	Granted map[string]bool
	GateErr error
	// NoLogin: its stack of PAM asks for it, or it does so itself.
	NoLogin bool
}

// File is a file of AuthorizedKeysFile.
type File struct {
	// Name is its path, below the home relative to it.
	Name string
	homes.Sight

	Err error
}

// Command is AuthorizedKeysCommand, as it was run.
type Command struct {
	Words []string
	User  string
	// Fault says why sshd does not run it.
	Fault string
	// Answers are what it printed, by the fingerprint of the key that it was asked for; "" where it is not told the key.
	Answers map[string]Said
}

// Said is an answer of a command.
type Said struct {
	Text []byte
	Err  error
}

// Revoked is a file of RevokedKeys.
type Revoked struct {
	Path string
	// Fault: sshd cannot read it, and takes no key of anybody.
	Fault string
	Keys  map[string]bool // the fingerprints of those of his keys that are on it
}

// Removed is a line that keyreeve took out of a file, or replaced with the whole of it.
type Removed struct {
	Time        time.Time
	File        string
	Line        int
	Fingerprint string
	Reason      string
	Detail      string
	Copy        string // in quarantine
}
