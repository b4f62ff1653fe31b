package explain

import (
	"time"
)

// State says what a step is to a login.
type State string

// The states of steps.
const (
	OK      State = "ok"
	Stops   State = "stops"   // nobody, or no key, gets past it
	Skips   State = "skips"   // sshd takes no key from there, and goes on
	Limits  State = "limits"  // it depends on what is not known, such as the client's address
	Unknown State = "unknown" // it could not be looked at
	Note    State = "note"
)

// Step is one thing that sshd looks at. Codes are a contract.
type Step struct {
	Code  string `json:"code"`
	State State  `json:"state"`
	Where string `json:"where,omitempty"`
	What  string `json:"what"`
	Do    string `json:"do,omitempty"`
	// First is set in the first thing that stops a login, wherever it is told.
	First bool `json:"first,omitempty"`
}

// Answer is what explain says. Version grows when a field changes its meaning.
type Answer struct {
	Version int    `json:"version"`
	User    string `json:"user"`
	UID     int    `json:"uid"` // -1: not known
	Home    string `json:"home"`
	From    string `json:"from,omitempty"`
	Asked   string `json:"key,omitempty"`
	// LogsIn: a key of his, or the one that was asked for, logs in by one of the servers at least. Known: that is sure.
	LogsIn bool `json:"logs_in"`
	Known  bool `json:"known"`
	// Stop is the first thing that stops a login, at the first server; nil where none is stopped.
	Stop     *Step           `json:"first_stop"`
	Registry RegistryAnswer  `json:"registry"`
	Servers  []ServerAnswer  `json:"servers"`
	Removed  []RemovedAnswer `json:"removed"`
	Hints    []Step          `json:"hints"`
	Notes    []string        `json:"notes"`
	Unknown  []string        `json:"unknown"`
}

// RegistryAnswer is what the registry has of him, by the reading that counts.
type RegistryAnswer struct {
	Listed bool        `json:"listed"`
	Mode   string      `json:"mode,omitempty"`
	Steps  []Step      `json:"steps"`
	Keys   []KeyRecord `json:"keys"`
}

// KeyRecord is a key and what is made of it.
type KeyRecord struct {
	Type        string     `json:"key_type"`
	Bits        int        `json:"key_bits"`
	Fingerprint string     `json:"fingerprint"`
	Label       string     `json:"label,omitempty"`
	Options     string     `json:"options,omitempty"`
	Reason      string     `json:"reason"`
	Detail      string     `json:"detail,omitempty"`
	Until       *time.Time `json:"until,omitempty"`
}

// ServerAnswer is what one sshd does.
type ServerAnswer struct {
	Config string      `json:"config"`
	LogsIn bool        `json:"logs_in"`
	Stop   *Step       `json:"first_stop"`
	Steps  []Step      `json:"steps"`
	Lines  []Line      `json:"lines"`
	Keys   []KeyAnswer `json:"keys"`
}

// Line is a line with a key, or one that is meant to have one, in a file or in the command's answer.
type Line struct {
	File        string `json:"file"` // "": the command's answer
	Line        int    `json:"line"`
	Type        string `json:"key_type,omitempty"`
	Bits        int    `json:"key_bits,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
	Options     string `json:"options,omitempty"`
	// Taken: sshd takes the line for a login by its key. Why says why not, or what it depends on.
	Taken bool   `json:"taken"`
	Code  string `json:"code,omitempty"`
	Why   string `json:"why,omitempty"`
	// Reason and Detail are keyreeve's verdict on it.
	Reason string `json:"reason"`
	Detail string `json:"detail,omitempty"`

	only string // what it depends on
}

// KeyAnswer says of one key whether it logs in now.
type KeyAnswer struct {
	KeyRecord

	Registered bool `json:"registered"`
	LogsIn     bool `json:"logs_in"`
	// Way is the line by which it does.
	Way *Line `json:"way"`
	// Stops are all that is in its way, in sshd's order.
	Stops []Step `json:"stops"`
}

// RemovedAnswer is a line that keyreeve took out.
type RemovedAnswer struct {
	Time        time.Time `json:"time"`
	File        string    `json:"file"`
	Line        int       `json:"line"`
	Fingerprint string    `json:"fingerprint,omitempty"`
	Reason      string    `json:"reason"`
	Detail      string    `json:"detail,omitempty"`
	Copy        string    `json:"quarantine"`
}
