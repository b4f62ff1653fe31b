package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// The centre's options are in the text for its users, in all forms.
func TestPolicyShowOptions(t *testing.T) {
	for name, c := range map[string]struct {
		options, want string
		registered    int
	}{
		"none":   {"{allow: []}", "We register none. ", 0},
		"some":   {"{allow: [Restrict, from]}", "where they are `restrict` or `from`: ask us for them. ", 2},
		"all":    {"{}", "They are registered with the key: ask us for them. ", 22},
		"forced": {"{force: [{options: 'restrict,pty'}, {hosts: [login1, 'login2*'], options: 'no-pty'}]}", "Every line gets `restrict,pty` from us. On `login1` and `login2*` every line gets `no-pty` from us.", 22},
	} {
		keyreeve := checkSite(t, "policy: {keys: [{type: ed25519}], options: "+c.options+"}\n")
		_, out, errs := keyreeve("", "policy", "show", "--format", "markdown")
		if text := strings.Join(strings.Fields(out), " ") + " "; !strings.Contains(text, c.want) || errs != "" ||
			!strings.Contains(text, "`no-touch-required`, `no-verify-required`, `environment` and `tunnel` are taken out there, and lines with `cert-authority` or `principals` are removed.") {
			t.Errorf("%s: %s\n%s", name, errs, out)
		}
		_, out, _ = keyreeve("", "policy", "show", "--format", "json")
		var d showDocument
		if err := json.Unmarshal([]byte(out), &d); err != nil || len(d.Options.Registered) != c.registered || len(d.Options.TakenOut) != 4 {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// What becomes of options in front of a key is said by their names, and nothing of their values is repeated.
func TestCheckKeyOptions(t *testing.T) {
	_, keys := vectors(t)
	centre := "policy: {keys: [{type: ed25519}], options: {allow: [from, restrict], force: [{options: 'from=\"10.0.0.0/8\"'}, {hosts: [node*], options: restrict}]}}\n"
	for name, c := range map[string]struct {
		policy, options string
		want            []string
	}{
		"default": {"", `from="10.9.9.9",environment="A=SECRET"`, []string{
			"registered with them, the key counts with them", "the line stays, without environment",
		}},
		"centre": {centre, `from="10.9.9.9",environment="A=SECRET"`, []string{
			"registered with them, the key counts, without environment", "every line carries behind its own from=\"10.0.0.0/8\"", "on node* every line carries behind its own restrict",
		}},
		"not allowed": {centre, `command="SECRET"`, []string{"the key does not count: its option command is not one of those that policy.options.allow lists", "the line stays with them"}},
		"conflict":    {centre, `from="SECRET"`, []string{"the key does not count: they cannot be joined with those that the centre forces"}},
		"bad":         {"", `from="10.9.9.9",command="SECRET",command="x"`, []string{"sshd does not take them as they stand, and would ignore the line"}},
	} {
		keyreeve := checkSite(t, c.policy)
		status, out, errs := keyreeve(c.options+" "+keys["A"], "check-key")
		_, document, _ := keyreeve(c.options+" "+keys["A"], "check-key", "--format", "json")
		text := strings.Join(strings.Fields(out), " ")
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: there is no %q in\n%s", name, want, out)
			}
		}
		if all := out + document; status != statusAttention || errs != "" || strings.Contains(all, "SECRET") || strings.Contains(all, "10.9.9.9") {
			t.Errorf("%s: %d, %s\n%s", name, status, errs, all)
		}
	}
}
