package main

import (
	"bufio"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/authkeys"
)

// optionRulesDocument says what options may stand in front of a key, in words for its user.
type optionRulesDocument struct {
	// Registered are those that the registry may give a key. TakenOut are those that go from a line of a user's own, and Refused those with
	// which the line goes.
	Registered []string         `json:"registered"`
	TakenOut   []string         `json:"taken_out"`
	Refused    []string         `json:"refused"`
	Forced     []forcedDocument `json:"forced"`

	any bool // the registry may give all but the refused
}

func (r rules) optionRules() optionRulesDocument {
	d := optionRulesDocument{Registered: []string{}, Forced: r.forced(), any: r.rules.Options.Allow == nil}
	for _, name := range authkeys.OptionNames() {
		refused := name == "cert-authority" || name == "principals"
		allowed := func(listed string) bool { return strings.EqualFold(listed, name) }
		switch {
		case refused:
			d.Refused = append(d.Refused, name)
		case authkeys.BeyondPlain(name):
			d.TakenOut = append(d.TakenOut, name)
		}
		if !refused && (d.any || slices.ContainsFunc(r.rules.Options.Allow, allowed)) {
			d.Registered = append(d.Registered, name)
		}
	}
	return d
}

// text is the paragraph about options.
func (d optionRulesDocument) text(out *bufio.Writer, code func(string) string) {
	list := func(names []string, last string) string {
		var words []string
		for _, name := range names {
			words = append(words, code(name))
		}
		if n := len(words) - 1; n > 0 {
			return strings.Join(words[:n], ", ") + last + words[n]
		}
		return strings.Join(words, "")
	}
	says := []string{"Options in front of a key (see AUTHORIZED_KEYS in sshd(8)) bound what it may do, as " + code("from=") + " does with the addresses that it is used from."}
	switch {
	case d.any:
		says = append(says, "They are registered with the key: ask us for them.")
	case len(d.Registered) == 0:
		says = append(says, "We register none.")
	default:
		says = append(says, "They are registered with the key, where they are "+list(d.Registered, " or ")+": ask us for them.")
	}
	says = append(says, "In your own file you may bound a key further that is registered without any; "+list(d.TakenOut, " and ")+" are taken out there, and lines with "+
		list(d.Refused, " or ")+" are removed.")
	for _, f := range d.Forced {
		where := "Every line"
		if len(f.Hosts) > 0 {
			where = "On " + list(f.Hosts, " and ") + " every line"
		}
		says = append(says, where+" gets "+code(f.Options)+" from us.")
	}
	flow(out, "", "", strings.Join(says, " "))
}
