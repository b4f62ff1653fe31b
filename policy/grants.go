package policy

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/cow"
	"github.com/keyreeve/keyreeve/registry"
)

// Grant is one key that works for one user now.
type Grant struct {
	Key authkeys.Key
	// Options is what every line with this key must carry.
	Options authkeys.Options
	// Free is set where the key has no options of its own: then the user's own narrowing ones may stand before these (Own), unless the
	// same key is granted with other options too.
	Free bool
	// Label is the comment of a line that is written for this grant.
	Label string
	// Held says why a key that is no longer registered stays where it is; it is not written anew. Empty: it is registered.
	Held string
	// Withheld says why this host's sshd would ignore all lines with the key: it is not told of them, and none is written anew. In a
	// file they stay, which another host may read whose sshd is newer.
	Withheld string
	// Until is the moment at which time alone ends the grant, in UTC; the zero time is never.
	Until time.Time
}

// Line is the canonical line of the grant.
func (g Grant) Line() authkeys.Line {
	return authkeys.Line{Kind: authkeys.Entry, Key: g.Key, Options: g.Options, Comment: g.Label}
}

// Denial is a registered key that does not work now, or, where it was dropped, an option of one that does.
type Denial struct {
	Key    authkeys.Key
	Origin string
	Verdict
	// At is the moment from which on a key will not work that does (ReasonSoon).
	At time.Time
}

// Grants is what the policy makes of a snapshot at one moment. It is immutable.
type Grants struct {
	policy     *Policy
	users      cow.Map[*userGrants]
	exceptions []Exception // that were asked for
	excepted   []numbered
	now        time.Time // of the evaluation
	next       time.Time // when time alone changes what a user is granted by the same rules; zero: never
}

// userGrants is what the policy makes of one user.
type userGrants struct {
	away   Verdict // why the account has no keys; without a reason where it counts
	grants []Grant
	denied []Denial
	// dropped are options that were left out.
	dropped []Denial
	ends    []ending // of keys that are granted
	former  []Former
	ended   []authkeys.Key // of exceptions
	next    time.Time      // when time alone changes this; zero: never
}

// Evaluate decides about every record of the snapshot, and about every exception, at the moment now. An exception may be for a
// user whom the snapshot does not have: an account that is kept without being registered. An account that does not count has
// no keys, whatever its records and exceptions say.
func (p *Policy) Evaluate(snapshot *registry.Snapshot, now time.Time, exceptions ...Exception) *Grants {
	p.moduli.examine(snapshot)
	users := make(map[string]*userGrants, snapshot.Len())
	for user := range snapshot.Users() {
		users[user.Name] = p.user(user, now)
	}
	return p.grants(users, now, exceptions, func(string) bool { return true })
}

// grants makes what the policy made of users, and is to make of those exceptions that are of some, into one.
func (p *Policy) grants(users map[string]*userGrants, now time.Time, exceptions []Exception, of func(user string) bool) *Grants {
	g := &Grants{policy: p, exceptions: exceptions, now: now}
	g.except(users, now, of)
	for _, u := range users {
		g.next = earlier(g.next, u.next)
	}
	g.users = cow.Of(users)
	return g
}

// user decides about every record of one user.
func (p *Policy) user(user registry.User, now time.Time) *userGrants {
	of := &userGrants{away: away(user, now)}
	of.turn(user.Until, now)
	if of.away.Reason == "" {
		of.grants = make([]Grant, 0, len(user.Records))
	}
	for _, record := range user.Records {
		verdict := of.away
		if verdict.Reason == "" {
			verdict = p.judge(record, now)
		}
		if verdict.Granted() {
			grant := Grant{Key: record.Key, Label: record.Label, Until: earlier(record.NotAfter, user.Until)}
			verdict = p.bounded(of, grant, record, now)
		}
		if !verdict.Granted() {
			of.denied = append(of.denied, Denial{Key: record.Key, Origin: record.Origin, Verdict: verdict})
		}
		of.turn(record.NotBefore, now)
		of.turn(record.NotAfter, now)
	}
	return of
}

// bounded is grant for a grant that ends with the rules that accept its key, and notes where that is soon.
func (p *Policy) bounded(of *userGrants, grant Grant, record registry.Record, now time.Time) Verdict {
	end, last := p.rules.end(record.Key, now)
	before := end.IsZero() || !grant.Until.IsZero() && !end.Before(grant.Until)
	if !before {
		grant.Until = end
	}
	verdict := of.grant(p.options, grant, record.Options, record.Origin)
	if !before && verdict.Granted() {
		of.ends = append(of.ends, ending{record.Key, record.Origin, end, last})
	}
	return verdict
}

// grant adds what a key is granted that is good, or says why it is not.
func (u *userGrants) grant(rules optionRules, g Grant, own authkeys.Options, origin string) Verdict {
	g, dropped, verdict := rules.grant(g, own)
	if !verdict.Granted() {
		return verdict
	}
	u.add(g)
	for _, name := range dropped {
		u.dropped = append(u.dropped, Denial{Key: g.Key, Origin: origin, Verdict: Verdict{
			ReasonDropped, "the key counts without its option " + name + ", which is not one of those that policy.options.allow lists",
		}})
	}
	if g.Withheld != "" {
		u.denied = append(u.denied, Denial{Key: g.Key, Origin: origin, Verdict: Verdict{ReasonSSHD, g.Withheld}})
	}
	return verdict
}

// away says why an account has no keys. One of an unknown status counts no more than a key of an unknown type.
func away(user registry.User, now time.Time) Verdict {
	switch {
	case user.Active(now):
		return Verdict{}
	case user.Status == registry.Locked:
		return Verdict{ReasonAccountLocked, "the account is locked"}
	case user.Status == registry.Elsewhere:
		return Verdict{ReasonAccountElsewhere, "the account is for other hosts, not for this one"}
	case user.Status == registry.Active:
		return Verdict{ReasonAccountExpired, "the account ended at " + moment(user.Until)}
	}
	return Verdict{ReasonAccountDisabled, "the account is disabled"}
}

// earlier is the first of two moments, in UTC, of which the zero time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		a = b
	}
	return a.UTC()
}

// add leaves out what says the same as an earlier grant: two records that differ in their labels and ends alone, of which the later end
// counts. The grants of one key stay together, as their lines do in a file.
func (u *userGrants) add(grant Grant) {
	at := len(u.grants)
	for i, g := range u.grants {
		if g.Key != grant.Key {
			continue
		}
		if g.Options == grant.Options {
			if !g.Until.IsZero() && (grant.Until.IsZero() || grant.Until.After(g.Until)) {
				u.grants[i].Until = grant.Until
			}
			u.grants[i].Free = g.Free || grant.Free
			return
		}
		at = i + 1
	}
	u.grants = slices.Insert(u.grants, at, grant)
	u.unite(grant.Key)
}

// unite lets the lines of one key be written together, as they are in a file, where sshd takes one of them: those that it ignores do no harm.
func (u *userGrants) unite(key authkeys.Key) {
	if !slices.ContainsFunc(u.grants, func(g Grant) bool { return g.Key == key && g.Withheld == "" }) {
		return
	}
	for i := range u.grants {
		if u.grants[i].Key == key {
			u.grants[i].Withheld = ""
		}
	}
}

// turn remembers the earliest moment after now at which a bound is crossed.
func (u *userGrants) turn(at, now time.Time) {
	if at.After(now) {
		u.next = earlier(u.next, at)
	}
}

func (p *Policy) judge(record registry.Record, now time.Time) Verdict {
	switch {
	case record.Options.CertAuthority():
		return certAuthority()
	case now.Before(record.NotBefore):
		return Verdict{ReasonNotYet, "the registration is not valid before " + moment(record.NotBefore)}
	case !record.NotAfter.IsZero() && !now.Before(record.NotAfter):
		return Verdict{ReasonExpired, "the registration ended at " + moment(record.NotAfter)}
	}
	return p.check(record.Key, now)
}

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// of is what is known of a user: nothing of one whom nobody knows.
func (g *Grants) of(user string) userGrants {
	if u, there := g.users.Get(user); there {
		return *u
	}
	return userGrants{}
}

// For lists what is granted to a user, in the registry's order of keys, then by exceptions; nothing to one whom neither knows.
func (g *Grants) For(user string) []Grant { return g.of(user).grants }

// Denied lists the registered keys of a user that do not work now.
func (g *Grants) Denied(user string) []Denial { return g.of(user).denied }

// Dropped lists the options that were left out of a user's registered keys.
func (g *Grants) Dropped(user string) []Denial { return g.of(user).dropped }

// Away says why an account of the registry has no keys, whatever its records say; without a reason where it counts.
func (g *Grants) Away(user string) Verdict { return g.of(user).away }

// Next is the first moment after the evaluation at which time alone changes the answer; the zero time if none does.
func (g *Grants) Next() time.Time { return earlier(g.next, g.policy.rules.turn(g.now)) }

// Judge says whether a line of the user's file may stay, and if not, why. A key that the policy refuses is refused by the
// policy's reason, registered or not, but for one whose modulus would have to be factored; only then comes the question whose key it is.
func (g *Grants) Judge(user string, line authkeys.Line) Verdict {
	switch line.Kind {
	case authkeys.Blank, authkeys.Comment:
		if line.Plain() {
			return Verdict{Reason: ReasonGranted}
		}
		return Verdict{ReasonNotPlain, "a comment that holds control characters or is too long"}
	case authkeys.Entry:
		return g.judgeEntry(user, line)
	case authkeys.Malformed:
		return malformed(line.Err)
	default:
		return malformed(fmt.Errorf("unknown kind of line %d", line.Kind))
	}
}

func (g *Grants) judgeEntry(user string, line authkeys.Line) Verdict {
	if line.Options.CertAuthority() {
		return certAuthority()
	}
	of := g.of(user)
	withheld := ""
	for _, grant := range of.grants {
		switch {
		case grant.Key != line.Key:
		case grant.Held != "":
			return Verdict{ReasonHeld, grant.Held}
		case grant.Withheld != "":
			withheld = grant.Withheld
		default:
			return Verdict{Reason: ReasonGranted}
		}
	}
	if withheld != "" {
		return Verdict{ReasonSSHD, withheld}
	}
	// Moduli are factored only where somebody stands for them: a file that is full of them would keep the daemon busy.
	if verdict := g.policy.glance(line.Key, g.now); !verdict.Granted() {
		return verdict
	}
	for _, denial := range of.denied {
		if denial.Key == line.Key {
			return denial.Verdict
		}
	}
	if verdict, ok := g.formerly(user, line.Key); ok {
		return verdict
	}
	return Verdict{ReasonUnregistered, "the key registry does not list this key for the user"}
}

// certAuthority refuses a line that admits every key which its own key has signed (sshd(8), AUTHORIZED_KEYS).
func certAuthority() Verdict {
	return Verdict{ReasonCertAuthority, "the line " + admitsOthers}
}

const admitsOthers = "admits any key with a certificate, not one registered key"

func malformed(err error) Verdict {
	if parse, ok := errors.AsType[*authkeys.ParseError](err); ok {
		return Verdict{Reason(parse.Reason), parse.Detail}
	}
	return Verdict{ReasonMalformed, fmt.Sprintf("the line cannot be read: %v", err)}
}
