package main

import (
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// The three ways in which sshd may hear of keys (docs/sshd.md), each a server of its own, in the order of the columns below.
const (
	byHomes = iota
	byBoth
	byAnswers // "strong"
	allWays
)

// What comes of what one tries. Other words are what the session shows.
const (
	in    = "is let in"
	out   = "is refused"
	stays = "is as it was"
)

// row is a sentence of what keyreeve promises: what one tries, and what comes of it by the homes, by both, and in strong mode.
type row struct {
	words               string
	try                 attempt
	homes, both, strong string
}

func (r row) want(way int) string { return [allWays]string{r.homes, r.both, r.strong}[way] }

// state is a part of the table: how the world comes to be, from what it was in the state before, and what holds then.
type state struct {
	name  string
	begin func(*world)
	rows  []row
}

// Who gets in, by which way, in which state of the world: real daemon, slapd, sshd and ssh, with a key for each case. The daemon, the homes and
// the directory are the same for all ways; the servers differ, by the drop-ins that keyreeve brings, and none of them takes passwords.
func TestLoginsByEveryWay(t *testing.T) {
	testenv.Need(t, "root", "sshd", "slapd")
	w := newWorld(t)
	for _, state := range table() {
		state.begin(w)
		t.Run(state.name, func(t *testing.T) {
			for way, name := range [allWays]string{"homes", "both", "strong"} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					for _, row := range state.rows {
						if got, want := row.try(t, w, way), row.want(way); got != want {
							t.Errorf("%s: %s, want: %s", row.words, got, want)
						}
					}
				})
			}
		})
	}
	w.daemon.stop()
}

func table() []state {
	return []state{
		{"first boot, state directory empty, LDAP down", (*world).bootWithoutDirectory, []row{
			{"a registered key", login("good"), in, in, out},
			{"an unknown key, in a home that is left alone", login("stolen"), in, in, out},
			{"a key that is to have from= another host, in a home that is left alone", login("far"), in, in, out},
			{"break-glass", loginOf(saved, "saved"), in, in, in},
			{"the homes", homesAreLeftAlone, stays, stays, stays},
		}},
		{"first boot, state directory empty, LDAP up", (*world).bootWithDirectory, []row{
			{"a registered key, in the home", login("good"), in, in, in},
			{"a registered key, in no home", login("absent"), out, in, in},
			{"an unknown key that was in the home before", login("stolen"), out, out, out},
			{"break-glass", loginOf(saved, "saved"), in, in, in},
		}},
		{"home enforcement, strong mode, both", (*world).writeUnknownKeyInVain, []row{
			{"a registered key", login("good"), in, in, in},
			{"its terminal", terminal("good"), in, in, in},
			{"its forwarding", forwarding("good"), in, in, in},
			{"an unknown key that was written into the home", login("stolen"), out, out, out},
			{"password off: the right password", password, out, out, out},
			{"from= another host", login("far"), out, out, out},
			{"from= this host", login("near"), in, in, in},
			{"restrict: a command", login("restricted"), in, in, in},
			{"restrict: a terminal", terminal("restricted"), out, out, out},
			{"restrict: forwarding", forwarding("restricted"), out, out, out},
			{"command=: another command's output", output("forced", "asked"), "forced", "forced", "forced"},
			{"no command=: its own output", output("good", "asked"), "asked", "asked", "asked"},
			{"expiry-time= in the past", login("past"), out, out, out},
			{"expiry-time= in the future", login("future"), in, in, in},
			{"RSA 4096", login("rsa"), in, in, in},
			{"RSA 2048, though registered", login("short"), out, out, out},
			{"an sk key in file and answer, touched", securityKey(touched), in, in, in},
			{"an sk key in file and answer, not touched", securityKey(0), out, out, out},
			{"a user unknown to the registry, by his home", loginOf(strangeUser, "strange"), in, in, out},
			{"a user unknown to the registry, by a registered key of another's", loginOf(strangeUser, "good"), out, out, out},
			{"a user unknown to the system", loginOf(ghost, "good"), out, out, out},
			{"a user of the system whose name has another uid in the registry", loginOf(claimed, "good"), out, out, out},
			{"root", loginOf(root, "good"), out, out, out},
			{"a key that will be revoked", login("lost"), in, in, in},
			{"a registration that will end", login("ending"), in, in, in},
			{"a registration that will end, with the daemon killed", login("ending later"), in, in, in},
			{"an account that will end", loginOf(leaver, "good"), in, in, in},
			{"an account that will end, with the daemon killed", loginOf(later, "good"), in, in, in},
		}},
		{"revoked while a session is open", (*world).revoke, []row{
			{"the open session", openSession, stays, stays, stays},
			{"the next login", login("lost"), out, out, out},
			{"another key of the user's", login("good"), in, in, in},
		}},
		{"expired between two logins", (*world).passTheEnd, []row{
			{"the registration, by expiry-time=", login("ending"), out, out, out},
			{"the account", loginOf(leaver, "good"), out, out, out},
			{"others", login("good"), in, in, in},
		}},
		{"daemon killed", (*world).killAndPassTheEnd, []row{
			{"a registered key, in the home", login("good"), in, in, in},
			{"a registered key, in no home", login("absent"), out, in, in},
			{"an unknown key that was written into the home after it", login("stolen"), in, in, out},
			{"a revoked key", login("lost"), out, out, out},
			{"from= another host", login("far"), out, out, out},
			{"expired between two logins: the registration, by expiry-time=", login("ending later"), out, out, out},
			{"expired between two logins: the account, whose file nobody changes", loginOf(later, "good"), in, in, out},
		}},
		{"daemon started again", (*world).restart, []row{
			{"a registered key", login("good"), in, in, in},
			{"an unknown key", login("stolen"), out, out, out},
			{"an account that ended meanwhile", loginOf(later, "good"), out, out, out},
		}},
		{"LDAP down", (*world).stopDirectory, []row{
			{"a registered key", login("good"), in, in, in},
			{"a revoked key", login("lost"), out, out, out},
			{"an unknown key that was written into the home", login("stolen"), out, out, out},
			{"a user unknown to the registry, by his home", loginOf(strangeUser, "strange"), in, in, out},
		}},
		{"LDAP down, daemon killed and started again", (*world).restartWithoutDirectory, []row{
			{"a registered key", login("good"), in, in, in},
			{"an sk key, touched", securityKey(touched), in, in, in},
			{"from= another host", login("far"), out, out, out},
			{"an unknown key that was written into the home", login("stolen"), out, out, out},
			{"an account that ended", loginOf(leaver, "good"), out, out, out},
		}},
		{"LDAP down, state directory lost, the answers there", (*world).loseTheState, []row{
			{"a registered key", login("good"), in, in, in},
			{"a revoked key", login("lost"), out, out, out},
			{"an unknown key, in a home that is left alone", login("stolen"), in, in, out},
		}},
	}
}
