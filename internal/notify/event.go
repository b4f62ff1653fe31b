// Package notify has users told what was removed from their files, by whatever
// tells them: a program, or mail.
//
//	t := notify.NewTeller(tell, every)
//	go t.Run(ctx)
//	t.Note(event)   // never waits
//
// A user who loses something again and again is told once in a while, of all of
// it together, and of bounded length: what goes from his file is his to choose.
// Nothing here holds up a removal. What was not told when the process ends is
// lost; the audit trail has it.
//
// What is said is an [Event], whose JSON is a contract (docs/notify.md), or a
// mail that a [Letter] makes of it. All text of users in it is printable ASCII.
package notify

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/keyreeve/keyreeve/internal/plain"
)

// MaxLosses is how many losses an event names.
const MaxLosses = 20

// Event is what one user lost.
type Event struct {
	// Version is 1. Fields are added to it, not changed.
	Version int `json:"version"`
	// User is the account's name, UID its number; Mail is the address that the registry has, in ASCII and fit for a header, or empty.
	User string `json:"user"`
	UID  int    `json:"uid"`
	Mail string `json:"mail,omitempty"`
	// Host is where the files were changed.
	Host string `json:"host"`
	// First and Last are when, Changes is how many changes of files that were.
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Changes int       `json:"changes"`
	// Removed are the losses, each once, and More is how many others there were.
	Removed []Loss `json:"removed"`
	More    int    `json:"more"`
	// Text is the centre's own, of notify.text.
	Text []string `json:"text"`
}

// Loss is a line that was removed, or, without key and with a reason of the file, a whole file that was replaced.
type Loss struct {
	File   string `json:"file"`
	Reason string `json:"reason"` // a code of docs/audit.md
	Detail string `json:"detail,omitempty"`
	// Type, Fingerprint and Comment are those of the key; empty where the line has none.
	Type        string `json:"type,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
	Comment     string `json:"comment,omitempty"`
}

// maxForeign bounds a text of a user's, in bytes before it is escaped.
const maxForeign = 256

// Plain is the loss with all of its text printable ASCII, and cut.
func (l Loss) Plain() Loss {
	l.File, l.Detail, l.Comment = plain.Cut(l.File, 4*maxForeign), plain.Cut(l.Detail, maxForeign), plain.Cut(l.Comment, maxForeign)
	return l
}

// add puts a later event of the same user behind e.
func (e *Event) add(later Event) {
	e.Mail, e.Text, e.Last, e.Changes = later.Mail, later.Text, later.Last, e.Changes+later.Changes
	losses := later.Removed
	e.More += later.More
	e.Removed = slices.Clone(e.Removed)
	for _, l := range losses {
		switch {
		case slices.Contains(e.Removed, l):
		case len(e.Removed) < MaxLosses:
			e.Removed = append(e.Removed, l)
		default:
			e.More++
		}
	}
}

// JSON is the event as one line of ASCII.
func (e Event) JSON() ([]byte, error) {
	text, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	return append(plain.JSON(text), '\n'), nil
}
