package report

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

// Registry is what is wrong with a reading of the registry, whatever is in the homes.
type Registry struct {
	Host, Source, Policy, Held string
	Made                       time.Time
	Users, Keys                int
	Faults                     []Fault
}

// Class is a kind of fault; a stable code.
type Class string

// The classes, the most pressing first.
const (
	ClassPrivate  Class = "private-key" // somebody has registered a private key, which everybody can use now who may read the registry
	ClassRefused  Class = "refused"     // a key that the policy refuses, or that does not count: weak, too short, of a wrong type, over, ...
	ClassUnusable Class = "unusable"    // a value that is no key, or one with options that are not taken
	ClassShared   Class = "shared"      // one key of several people
	ClassExpiring Class = "expiring"    // a key that works and ends within 30 days, or by the end of a rule within the time of policy.warn
	ClassRemark   Class = "remark"      // a value that counts although something is wrong with it
)

// Soon is how long before its end a key is told.
const Soon = 30 * 24 * time.Hour

func classes() []Class {
	return []Class{ClassPrivate, ClassRefused, ClassUnusable, ClassShared, ClassExpiring, ClassRemark}
}

// Fault is one thing that is wrong with the registry.
type Fault struct {
	Class Class
	User  string
	// Code is that of docs/registry.md for values, a reason of the policy for keys, and the class for what has neither.
	Code   string
	Key    authkeys.Key // zero for a value that is none
	Origin string
	Detail string
	// Until is when an expiring key ends, Others are who else has a shared one.
	Until  time.Time
	Others []string
}

// codePrivate is the code of a value that has a private key in it.
const codePrivate = "private-key"

// Faults lists what is wrong with a reading at a moment, by classes and users. Accounts of other hosts are no fault.
func Faults(snapshot *registry.Snapshot, grants *policy.Grants, now time.Time) (list []Fault) {
	for user := range snapshot.Users() {
		list = append(list, faultsOf(user, grants, now)...)
	}
	for _, s := range snapshot.Shared() {
		list = append(list, Fault{Class: ClassShared, Code: string(ClassShared), User: s.Users[0], Others: s.Users[1:], Key: s.Key, Detail: fmt.Sprintf("%d people have registered this key", len(s.Users))})
	}
	slices.SortStableFunc(list, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(slices.Index(classes(), a.Class), slices.Index(classes(), b.Class)), a.Until.Compare(b.Until), cmp.Compare(a.User, b.User))
	})
	return list
}

func faultsOf(user registry.User, grants *policy.Grants, now time.Time) (list []Fault) {
	value := func(class Class, j registry.Reject) {
		if j.Code == codePrivate {
			class = ClassPrivate
		}
		list = append(list, Fault{Class: class, User: user.Name, Code: j.Code, Origin: j.Origin, Detail: j.Detail})
	}
	for _, j := range user.Rejects {
		value(ClassUnusable, j)
	}
	for _, j := range user.Remarks {
		value(ClassRemark, j)
	}
	of := func(class Class, d policy.Denial) {
		list = append(list, Fault{Class: class, User: user.Name, Code: string(d.Reason), Key: d.Key, Origin: d.Origin, Detail: d.Detail, Until: d.At})
	}
	for _, d := range grants.Dropped(user.Name) {
		of(ClassRemark, d)
	}
	for _, d := range grants.Soon(user.Name, now) {
		of(ClassExpiring, d)
	}
	denied := grants.Denied(user.Name)
	for _, d := range denied {
		if d.Reason != policy.ReasonAccountElsewhere {
			of(ClassRefused, d)
		}
	}
	for _, r := range user.Records {
		end := r.NotAfter
		if end.IsZero() || !user.Until.IsZero() && user.Until.Before(end) {
			end = user.Until
		}
		off := slices.ContainsFunc(denied, func(d policy.Denial) bool { return d.Key == r.Key && d.Origin == r.Origin })
		if !off && end.After(now) && end.Sub(now) < Soon {
			list = append(list, Fault{Class: ClassExpiring, User: user.Name, Code: string(ClassExpiring), Key: r.Key, Origin: r.Origin, Until: end, Detail: "it ends at " + end.UTC().Format(time.RFC3339)})
		}
	}
	return list
}

// Count adds up the faults of each class.
func (r Registry) Count() map[Class]int {
	n := make(map[Class]int)
	for _, f := range r.Faults {
		n[f.Class]++
	}
	return n
}

// Title is what the class means, for the head of a section.
func (c Class) Title() string {
	switch c {
	case ClassPrivate:
		return "a private key was registered: it is burnt"
	case ClassRefused:
		return "registered keys that do not work"
	case ClassUnusable:
		return "values that are not used"
	case ClassShared:
		return "one key of several people"
	case ClassExpiring:
		return "keys that end soon"
	case ClassRemark:
		return "values with a remark"
	}
	return string(c)
}
