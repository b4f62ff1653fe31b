// Package enforcer makes homes agree with grants.
//
// [MakePlan] is pure: from what a file holds and what its owner is granted it makes the exact bytes that the file is to
// have, with a reason for every line. [Enforcer.Apply] carries a plan out and decides nothing: the audit record is on disk
// first, then a copy of the old content in quarantine, and only then the file changes, if it still is the version that
// the plan was made from. An error before the change stops the change.
//
// [Looker.Look] reads and plans the files of one account; [Looker.Sweep] does so for many. [Runner] is the daemon's loop around them.
// Five things make it look: a hint that a home was touched, a timer, a new registry snapshot, new rules, and the moment at
// which a registration begins or ends. All of them feed one set of user names, and each look reads the files afresh: lose
// every hint, and the result is the same, only later.
//
// A dry run is a caller that does not call Apply; there is no flag for it.
package enforcer
