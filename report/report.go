// Package report prints plans for people and for machines.
//
// [Text] is for a terminal of 80 columns, [HTML] for a browser, [CSV] for a spreadsheet, [JSON] for programs. All show the same plans, those that
// apply would carry out, and begin with the same [Digest]. In all of them foreign text is ASCII: what a user wrote into his file is escaped and
// cut, so that it can neither drive a terminal nor forge a line of the report.
//
// [Registry] is what is wrong with a reading of the registry alone, [Fleet] the JSON reports of many hosts in one.
package report

import (
	"slices"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

// Report is what one pass over the homes found.
type Report struct {
	// Source names the registry, Policy what it accepts; Users and Keys are the registry's counts.
	Source, Policy string
	Users, Keys    int
	// Held says what the latest reading has lost, where it is held and the report is made by the one before; else it is empty.
	Held string
	// WhatIf says by what else than the rules in force and as of now the plans are; nil: they are by these.
	WhatIf *WhatIf
	// Applied says that the plans were carried out.
	Applied bool
	Results []enforcer.Result
	// Modes are those of the accounts, by their names, Mail the addresses that are known.
	Modes map[string]string
	Mail  map[string]string
	// Skips are the accounts that were left alone, Rejects the registry's values that could not be used.
	Skips   []enforcer.Skip
	Rejects []Reject
	// Remarks are values that are used although something is wrong with them, Shared keys that several people have registered.
	Remarks []Reject
	Shared  []registry.Shared
	// Denied are registered keys that the policy refuses, or whose account does not count.
	Denied []Denied
	// Soon are people of whom a registered key works that the rules will refuse soon.
	Soon []Person
	// Departed are the accounts whose users left the registry, and when that was read.
	Departed map[string]time.Time
	// Brake is the state of the brake, Trips the people by whom it would trip if the plans were carried out.
	Brake enforcer.BrakeState
	Trips []string
	// Exceptions are all that are in force, those that grant nothing, and those that ended not long ago.
	Exceptions []policy.Excepted
	// Host is the node whose homes were looked at, Made when that began.
	Host string
	Made time.Time
	// Granted counts the registered keys that work for a user now, whether they are in his files or not.
	Granted map[string]int
	// PrivateDirs are where private keys were looked for, below each home; none: nobody looked. Holders are the people to whom the public halves of
	// those that were found are registered.
	PrivateDirs []string
	Holders     map[authkeys.Key][]string
	// Seen is when a key of a user first counted in the registry; the zero time: before such times were noted.
	Seen map[Holding]time.Time
}

// Holding is a key in the hands of a user.
type Holding struct {
	User string
	Key  authkeys.Key
}

// Reject is a value of a user's entry in the registry.
type Reject struct {
	User string
	registry.Reject
}

// Denied is a registered key that does not work.
type Denied struct {
	User string
	policy.Denial
}

// Counts are the totals of a report.
type Counts struct {
	Accounts   int `json:"accounts"`   // looked at
	Pending    int `json:"pending"`    // with a change planned, or carried out where plans were
	Remove     int `json:"remove"`     // lines
	Rewrite    int `json:"rewrite"`    // lines
	Add        int `json:"add"`        // lines
	Unresolved int `json:"unresolved"` // files of which nothing could be decided, or that cannot be changed
	Pressing   int `json:"pressing"`   // those of them by which somebody may get in
	Unkept     int `json:"unkept"`     // files that sshd may read beside those, each counted once
	Errors     int `json:"errors"`     // accounts that could not be looked at, in whole or in part
	Skipped    int `json:"skipped"`    // accounts left alone
	Departed   int `json:"departed"`   // accounts whose users left the registry
	Soon       int `json:"soon"`       // people of whom a key works that the rules will refuse soon
	Held       int `json:"held"`       // lines that stay for the time being though their key is no longer registered

	Modes map[string]int `json:"modes"` // accounts looked at, by their modes
}

// enforce is the one mode in which plans are carried out.
const enforce = "enforce"

// Count adds up a report.
func (r Report) Count() Counts {
	c := Counts{Accounts: len(r.Results), Skipped: len(r.Skips), Modes: make(map[string]int)}
	for _, mode := range r.Modes {
		c.Modes[mode]++
	}
	c.Unkept = len(r.unkept())
	c.Held, c.Soon = len(r.held()), len(r.Soon)
	for _, result := range r.Results {
		if slices.ContainsFunc(result.Plans, func(p enforcer.Plan) bool { return p.Change && p.Done == r.Applied }) {
			c.Pending++
		}
		if result.Err != nil {
			c.Errors++
		}
		if !r.Departed[result.Account.Name].IsZero() {
			c.Departed++
		}
		for _, p := range result.Plans {
			if p.Unresolved != "" {
				c.Unresolved++
			}
			if p.Pressing() {
				c.Pressing++
			}
			if p.Change && p.Done == r.Applied {
				c.Remove, c.Rewrite, c.Add = c.Remove+len(p.Remove), c.Rewrite+len(p.Rewrite), c.Add+len(p.Add)
			}
		}
	}
	return c
}

// heldLine is a line that stays for the time being.
type heldLine struct {
	user, path string
	enforcer.Decision
}

func (r Report) held() (list []heldLine) {
	for _, result := range r.Results {
		for _, p := range result.Plans {
			for _, d := range p.Keep {
				if d.Reason == policy.ReasonHeld {
					list = append(list, heldLine{result.Account.Name, p.Path(), d})
				}
			}
		}
	}
	return list
}

// unkept counts the accounts that a file which is not kept concerns.
func (r Report) unkept() map[homes.Unkept]int {
	accounts := make(map[homes.Unkept]int)
	for _, result := range r.Results {
		for _, u := range result.Unkept {
			accounts[u]++
		}
	}
	return accounts
}

// foreignBound is how many bytes of a user's own text a report shows.
const foreignBound = 64
