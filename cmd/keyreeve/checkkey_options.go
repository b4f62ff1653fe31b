package main

import (
	"bufio"
	"fmt"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/pasted"
	"github.com/keyreeve/keyreeve/policy"
)

// optionsDocument says what becomes of the options in front of a pasted key. They are named and not repeated: a value is foreign text, and may
// be a piece of a private key.
type optionsDocument struct {
	// Names are empty where sshd does not take the options as they stand.
	Names []string `json:"names"`
	// Registered is what a key comes to that the registry lists with them, OwnFile a line in its user's file, whose key it lists without.
	Registered optionsFate `json:"registered"`
	OwnFile    optionsFate `json:"own_file"`
	// Forced is what stands behind them in every line.
	Forced []forcedDocument `json:"forced"`
}

// optionsFate is a verdict on a line, by a reason of the policy, and the names of the options that it does not keep.
type optionsFate struct {
	Reason  string   `json:"reason"`
	Detail  string   `json:"detail,omitempty"`
	LeftOut []string `json:"left_out"`
}

// forcedDocument are options that every line carries: on every host, where none is named.
type forcedDocument struct {
	Options string   `json:"options"`
	Hosts   []string `json:"hosts,omitempty"` // patterns
}

// forced lists what the centre forces on lines, in the order of the configuration.
func (r rules) forced() []forcedDocument {
	list := []forcedDocument{}
	for _, f := range r.rules.Options.Force {
		list = append(list, forcedDocument{f.Options, f.Hosts})
	}
	return list
}

// options judges those in front of a pasted key; nil where there are none.
func (r rules) options(found pasted.Diagnosis) *optionsDocument {
	if found.Code != pasted.Options {
		return nil
	}
	d := optionsDocument{Names: []string{}, Forced: r.forced()}
	for name := range found.Options.Names() {
		if !slices.Contains(d.Names, name) {
			d.Names = append(d.Names, name)
		}
	}
	if len(d.Names) == 0 {
		fate := optionsFate{Reason: string(authkeys.ReasonMalformedOptions), Detail: "sshd does not take them as they stand, and would ignore the line", LeftOut: []string{}}
		d.Registered, d.OwnFile = fate, fate
		return &d
	}
	a := r.policy.CheckOptions(found.Options)
	d.Registered, d.OwnFile = fateOf(a.Registered, a.Dropped), fateOf(a.Own, a.Gone)
	return &d
}

func fateOf(v policy.Verdict, leftOut []string) optionsFate {
	f := optionsFate{Reason: string(v.Reason), Detail: v.Detail, LeftOut: append([]string{}, leftOut...)}
	if v.Reason == policy.ReasonForcedOption { // its words repeat values
		f.Detail = "they cannot be joined with those that the centre forces"
	}
	return f
}

func (d optionsDocument) text(out *bufio.Writer) {
	const margin = "          "
	if len(d.Names) == 0 {
		flow(out, "options   ", margin, d.Registered.Detail)
		return
	}
	flow(out, "options   ", margin, strings.Join(d.Names, ", "))
	flow(out, margin, margin, "registered with them, the key "+d.Registered.words("counts", "does not count"))
	flow(out, margin, margin, "in a home file, if the key is registered without options, the line "+d.OwnFile.words("stays", "goes"))
	for _, f := range d.Forced {
		flow(out, margin, margin, f.words())
	}
}

// words say what a verdict comes to.
func (f optionsFate) words(good, bad string) string {
	switch {
	case f.Reason != string(policy.ReasonGranted):
		return bad + ": " + f.Detail
	case len(f.LeftOut) > 0:
		return good + ", without " + strings.Join(f.LeftOut, ", ")
	}
	return good + " with them"
}

func (f forcedDocument) words() string {
	where := "every line carries"
	if len(f.Hosts) > 0 {
		where = fmt.Sprintf("on %s every line carries", strings.Join(f.Hosts, ", "))
	}
	return where + " behind its own " + f.Options
}
