package report

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/privkey"
	"github.com/keyreeve/keyreeve/registry"
)

// PrivateCode is what is to be said of a private key in a home; a stable code.
type PrivateCode string

// The codes, the worst first.
const (
	// PrivateOpen: no passphrase protects it.
	PrivateOpen PrivateCode = "no-passphrase"
	// PrivateExposed: a passphrase does, and others than its user have rights to the file, which ssh does not use then.
	PrivateExposed PrivateCode = "exposed"
	// PrivateUnclear: it has the marks of a private key, and cannot be read as one.
	PrivateUnclear PrivateCode = "unclear"
	// PrivateUnread: a file or directory that could not be looked at, so that nobody knows whether it holds one.
	PrivateUnread PrivateCode = "unread"
	// PrivateCluster: no passphrase protects it, and it is the cluster's own, by which its nodes reach each other without anybody there to type one.
	PrivateCluster PrivateCode = "cluster-key"
)

// PrivateFinding is a private key in a home that is not as it should be.
type PrivateFinding struct {
	User string
	enforcer.PrivateKey
	Code PrivateCode
	// Mark is by what it is known as the cluster's own.
	Mark Mark
	// Holders are the people to whom its public half is registered.
	Holders []string
}

// Holders lists, for the public half of each private key that was found, the people to whom it is registered.
func Holders(snapshot *registry.Snapshot, results []enforcer.Result) map[authkeys.Key][]string {
	holders := make(map[authkeys.Key][]string)
	for _, r := range results {
		for _, k := range r.Private {
			if !k.Public.IsZero() {
				holders[k.Public] = nil
			}
		}
	}
	if len(holders) == 0 {
		return nil
	}
	for user := range snapshot.Users() {
		for _, record := range user.Records {
			if names, found := holders[record.Key]; found && !slices.Contains(names, user.Name) {
				holders[record.Key] = append(names, user.Name)
			}
		}
	}
	return holders
}

// privates are the private keys of an account.
func (r Report) privates(result enforcer.Result) (list []PrivateFinding) {
	for _, k := range result.Private {
		f := PrivateFinding{User: result.Account.Name, PrivateKey: k, Holders: r.Holders[k.Public]}
		switch {
		case k.Blind != "":
			f.Code = PrivateUnread
		case k.State == privkey.Encrypted:
			f.Code = PrivateExposed
		case k.State == privkey.Plain:
			f.Code, f.Mark = PrivateOpen, r.privateMark(result, k)
			// Cluster tools register nothing: a key that somebody has registered is a person's, whatever he calls it. By its own host is how each key is
			// called that is made here.
			if f.Mark != "" && f.Mark != MarkOwnHost && len(f.Holders) == 0 {
				f.Code = PrivateCluster
			}
		default:
			f.Code = PrivateUnclear
		}
		list = append(list, f)
	}
	return list
}

// privateMark says by what a private key shows that it is the cluster's: its own comment, that of a line in its user's files, since PEM has none, or
// the name that ssh_setup.sh of Warewulf and OpenHPC gives it.
func (r Report) privateMark(result enforcer.Result, k enforcer.PrivateKey) Mark {
	comments := []string{k.Comment}
	for _, p := range result.Plans {
		for _, d := range decisions(p) {
			if !k.Public.IsZero() && d.Line.Key == k.Public {
				comments = append(comments, d.Line.Comment)
			}
		}
	}
	var own Mark
	for _, comment := range comments {
		mark := markOf(result.Account.Name, r.Host, comment)
		if mark != "" && mark != MarkOwnHost {
			return mark
		}
		own = cmp.Or(own, mark)
	}
	if path.Base(k.Path) == "cluster" && path.Base(path.Dir(k.Path)) == ".ssh" {
		return MarkWarewulf
	}
	return own
}

func (c PrivateCode) rank() int {
	return slices.Index([]PrivateCode{PrivateOpen, PrivateExposed, PrivateUnclear, PrivateUnread, PrivateCluster}, c)
}

// rank is the place of a finding among others: of the same, first what somebody has registered.
func (f PrivateFinding) rank() int {
	if len(f.Holders) > 0 {
		return 2 * f.Code.rank()
	}
	return 2*f.Code.rank() + 1
}

// sortPrivate sorts what was found by people: first those who have the worst, and of each the worst.
func sortPrivate(list []PrivateFinding) {
	worst := make(map[string]int)
	for _, f := range list {
		if least, found := worst[f.User]; !found || f.rank() < least {
			worst[f.User] = f.rank()
		}
	}
	slices.SortStableFunc(list, func(a, b PrivateFinding) int {
		return cmp.Or(cmp.Compare(worst[a.User], worst[b.User]), strings.Compare(a.User, b.User), cmp.Compare(a.rank(), b.rank()), strings.Compare(a.Path, b.Path))
	})
}

// PrivateUsers counts the people of whom something has one of the codes.
func (d Digest) PrivateUsers(codes ...PrivateCode) (users int) {
	seen := make(map[string]bool)
	for _, f := range d.Private {
		if slices.Contains(codes, f.Code) {
			seen[f.User] = true
		}
	}
	return len(seen)
}

// Detail is what the code does not say, perhaps nothing; names and errors in it are foreign text.
func (f PrivateFinding) Detail() string {
	var parts []string
	switch f.Code {
	case PrivateUnread:
		return f.Blind
	case PrivateOpen:
	case PrivateCluster:
		parts = append(parts, "known by the mark "+string(f.Mark))
	case PrivateExposed:
		parts = append(parts, "a passphrase protects it")
	case PrivateUnclear:
		parts = append(parts, "it looks like a private key, and cannot be read as one")
	}
	if len(f.Holders) > 0 {
		parts = append(parts, "its public half is registered to "+few(f.Holders))
	}
	if f.Exposed() {
		parts = append(parts, fmt.Sprintf("mode %04o gives others rights to it", f.Mode))
	}
	return strings.Join(parts, "; ")
}
