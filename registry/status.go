package registry

import "fmt"

// Status says whether an account counts.
type Status int

// The statuses of an account. What makes it one of them is the source's matter.
const (
	// Active: the account counts.
	Active Status = iota
	// Locked: an administrator has locked the account.
	Locked
	// Disabled: the account was turned off, or nobody can tell whether it was.
	Disabled
	// Elsewhere: the account counts on other hosts, not on this one.
	Elsewhere
)

// String names the status in lower case.
func (s Status) String() string {
	switch s {
	case Active:
		return "active"
	case Locked:
		return "locked"
	case Disabled:
		return "disabled"
	case Elsewhere:
		return "elsewhere"
	}
	return fmt.Sprintf("status-%d", int(s))
}
