package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/plain"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

// Person is one who has to be told of some keys, since they do not work any more, or will not.
type Person struct {
	User string
	Mail string // empty: not known
	// Keys say why, one key once, and Others is how many more work and will go on to.
	Keys   []policy.Denial
	Others int
}

// WhatIf says by what the plans of a report are, if not by the rules in force and as of now, and whom that concerns.
type WhatIf struct {
	// File has the rules; empty: those in force, which are InForce. At is the moment; zero: now.
	File, InForce string
	At            time.Time
	// Losers lose a key by it, in the order of the accounts. Gainers is how many people gain one.
	Losers  []Person
	Gainers int
}

// NewWhatIf compares what is granted to some accounts now with what is supposed.
func NewWhatIf(snapshot *registry.Snapshot, now, then *policy.Grants, accounts []homes.Account) (w WhatIf) {
	for _, account := range accounts {
		has, will := working(now, account.Name), working(then, account.Name)
		var lost []policy.Denial
		for _, key := range has {
			if !slices.Contains(will, key) {
				verdict := then.Judge(account.Name, authkeys.Line{Kind: authkeys.Entry, Key: key})
				lost = append(lost, policy.Denial{Key: key, Verdict: verdict})
			}
		}
		if len(lost) > 0 {
			w.Losers = append(w.Losers, person(snapshot, account.Name, lost, len(will)))
		}
		if slices.ContainsFunc(will, func(key authkeys.Key) bool { return !slices.Contains(has, key) }) {
			w.Gainers++
		}
	}
	return w
}

// working lists the keys with which a user can log in on this host, each once.
func working(grants *policy.Grants, user string) (keys []authkeys.Key) {
	for _, g := range grants.For(user) {
		if g.Withheld == "" && !slices.Contains(keys, g.Key) {
			keys = append(keys, g.Key)
		}
	}
	return keys
}

// RefusedSoon lists, in the order of their names, the people whose registered keys the rules will refuse soon after a moment, at which the grants hold.
func RefusedSoon(snapshot *registry.Snapshot, grants *policy.Grants, now time.Time) (people []Person) {
	for u := range snapshot.Users() {
		var keys []policy.Denial
		for _, d := range grants.Soon(u.Name, now) {
			if !slices.ContainsFunc(keys, func(have policy.Denial) bool { return have.Key == d.Key }) {
				keys = append(keys, d)
			}
		}
		if len(keys) > 0 {
			others := slices.DeleteFunc(working(grants, u.Name), func(key authkeys.Key) bool {
				return slices.ContainsFunc(keys, func(d policy.Denial) bool { return d.Key == key })
			})
			people = append(people, person(snapshot, u.Name, keys, len(others)))
		}
	}
	return people
}

func person(snapshot *registry.Snapshot, user string, keys []policy.Denial, others int) Person {
	u, _ := snapshot.User(user)
	return Person{User: user, Mail: u.Mail, Keys: keys, Others: others}
}

// warn marks those lines that stay of a user's files whose key will be refused soon.
func (r Report) warn(result enforcer.Result, user *jsonUser) {
	at, is := slices.BinarySearchFunc(r.Soon, result.Account.Name, func(p Person, name string) int { return strings.Compare(p.User, name) })
	if !is {
		return
	}
	for _, d := range r.Soon[at].Keys {
		for _, file := range user.Files {
			for i, line := range file.Lines {
				if line.Fingerprint == d.Key.Fingerprint() && line.Action != "remove" {
					file.Lines[i].Warning = string(d.Reason)
				}
			}
		}
	}
}

// alone counts those who have no other key.
func alone(people []Person) (n int) {
	for _, p := range people {
		if p.Others == 0 {
			n++
		}
	}
	return n
}

// supposed says what is supposed, in the first line of a report.
func (w WhatIf) supposed() string {
	text := "by the rules in force"
	if w.File != "" {
		text = "by the rules of " + plain.Text(w.File)
	}
	if !w.At.IsZero() {
		text += ", at " + w.At.UTC().Format(time.RFC3339)
	}
	return text
}

func textWhatIf(out *page, w WhatIf) {
	textPeople(out, "who would lose a key", w.Losers, len(w.Losers)) // who is to be told must not be left out
	if w.Gainers > 0 {
		out.title(bold, "who would gain a key: %d people", w.Gainers)
		fmt.Fprintln(out)
	}
}

// alonest lists people, those who have no other key first.
func alonest(people []Person) []Person {
	return slices.SortedStableFunc(slices.Values(people), func(a, b Person) int { return cmp.Compare(min(a.Others, 1), min(b.Others, 1)) })
}

// textPeople prints no more than a number of people.
func textPeople(out *page, title string, people []Person, most int) {
	out.title(bold, "%s: %d people, %d with no other key", title, len(people), alone(people))
	for _, p := range alonest(people)[:min(len(people), most)] {
		words := []string{plain.Text(p.User)}
		if p.Mail != "" {
			words = append(words, "<"+plain.Text(p.Mail)+">")
		}
		if p.Others == 0 {
			words = append(words, "no other key")
		}
		out.row(words...)
		for _, d := range p.Keys {
			fmt.Fprintf(out, "    %s  %s\n", d.Reason, d.Key.Fingerprint())
			out.wrap(plain.Text(d.Detail))
		}
	}
	out.more(len(people), min(len(people), most))
	fmt.Fprintln(out)
}

type jsonWhatIf struct {
	File    string       `json:"policy_file,omitempty"`
	InForce string       `json:"policy_in_force"`
	At      *time.Time   `json:"at,omitempty"`
	Losers  []jsonPerson `json:"lose_a_key"`
	Alone   int          `json:"lose_the_last_key"`
	Gainers int          `json:"gain_a_key"`
}

type jsonPerson struct {
	User   string       `json:"user"`
	Mail   string       `json:"mail,omitempty"`
	Others int          `json:"other_keys"`
	Keys   []jsonDenied `json:"keys"`
}

func whatIfOf(w *WhatIf) *jsonWhatIf {
	if w == nil {
		return nil
	}
	out := &jsonWhatIf{File: plain.Text(w.File), InForce: w.InForce, Losers: peopleOf(w.Losers), Alone: alone(w.Losers), Gainers: w.Gainers}
	if !w.At.IsZero() {
		at := w.At.UTC()
		out.At = &at
	}
	return out
}

func peopleOf(people []Person) []jsonPerson {
	list := []jsonPerson{}
	for _, p := range people {
		one := jsonPerson{User: plain.Text(p.User), Mail: plain.Text(p.Mail), Others: p.Others, Keys: []jsonDenied{}}
		for _, d := range p.Keys {
			one.Keys = append(one.Keys, jsonDeniedOf(Denied{p.User, d}))
		}
		list = append(list, one)
	}
	return list
}
