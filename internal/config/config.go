// Package config reads keyreeve's one configuration file.
//
// [Parse] is pure: bytes in, a checked [Config] out, or every error of the file at once, each with its line. A key that is not
// known is an error that names the nearest known one; so is a key without a value, since a list that was emptied by
// mistake must not silently mean its default. A file that has an error changes nothing.
package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/ldapsource"
	"github.com/keyreeve/keyreeve/policy"
)

// Config is the whole configuration. Keys that a file leaves out have the values of [Default].
type Config struct {
	// Mode is Report, Warn or Enforce, for those of whom Users and Groups say nothing else.
	Mode   string      `yaml:"mode"`
	Groups []GroupMode `yaml:"groups"`
	Users  []UserMode  `yaml:"users"`
	// Admins are accounts of which one at least must be able to log in when enforcing begins. None: nobody is asked for.
	Admins []string `yaml:"admins"`

	Registry Registry     `yaml:"registry"`
	Homes    Homes        `yaml:"homes"`
	Policy   policy.Rules `yaml:"policy"`
	Brake    Brake        `yaml:"brake"`
	// StateDir holds the quarantine, RuntimeDir the daemon's lock, and what it tells of itself and users of themselves.
	StateDir string `yaml:"state_dir"`
	// QuarantineFull is Stop or Remove: what becomes of a change when there is no room for its copy. QuarantineMaxAge is how long
	// a copy is kept, QuarantineMaxSize how many bytes all of them may have.
	QuarantineFull    string `yaml:"quarantine_full"`
	QuarantineMaxAge  Age    `yaml:"quarantine_max_age"`
	QuarantineMaxSize Size   `yaml:"quarantine_max_size"`

	RuntimeDir string `yaml:"runtime_dir"`
	Audit      Audit  `yaml:"audit"`
	// Answer is where keyreeve-keys finds what it tells sshd.
	Answer Answer `yaml:"answer"`
	// Deny is what sshd is told to refuse.
	Deny Deny `yaml:"deny"`
	// Notify is how users are told of what was removed from their files.
	Notify Notify `yaml:"notify"`
	// Metrics are for Prometheus.
	Metrics Metrics `yaml:"metrics"`
	// Doctor is what the centre wants of this host beside keys.
	Doctor Doctor `yaml:"doctor"`
	// PrivateKeys are those that should not be in homes.
	PrivateKeys PrivateKeys `yaml:"private_keys"`

	// SHA256 is the digest of the file's bytes in hex, for the log.
	SHA256 string `yaml:"-"`
}

// The values of QuarantineFull.
const (
	Stop   = "stop"
	Remove = "remove"
)

// The values of Registry.Source, Registry.Stale, Homes.Install, Homes.Accounts and Homes.Guard.
const (
	LDAPSource     = "ldap"
	LDIFSource     = "ldif"
	Serve          = "serve"
	Refuse         = "refuse"
	InstallPresent = "present"
	InstallAll     = "all"
	accountsByNSS  = "nss"
	fromRegistry   = "registry"
	guardUser      = "user"
	GuardRoot      = "root"
)

// Homes says whose homes are kept, and how.
type Homes struct {
	Accounts  string        `yaml:"accounts"`
	Include   []string      `yaml:"include"`
	Install   string        `yaml:"install"`
	Sweep     time.Duration `yaml:"sweep"`
	FastCheck time.Duration `yaml:"fast_check"`
	MinUID    int           `yaml:"min_uid"`
	Guard     string        `yaml:"guard"`
	SSHD      SSHD          `yaml:"sshd"`
}

// SSHD says whose word it is which files are kept.
type SSHD struct {
	// Program is the path of sshd; empty: where systems have it.
	Program string `yaml:"program"`
	// Configs are the configuration files of the sshd processes of this host. None: nobody is asked, and the two files
	// that sshd reads by default are kept.
	Configs []string `yaml:"configs"`
}

// Brake says how many people may lose registered keys in what time before their removal stops.
type Brake struct {
	People int           `yaml:"people"`
	Window time.Duration `yaml:"window"`
}

// mostPeople bounds Brake.People: whoever expects more says so by releasing the brake.
const mostPeople = 1000

func (b Brake) check() error {
	var people error
	if b.People < 1 || b.People > mostPeople {
		people = fmt.Errorf("brake.people: %d is not between 1 and %d", b.People, mostPeople)
	}
	return errors.Join(people, between("brake.window", b.Window, time.Minute, 7*24*time.Hour))
}

// Default is what holds for every key that a file leaves out. It has no registry: that one a file must name.
func Default() Config {
	return Config{
		Mode: Report, Groups: []GroupMode{}, Users: []UserMode{}, Admins: []string{},
		Registry: Registry{
			Refresh: 5 * time.Minute, MaxStale: Age(day), Stale: Serve, Hold: Hold{Percent: 5, Least: 3},
			LDAP: ldapsource.DefaultLDAP(),
			LDIF: LDIF{Preset: ldapsource.OpenSSHLPK, Attributes: ldapsource.DefaultSchema()},
		},
		Homes: Homes{
			Accounts: fromRegistry, Install: InstallPresent, Sweep: 10 * time.Minute, FastCheck: 15 * time.Second,
			MinUID: 1000, Guard: guardUser, SSHD: SSHD{Configs: []string{"/etc/ssh/sshd_config"}},
		},
		Policy:   policy.DefaultRules(),
		Brake:    Brake{People: 10, Window: time.Hour},
		StateDir: "/var/lib/keyreeve",

		QuarantineFull: Stop, QuarantineMaxAge: Age(400 * day), QuarantineMaxSize: 4 << 30,

		RuntimeDir: "/run/keyreeve",
		Audit:      Audit{File: "/var/log/keyreeve/audit.jsonl"},
		Deny:       Deny{Except: []string{}},
		Notify:     defaultNotify(),
		Doctor:     Doctor{Passwords: Allow},

		PrivateKeys: PrivateKeys{Action: Report, Dirs: []string{".ssh"}},
	}
}

// Parse reads a configuration; name is the file's name in errors.
func Parse(name string, data []byte) (Config, error) {
	first := Default()
	if err := decode(name, data, &first); err != nil {
		return Config{}, err
	}
	c := first.Registry.defaults()
	if err := decode(name, data, &c); err != nil {
		return Config{}, err
	}
	if err := c.check(); err != nil {
		return Config{}, prefix(name, err)
	}
	sum := sha256.Sum256(data)
	c.SHA256 = hex.EncodeToString(sum[:])
	return c, nil
}

// prefix puts the file's name before each of several errors.
func prefix(name string, err error) error {
	var list []error
	for line := range strings.SplitSeq(err.Error(), "\n") {
		list = append(list, fmt.Errorf("%s: %s", name, line))
	}
	return errors.Join(list...)
}

// check finds values that no decoder can: all of them, not only the first.
func (c Config) check() error {
	return errors.Join(
		c.checkModes(),
		c.Registry.check(),
		c.Homes.check(),
		checkPolicy(c.Policy),
		c.Brake.check(),
		absolute("state_dir", c.StateDir),
		oneOf("quarantine_full", c.QuarantineFull, Stop, Remove),
		c.bounds(),
		absolute("runtime_dir", c.RuntimeDir),
		absolute("audit.file", c.Audit.File),
		c.Answer.check(), c.Deny.check(), c.Notify.check(), c.Metrics.check(),
		oneOf("doctor.passwords", c.Doctor.Passwords, Allow, Forbid),
		c.PrivateKeys.check(),
	)
}

// leastSize is room for some copies of the largest files.
const leastSize = 16 << 20

// bounds checks those of the quarantine.
func (c Config) bounds() error {
	var list []error
	if c.QuarantineMaxAge < Age(day) {
		list = append(list, fmt.Errorf("quarantine_max_age: %v is less than 1d", c.QuarantineMaxAge))
	}
	if c.QuarantineMaxSize < leastSize {
		list = append(list, fmt.Errorf("quarantine_max_size: %d bytes are less than 16MiB", c.QuarantineMaxSize))
	}
	return errors.Join(list...)
}

// within puts the group's name before each of several errors.
func within(group string, err error) error {
	if err == nil {
		return nil
	}
	return prefix(group, err)
}

func (h Homes) check() error {
	list := []error{
		oneOf("homes.accounts", h.Accounts, fromRegistry, accountsByNSS),
		oneOf("homes.install", h.Install, InstallPresent, InstallAll),
		oneOf("homes.guard", h.Guard, guardUser, GuardRoot),
		between("homes.sweep", h.Sweep, time.Second, time.Hour), // each home's content is read once an hour at least
	}
	if h.Accounts == accountsByNSS {
		list = append(list, errors.New(`homes.accounts: "nss" is not built yet; the registry's posixAccount attributes are used`))
	}
	if h.FastCheck != 0 {
		list = append(list, between("homes.fast_check", h.FastCheck, time.Second, 24*time.Hour))
	}
	if h.MinUID < 1 {
		list = append(list, fmt.Errorf("homes.min_uid: %d is below 1; an account is named under homes.include instead", h.MinUID))
	}
	if h.SSHD.Program != "" {
		list = append(list, absolute("homes.sshd.program", h.SSHD.Program))
	}
	for i, path := range h.SSHD.Configs {
		list = append(list, absolute(fmt.Sprintf("homes.sshd.configs[%d]", i), path))
	}
	return errors.Join(list...)
}

func oneOf(at, value string, known ...string) error {
	if slices.Contains(known, value) {
		return nil
	}
	return fmt.Errorf("%s: %q is not one of %s", at, value, strings.Join(known, ", "))
}

func between(at string, value, low, high time.Duration) error {
	if value >= low && value <= high {
		return nil
	}
	return fmt.Errorf("%s: %v is not between %v and %v", at, value, low, high)
}

func absolute(at, path string) error {
	if filepath.IsAbs(path) && filepath.Clean(path) == path && path != "/" {
		return nil
	}
	return fmt.Errorf("%s: %q is not a plain absolute path", at, path)
}
