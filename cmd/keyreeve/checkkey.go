package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/pasted"
	"github.com/keyreeve/keyreeve/internal/plain"
)

// errRefused makes check-key end with statusAttention; it is not an error that is printed.
var errRefused = errors.New("the key is refused")

func newCheckKey(p process, path *string) *cobra.Command {
	var format, user string
	cmd := &cobra.Command{
		Use:   "check-key [FILE|-]",
		Short: "Say whether a pasted public key is good, and if not, what mends it",
		Long: "Say whether a text is one public key that the policy accepts, and if not, what is wrong with it and which command mends it.\n" +
			"The text is that of FILE, or of standard input. Nothing is changed, no server is asked, and any user may run it: where the\n" +
			"configuration cannot be read the default rules count, and where the last good reading of the registry cannot, it is not\n" +
			"said whether somebody has the key.\n\n" +
			"Exit status: 0 the key is good, 2 it is refused, 1 an error.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readPasted(p, args)
			if err != nil {
				return err
			}
			r, err := openRules(*path, cmd.Flags().Changed("config"))
			if err != nil {
				return err
			}
			d := checkKey(p, r, text, user)
			if err := printDocument(p, format, d, d.text); err != nil {
				return err
			}
			if !d.OK {
				return errRefused
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	cmd.Flags().StringVar(&user, "user", "", "`who` wants to register the key")
	// Who forgets the "-" gives the text itself as an argument, and that of a private key begins like a flag: pflag would repeat it.
	cmd.SetFlagErrorFunc(func(*cobra.Command, error) error {
		return withHint(errors.New("there is a flag that check-key does not have, or one without its value"), "%s", noArgument)
	})
	return cmd
}

// noArgument is said to who may have given a key in the place of a file's name.
const noArgument = "see \"keyreeve check-key --help\"; a text is not an argument: it is read from FILE or from standard input"

// readPasted reads what is to be looked at, and a byte more than the most.
func readPasted(p process, args []string) ([]byte, error) {
	if len(args) == 0 || args[0] == "-" {
		if p.Stdin == nil {
			return nil, errors.New("read standard input: there is none")
		}
		return io.ReadAll(io.LimitReader(p.Stdin, pasted.MaxSize+1))
	}
	// A FIFO would keep the open waiting.
	file, err := os.OpenFile(args[0], os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if failed, is := errors.AsType[*fs.PathError](err); is { // whose Path may be a private key, or a line of one
		return nil, withHint(fmt.Errorf("open the file: %w", failed.Err), "%s", noArgument)
	} else if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, withHint(fmt.Errorf("%s: is not a regular file", args[0]), "\"-\" is standard input")
	}
	return io.ReadAll(io.LimitReader(file, pasted.MaxSize+1))
}

// checkDocument is what check-key prints; docs/check-key.md tells of it.
type checkDocument struct {
	Version  int        `json:"version"`
	OK       bool       `json:"ok"`
	Code     string     `json:"code"`
	Message  string     `json:"message"`
	Commands []string   `json:"commands"`
	Form     string     `json:"form"`
	Line     string     `json:"line,omitempty"`
	Key      *pastedKey `json:"key,omitempty"`
	// Options are those in front of the key.
	Options  *optionsDocument `json:"options,omitempty"`
	Policy   policyDocument   `json:"policy"`
	Registry holderDocument   `json:"registry"`
}

type pastedKey struct {
	Type        string `json:"key_type"`
	Bits        int    `json:"key_bits"`
	Fingerprint string `json:"fingerprint"`
}

// holderDocument says who has a key by the last good reading.
type holderDocument struct {
	// State is "unknown", "free", "yours" or "taken".
	State string     `json:"state"`
	Users []string   `json:"users"`
	Read  *time.Time `json:"read,omitempty"`
	Why   string     `json:"why,omitempty"` // it is unknown
}

// The states of a key in the registry.
const (
	holderUnknown = "unknown"
	holderFree    = "free"
	holderYours   = "yours"
	holderTaken   = "taken"
)

// codeTaken is the one code that is neither of the text nor of the policy.
const codeTaken = "registered-to-another"

// checkKey judges a text: what it is, then the policy, then the registry.
func checkKey(p process, r rules, text []byte, user string) checkDocument {
	found := pasted.Examine(text)
	d := checkDocument{Version: 1, Form: string(found.Code), Policy: r.document(), Registry: holderDocument{State: holderUnknown, Users: []string{}, Why: "there is no key"}}
	if !found.HasKey() {
		return d.refuse(r, found)
	}
	key := found.Line.Key
	d.Key = &pastedKey{Type: key.Type(), Bits: key.Bits(), Fingerprint: key.Fingerprint()}
	d.Options, d.Registry = r.options(found), holders(r.config, key, user)
	verdict := r.policy.Check(key, r.now)
	switch {
	case !verdict.Granted() && found.Code == pasted.PuTTY:
		return d.refuse(r, pasted.Say(pasted.PrivateKey))
	case !verdict.Granted():
		return d.refuse(r, pasted.Diagnosis{Code: pasted.Code(verdict.Reason), Says: sentence(verdict.Detail) + " Make a new pair.", Do: []string{pasted.NewPair, pasted.ShowNew}})
	case ofThisHost(p, key):
		return d.refuse(r, pasted.Say(pasted.HostKey))
	}
	d.Line = string(found.Line.AppendTo(nil))
	d.Line = d.Line[:len(d.Line)-1]
	switch {
	case d.Registry.State == holderTaken:
		d.Line = ""
		return d.refuse(r, pasted.Diagnosis{Code: codeTaken, Says: "This key is already registered to somebody else, and one key is for one person. Make a pair of your own.", Do: []string{pasted.NewPair, pasted.ShowNew}})
	case found.Code != pasted.Good:
		return d.refuse(r, found)
	}
	d.OK, d.Code, d.Commands = true, string(pasted.Good), []string{}
	d.Message = "This is one public key, and the policy accepts it."
	if d.Registry.State == holderYours {
		d.Message += " It is already registered to you."
	}
	return d
}

// refuse fills in what is wrong.
func (d checkDocument) refuse(r rules, found pasted.Diagnosis) checkDocument {
	d.Code, d.Message, d.Commands = string(found.Code), found.Says, r.commands(found.Do)
	return d
}

// holders says who has a key registered. Who may not read that is told nothing but that.
func holders(c *config.Config, key authkeys.Key, user string) holderDocument {
	d := holderDocument{State: holderUnknown, Users: []string{}}
	if c == nil {
		d.Why = "there is no configuration that names a registry"
		return d
	}
	gate, err := enforcer.OpenGate(registryDir(*c))
	good := gate.Good(sourceID(c.Registry))
	switch {
	case good == nil && err != nil:
		d.Why = strings.ReplaceAll(err.Error(), "\n", "; ")
		return d
	case good == nil:
		d.Why = "no reading of the registry has been kept yet"
		return d
	}
	read := good.Read.UTC().Truncate(time.Second)
	d.State, d.Read = holderFree, &read
	for u := range good.Snapshot.Users() {
		for _, record := range u.Records {
			if record.Key == key && !slices.Contains(d.Users, u.Name) {
				d.Users = append(d.Users, u.Name)
			}
		}
	}
	switch {
	case len(d.Users) == 1 && d.Users[0] == user:
		d.State = holderYours
	case len(d.Users) > 0:
		d.State = holderTaken
	}
	return d
}

// ofThisHost says whether a key is one by which this host proves itself (sshd_config(5), HostKey), from the files that everybody may read.
func ofThisHost(p process, key authkeys.Key) bool {
	names, err := filepath.Glob(filepath.Join(p.root(), "etc/ssh/ssh_host_*_key.pub"))
	if err != nil {
		return false
	}
	return slices.ContainsFunc(names, func(name string) bool {
		text, err := readPasted(p, []string{name})
		if err != nil {
			return false
		}
		line, err := authkeys.ParseValue(text)
		return err == nil && line.Key == key
	})
}

// sentence makes one of the policy's words.
func sentence(words string) string {
	words = plain.Text(words)
	if words == "" {
		return words
	}
	if c := words[0]; c >= 'a' && c <= 'z' {
		words = string(c-'a'+'A') + words[1:]
	}
	return words + "."
}
