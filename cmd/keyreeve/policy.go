package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/pasted"
	"github.com/keyreeve/keyreeve/policy"
)

// rules are the centre's for a command that any user may run.
type rules struct {
	rules  policy.Rules
	policy *policy.Policy
	// config is nil where the default rules stand in for one that cannot be read.
	config *config.Config
	path   string
	// unread says that the blocklist could not be read.
	unread bool
	now    time.Time
}

// openRules takes the rules from the configuration. One that is not there, or that this user may not read, is no error unless it was named; one that is
// broken is.
func openRules(path string, named bool) (rules, error) {
	r := rules{rules: policy.DefaultRules(), now: time.Now()}
	c, err := loadConfig(path)
	switch {
	case err == nil:
		r.rules, r.config, r.path = c.Policy, &c, path
	case named, !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission):
		return rules{}, err
	}
	lists, err := readBlocklist(r.rules.Blocklist)
	if errors.Is(err, fs.ErrPermission) {
		r.unread, err = true, nil
	}
	if err == nil {
		r.policy, err = policy.Compile(r.rules, lists...)
	}
	if err != nil {
		return rules{}, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// commands puts what this centre accepts into commands that are for any.
func (r rules) commands(list []string) []string {
	recipe := r.rules.Recommended(r.now)
	out := []string{}
	for _, command := range list {
		switch command {
		case pasted.NewPair:
			command = recipe.Command
		case pasted.ShowNew:
			command = "cat " + recipe.File
		}
		out = append(out, command)
	}
	return out
}

// policyDocument says which rules were asked.
type policyDocument struct {
	Accepts string `json:"accepts"`
	// Source is the configuration's path, or "default".
	Source string `json:"source"`
	// Blocklist is "none", "read" or "unreadable".
	Blocklist string `json:"blocklist"`
}

func (r rules) document() policyDocument {
	d := policyDocument{Accepts: r.policy.String(), Source: r.path, Blocklist: "read"}
	switch {
	case r.unread:
		d.Blocklist = "unreadable"
	case r.rules.Blocklist == "":
		d.Blocklist = "none"
	}
	if r.config == nil {
		d.Source = "default"
	}
	return d
}

// note says what was not as it should be.
func (d policyDocument) note() string {
	switch {
	case d.Source == "default":
		return "the default rules: there is no configuration that this user may read"
	case d.Blocklist == "unreadable":
		return "the blocklist was not asked: this user may not read it"
	}
	return ""
}

func newPolicy(p process, path *string) *cobra.Command {
	group := newGroup("policy", "The centre's key policy")
	var format string
	show := &cobra.Command{
		Use:   "show",
		Short: "Print the policy as text for users",
		Long: "Print the policy as a paragraph for the centre's website, with the commands by which users follow it. Where the configuration\n" +
			"cannot be read, it is that of the default rules, and a note on standard error says so.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := openRules(*path, cmd.Flags().Changed("config"))
			if err != nil {
				return err
			}
			if r.config == nil {
				p.say("note: these are " + r.document().note())
			}
			d := r.show()
			if format == "markdown" {
				format, d.markdown = "text", true
			}
			return printDocument(p, format, d, d.text)
		},
	}
	show.Flags().StringVar(&format, "format", "text", "text, markdown or json")
	group.AddCommand(show)
	return group
}

// showDocument is what policy show prints.
type showDocument struct {
	Version int                 `json:"version"`
	Source  string              `json:"source"`
	Accepts string              `json:"accepts"`
	Keys    []recipeDocument    `json:"keys"`
	Check   string              `json:"check"`
	Refused []string            `json:"refused"`
	Options optionRulesDocument `json:"options"`

	markdown bool
}

type recipeDocument struct {
	Type    string `json:"type"`
	MinBits int    `json:"min_bits,omitempty"`
	Name    string `json:"name"`
	Command string `json:"command"`
	File    string `json:"file"`
}

func (r rules) show() showDocument {
	d := showDocument{
		Version: 1, Source: r.document().Source, Accepts: r.policy.String(), Keys: []recipeDocument{}, Options: r.optionRules(),
		Check: "ssh-keygen -l -f " + r.rules.Recommended(r.now).File,
	}
	short := ""
	types := make(map[string]bool)
	for _, recipe := range r.rules.Recipes(r.now) {
		types[recipe.Type] = true
		if recipe.MinBits > 0 && (short == "" || recipe.InForce) {
			short = fmt.Sprintf("RSA keys of less than %d bits", recipe.MinBits)
		}
		d.Keys = append(d.Keys, recipeDocument{Type: recipe.Type, MinBits: recipe.MinBits, Name: recipe.Name, Command: recipe.Command, File: recipe.File})
	}
	d.Refused = []string{"DSA and ECDSA keys"}
	for _, other := range []struct{ name, words string }{{"ed25519", "ed25519 keys"}, {"sk-ed25519", "hardware keys"}, {"rsa", "RSA keys"}} {
		if !types[other.name] {
			d.Refused = append(d.Refused, other.words)
		}
	}
	if short != "" {
		d.Refused = append(d.Refused, short)
	}
	d.Refused = append(d.Refused, "certificates", "keys that are known to be weak, or whose private half is public", "keys that are registered to somebody else")
	return d
}

// Text is the paragraph, in Markdown or without its marks: code is indented in both.
func (d showDocument) text(out *bufio.Writer) {
	code := func(text string) string { return text }
	title := "SSH keys\n========"
	if d.markdown {
		title = "## SSH keys"
		code = func(text string) string { return "`" + text + "`" }
	}
	fmt.Fprintf(out, "%s\n\n", title)
	flow(out, "", "", "You log in with an SSH key that is registered with us. We accept "+d.Accepts+". "+
		"Make a pair of keys on your own computer, with a passphrase:")
	for i, k := range d.Keys {
		if i > 0 {
			fmt.Fprintln(out)
			flow(out, "", "", "or, "+map[string]string{
				"ed25519": "if your programs know it,", "sk-ed25519": "for a hardware key (FIDO2) that is plugged in,", "rsa": "if your programs know nothing newer,",
			}[k.Type]+" "+k.Name+":")
		}
		fmt.Fprintf(out, "\n    %s\n", k.Command)
	}
	fmt.Fprintln(out)
	flow(out, "", "", "Send us the one line of the file whose name ends in "+code(".pub")+", such as "+code(d.Keys[0].File)+
		". The other file is the private key: never send it to anyone, us included. This shows type, size and fingerprint of what you have:")
	fmt.Fprintf(out, "\n    %s\n\n", d.Check)
	flow(out, "", "", "Refused are "+strings.Join(d.Refused[:len(d.Refused)-1], ", ")+", and "+d.Refused[len(d.Refused)-1]+".")
	fmt.Fprintln(out)
	d.Options.text(out, code)
}
