package authkeys_test

import (
	"slices"
	"testing"

	"github.com/keyreeve/keyreeve/authkeys"
)

func TestNeeds(t *testing.T) {
	for field, want := range map[string]string{
		``:                                   ` 0.0`,
		`no-pty,from="a",command="x"`:        ` 0.0`,
		`restrict,pty`:                       `restrict 7.2`,
		`X11-forwarding`:                     `x11-forwarding 7.2`,
		`principals="a"`:                     `principals 5.6`,
		`expiry-time="20990101",restrict`:    `expiry-time="20990101" 7.7`,
		`restrict,expiry-time="209901010Z"`:  `error`,
		`expiry-time="20990101Z"`:            `expiry-time="20990101Z" 9.1`,
		`expiry-time="20990101utc",restrict`: `expiry-time="20990101utc" 9.1`,
		`permitlisten="1"`:                   `permitlisten 7.8`,
		`no-touch-required`:                  `no-touch-required 8.2`,
		`verify-required,touch-required`:     `verify-required 8.4`,
	} {
		o, err := authkeys.ParseOptions(field)
		option, v := o.Needs()
		got := option + " " + v.String()
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", field, got, want)
		}
	}
	v := authkeys.Version{Major: 7, Minor: 10}
	if v.Before(authkeys.Version{Major: 7, Minor: 2}) || !v.Before(authkeys.Version{Major: 8}) || v.Before(v) {
		t.Error("7.10 is not between 7.2 and 8.0")
	}
}

// Taking out an option that only widens leaves what is no wider, and no name is unknown to its own list.
func TestWidening(t *testing.T) {
	names := authkeys.OptionNames()
	for _, name := range []string{"pty", "user-rc", "x11-forwarding", "environment", "tunnel", "no-touch-required", "no-verify-required"} {
		if !authkeys.Widening(name) || !slices.Contains(names, name) {
			t.Errorf("%s is said to narrow, or is unknown", name)
		}
	}
	for _, name := range []string{"restrict", "no-pty", "from", "command", "expiry-time", "permitopen", "permitlisten", "verify-required", "touch-required"} {
		if authkeys.Widening(name) || !slices.Contains(names, name) {
			t.Errorf("%s is said to widen, or is unknown", name)
		}
	}
}
