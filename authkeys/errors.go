package authkeys

import (
	"errors"
	"fmt"
	"strings"
)

// ErrCertificate says that a blob or a line holds a certificate. sshd never accepts a certificate that is written as a line
// (auth2-pubkeyfile.c compares plain keys only).
var ErrCertificate = errors.New("certificate in place of a plain key")

// ErrUnknownType says that the type of a key is none that OpenSSH 9.2 to 10.5 knows.
var ErrUnknownType = errors.New("unknown key type")

// The reason codes of a ParseError. They are stable: reports and the audit trail carry them.
const (
	ReasonCertificate      = "certificate"       // the key is a certificate
	ReasonTypeUnknown      = "type-unknown"      // there is a key type or something in its place, but none that sshd knows
	ReasonMalformedKey     = "malformed-key"     // a known type, but sshd can not read the key behind it
	ReasonMalformedOptions = "malformed-options" // sshd refuses the options, or they can not be written canonically
	ReasonNoKey            = "no-key"            // too few fields for a key
)

// ParseError says why something is not a key, not options or not a line.
type ParseError struct {
	Reason string // one of the Reason codes
	Detail string // for people; printable ASCII, input quoted and cut

	taken bool // sshd takes the options: they are refused here alone, for their bytes or their length
}

// Error gives reason and detail.
func (e *ParseError) Error() string {
	if e.Detail == "" {
		return e.Reason
	}
	return e.Reason + ": " + e.Detail
}

// Is makes a ParseError match ErrCertificate and ErrUnknownType by its reason.
func (e *ParseError) Is(target error) bool {
	switch target {
	case ErrCertificate:
		return e.Reason == ReasonCertificate
	case ErrUnknownType:
		return e.Reason == ReasonTypeUnknown
	default:
		return false
	}
}

// malformedKey makes the error for a key that can not be read.
func malformedKey(format string, args ...any) *ParseError {
	return &ParseError{Reason: ReasonMalformedKey, Detail: fmt.Sprintf(format, args...)}
}

// badOptions makes the error for options that can not be read.
func badOptions(format string, args ...any) *ParseError {
	return &ParseError{Reason: ReasonMalformedOptions, Detail: fmt.Sprintf(format, args...)}
}

// oddOptions makes the error for options that sshd takes, but that can not be written canonically.
func oddOptions(format string, args ...any) *ParseError {
	err := badOptions(format, args...)
	err.taken = true
	return err
}

// quoted shows foreign text in an error: escaped to printable ASCII, and cut so that a long line can not flood a log. A long run of base64 is cut
// where it begins: somebody may have put his private key into the file, and reports are handed on.
func quoted(s string) string {
	const most = 40
	short := s[:min(len(s), most)]
	if run := longRun(short); run >= 0 {
		short = short[:run]
	}
	if len(short) < len(s) {
		return fmt.Sprintf("%+q...", strings.Clone(short))
	}
	return fmt.Sprintf("%+q", s)
}

// longRun gives the place of a run of base64 that is longer than words are, or -1.
func longRun(s string) int {
	const longest = 20
	begin := 0
	for i, c := range []byte(s) {
		switch {
		case c >= '0' && c <= '9', c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c == '+', c == '/':
			if i-begin == longest {
				return begin
			}
		default:
			begin = i + 1
		}
	}
	return -1
}
