package doctor

import (
	"slices"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/host"
)

// Facts are what is known of a host.
type Facts struct {
	Config config.Config
	Now    time.Time
	// Said is what each sshd says, and Accounts of whom it was asked.
	Said     []host.Said
	Accounts []Account
	// NoReading: the registry was not read yet, and the sample is of /etc/passwd.
	NoReading bool
	// Homes is how many homes are kept, and Kinds counts them by the type of their file system.
	Homes int
	Kinds map[string]int
	// Locked are accounts of /etc/shadow whose password begins with "!".
	Locked []string
	// PAM are the lines of sshd's stack, whose file is Stack, with what they include; none where there is no such file.
	PAM   []PAMLine
	Stack string
	// Programs are those that sshd or PAM run, by path, with what is wrong with them; an empty text is none.
	Programs map[string]string
	// Answer is the file of answers, by path.
	Answer map[string]AnswerFile
	// Readers are the accounts that AuthorizedKeysCommandUser names, and Shut says what keeps one from a program or a file: a directory above it, say.
	Readers map[string]Reader
	Shut    map[Reach]string
	// Revoked are the files for RevokedKeys that sshd's configuration names, and deny.file, by path.
	Revoked map[string]RevokedFile
	// Authorities are the files of TrustedUserCAKeys, by path; Hosts are those of keys of hosts that all users trust.
	Authorities map[string]KeyFile
	Hosts       map[string]KeyFile
	// Spared are the files of deny.except, by path.
	Spared map[string]KeyFile
	// Processes are those that may be servers of SSH.
	Processes []Process
	// Watches and Instances are fs.inotify.max_user_watches and max_user_instances; 0 where they are not known.
	Watches, Instances int
	// Writers are tools that write key files: the path by which they are known.
	Writers []string
	// Equivalents are the files by which all users of other hosts get in (shosts.equiv).
	Equivalents []string
	// Clock is how far the directory's clock is ahead of this host's, if Clocked; it was asked for that, if ClockAsked.
	Clock               time.Duration
	Clocked, ClockAsked bool
	// Unread are reasons why some of it is not known.
	Unread []error
}

// Account is one of the sample.
type Account struct {
	homes.Account

	// Glass: he has to get in whatever becomes of keyreeve, as root and the administrators.
	Glass bool
	// Kept: his files are keyreeve's to keep.
	Kept bool
	// Files are what sshd reads for him. Of those who have to get in, the ones with a key's worth of bytes are in Filled; Hidden: they could not all
	// be looked at.
	Files  homes.KeyFiles
	Filled []GlassFile
	Hidden bool
}

// GlassFile is a file by which somebody gets in who has to.
type GlassFile struct {
	Path string
	// Unsafe says why sshd does not read it, unless StrictModes is off.
	Unsafe string
	// Keys are those in it, if Known: files of users are not read.
	Keys  []authkeys.Key
	Known bool
}

// PAMLine is one line of a stack (pam.conf(5)), without a leading "-".
type PAMLine struct {
	File    string
	Number  int
	Type    string // session, auth, ...
	Control string // one word, or all that is in brackets
	Module  string
	Args    []string
}

// Reader is an account of this host as which keyreeve-keys runs, with its primary group and those of /etc/group.
type Reader struct {
	UID    int
	Groups []int
}

// Reach is a file that somebody has to reach.
type Reach struct{ User, Path string }

// AnswerFile is what stat(2) and a reading say of the file of answers.
type AnswerFile struct {
	Missing, Stale bool
	Fault          string // empty: it can be read
	UID, GID       int
	Mode           uint32
}

// RevokedFile is a file as RevokedKeys names it.
type RevokedFile struct {
	// Fault: sshd cannot read it, and refuses everybody; Missing: since it is not there.
	Fault   string
	Missing bool
	// Exposed says who else than root may change it, or what it is in.
	Exposed string
	// Ours: keyreeve wrote it, with a key on it. Foreign: it is not, nor empty.
	Ours, Foreign bool
	// Damage: it is read, and is no list.
	Damage string
}

// KeyFile is a file of public keys.
type KeyFile struct {
	Keys []authkeys.Key
	Err  error
}

// Process is a process that may be a server of SSH.
type Process struct {
	PID, UID int
	Name     string   // comm, as proc(5) has it
	Args     []string // of the server; without the title that sshd gives itself
}

// glass are those who have to get in.
func (f Facts) glass() []Account {
	return slices.DeleteFunc(slices.Clone(f.Accounts), func(a Account) bool { return !a.Glass })
}
