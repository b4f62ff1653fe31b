package policy

import (
	"fmt"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
)

// ending is a registered key that works, at the moment from which on the rules refuse it.
type ending struct {
	key    authkeys.Key
	origin string
	at     time.Time
	last   span // by which it is accepted until then
}

// Ends lists a user's registered keys that work and that the rules in force will refuse, however late that is.
func (g *Grants) Ends(user string) []Denial {
	return g.ends(user, func(ending) bool { return true })
}

// Soon lists those of them that the rules will refuse within the time of [Rules.Warn] after a moment, at which the grants hold still.
func (g *Grants) Soon(user string, now time.Time) []Denial {
	last := now.AddDate(0, 0, int(g.policy.warn))
	return g.ends(user, func(e ending) bool { return !e.at.After(last) })
}

func (g *Grants) ends(user string, of func(ending) bool) (list []Denial) {
	for _, e := range g.of(user).ends {
		if of(e) {
			list = append(list, Denial{Key: e.key, Origin: e.origin, At: e.at, Verdict: Verdict{ReasonSoon, g.policy.ends(e)}})
		}
	}
	return list
}

// ends says when a key is refused, by what it is accepted until then, and what after that.
func (p *Policy) ends(e ending) string {
	return fmt.Sprintf("the key will be refused from %s on: the rule is %s; then this centre requires %s", e.at.Format(time.DateOnly), e.last, p.rules.required(e.at))
}
