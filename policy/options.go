package policy

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/authkeys"
)

// OptionRules says what options do.
type OptionRules struct {
	// Allow names the options that a registered key may carry, as sshd(8) spells them; nil: all that [authkeys.OptionNames] has, but for
	// those of certificates. Of others those go that only widen; one that narrows is not taken from a key, and the key is not granted.
	Allow []string `yaml:"allow"`
	// Force is what every line carries behind its own options. Several entries for a host join.
	Force []Force `yaml:"force"`
	// Lift are lists that were forced once, each as it stands in lines: keyreeve does not know them from a user's own options, and takes
	// them out of the ends of lines whose options are their user's.
	Lift []string `yaml:"lift"`
}

// Force are options for some hosts.
type Force struct {
	// Hosts are glob patterns, in the form of path.Match, one of which is to match one of the host's names; nil: every host.
	Hosts []string `yaml:"hosts"`
	// Options is a list as in authorized_keys.
	Options string `yaml:"options"`
}

// Host is where a policy is to hold.
type Host struct {
	// Names are those of the host, for [Force.Hosts].
	Names []string
	// SSHD is the version of its sshd; zero: it is not known, and taken for one that knows every option.
	SSHD authkeys.Version
}

// ErrSSHD says that what is forced is unknown to this host's sshd: it would ignore every line, and nobody could log in.
var ErrSSHD = errors.New("this host's sshd would ignore every line")

// optionRules are rules of one host.
type optionRules struct {
	allow   map[string]bool // nil: all
	listed  []string        // as they stood in the rules
	forced  authkeys.Forced
	options authkeys.Options // those of forced
	lift    []authkeys.Options
	host    Host
}

// compile gives the rules of a host, or all that is wrong with them, for other hosts as well.
func (r OptionRules) compile(host Host) (optionRules, error) {
	o := optionRules{host: host, listed: r.Allow}
	var wrong []error
	if r.Allow != nil {
		o.allow = make(map[string]bool, len(r.Allow))
		known := authkeys.OptionNames()
		for i, name := range r.Allow {
			name = strings.ToLower(name)
			switch {
			case name == "cert-authority" || name == "principals":
				wrong = append(wrong, fmt.Errorf("policy.options.allow[%d]: a line with %s %s", i, name, admitsOthers))
			case !slices.Contains(known, name):
				wrong = append(wrong, fmt.Errorf("policy.options.allow[%d]: %q is no option of authorized_keys", i, name))
			}
			o.allow[name] = true
		}
	}
	var lists []authkeys.Options
	for i, force := range r.Force {
		options, err := force.check()
		if err != nil {
			wrong = append(wrong, fmt.Errorf("policy.options.force[%d]: %w", i, err))
			continue
		}
		if force.covers(host.Names) {
			lists = append(lists, options)
		}
	}
	for i, text := range r.Lift {
		options, err := Force{Options: text}.check()
		if err != nil {
			wrong = append(wrong, fmt.Errorf("policy.options.lift[%d]: %w", i, err))
		}
		o.lift = append(o.lift, options)
	}
	forced, err := authkeys.JoinForced(lists...)
	if err != nil {
		wrong = append(wrong, fmt.Errorf("policy.options.force: for this host (%s): %w", strings.Join(host.Names, ", "), err))
	}
	o.forced, o.options = forced, forced.Options()
	if why := o.unknown(o.options); why != "" {
		wrong = append(wrong, fmt.Errorf("policy.options.force: %w: %s", ErrSSHD, why))
	}
	return o, errors.Join(wrong...)
}

// check reads an entry alone, whatever host it is for.
func (f Force) check() (authkeys.Options, error) {
	options, err := authkeys.ParseOptions(f.Options)
	switch {
	case err != nil:
		return options, err
	case options.IsZero():
		return options, errors.New("it has no options")
	case f.Hosts != nil && len(f.Hosts) == 0:
		return options, errors.New("the list of hosts is empty; without it the options are for every host")
	}
	for _, pattern := range f.Hosts {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			return options, fmt.Errorf("the host %q is no pattern", pattern)
		}
	}
	_, err = authkeys.JoinForced(options)
	return options, err
}

// covers reports whether an entry is for a host of these names. Those of hosts have no case (RFC 4343).
func (f Force) covers(names []string) bool {
	if f.Hosts == nil {
		return true
	}
	for _, pattern := range f.Hosts {
		for _, name := range names {
			if ok, err := path.Match(strings.ToLower(pattern), strings.ToLower(name)); ok && err == nil {
				return true
			}
		}
	}
	return false
}

// demand gives what a line must carry whose key is registered, or excepted, with options, and the names of those that were left out. A
// verdict that is not granted says why there can be no such line.
func (o optionRules) demand(own authkeys.Options) (options authkeys.Options, dropped []string, v Verdict) {
	v = Verdict{Reason: ReasonGranted}
	if own.IsZero() {
		return o.options, nil, v
	}
	if o.allow != nil {
		own, dropped, v = o.allowed(own)
		if !v.Granted() {
			return authkeys.Options{}, nil, v
		}
	}
	options, err := o.forced.Behind(own)
	if err != nil {
		return authkeys.Options{}, nil, Verdict{ReasonForcedOption, err.Error()}
	}
	return options, dropped, v
}

// allowed takes out what is not on the list and only widens.
func (o optionRules) allowed(own authkeys.Options) (left authkeys.Options, dropped []string, v Verdict) {
	for name := range own.Names() {
		switch {
		case o.allow[name]:
		case !authkeys.Widening(name):
			return own, nil, Verdict{ReasonOption, fmt.Sprintf("its option %s is not one of those that policy.options.allow lists, and without it the key would do more", name)}
		case !slices.Contains(dropped, name):
			dropped = append(dropped, name)
		}
	}
	return own.Only(func(name string) bool { return o.allow[name] }), dropped, Verdict{Reason: ReasonGranted}
}

// unknown says which option this host's sshd does not know, and so would ignore the line; empty: it takes the line.
func (o optionRules) unknown(options authkeys.Options) string {
	if o.host.SSHD.IsZero() || options.IsZero() {
		return ""
	}
	option, since := options.Needs()
	if !o.host.SSHD.Before(since) {
		return ""
	}
	return fmt.Sprintf("the option %s needs OpenSSH %s, and this host's is %s", option, since, o.host.SSHD)
}

// grant completes a grant whose key is registered with options, or says why it is none.
func (o optionRules) grant(g Grant, own authkeys.Options) (grant Grant, dropped []string, v Verdict) {
	g.Options, dropped, v = o.demand(own)
	g.Free = own.Only(func(name string) bool { return !slices.Contains(dropped, name) }).IsZero()
	g.Withheld = o.unknown(g.Options)
	return g, dropped, v
}

// Own gives the options of a line with the key of a free grant, of which a user has made his own: those that narrow, without what was forced
// once, and with what every line must carry behind them. With an error there are too many.
func (g *Grants) Own(line authkeys.Options) (authkeys.Options, error) {
	return g.policy.options.own(line)
}

// own is Own by the rules alone.
func (o optionRules) own(line authkeys.Options) (authkeys.Options, error) {
	narrow := line.Narrowing()
	if o.options.IsZero() && len(o.lift) == 0 {
		return narrow, nil
	}
	return o.forced.Lift(narrow, o.lift...)
}

// Forced is what every line carries on this host.
func (p *Policy) Forced() authkeys.Options { return p.options.options }

// Host is where the policy holds.
func (p *Policy) Host() Host { return p.options.host }

// OptionRules are those by which the grants were made, for this host, whose sshd has the version.
func (g *Grants) OptionRules() (rules OptionRules, sshd authkeys.Version) {
	o := g.policy.options
	rules.Allow = o.listed
	if !o.options.IsZero() {
		rules.Force = []Force{{Options: o.options.String()}}
	}
	return rules, o.host.SSHD
}

// Taken reports whether this host's sshd takes a line with these options.
func (g *Grants) Taken(options authkeys.Options) bool { return g.policy.options.unknown(options) == "" }
