package ldapsource

import "errors"

// Fault is the kind of reason for which a reading does not count. errors.Is finds it in the errors of Fetch, whose texts tell
// the rest.
type Fault string

// The kinds. A registry without users or keys is registry.ErrEmpty, and a context that is done its own error.
const (
	// Unreachable: no connection, or no answer to the question where the servers are.
	Unreachable Fault = "unreachable"
	// CertificateName, CertificateAuthority and CertificateTime: the server's certificate is for others, signed by others, or
	// for another time. TLS: any other end of the handshake.
	CertificateName      Fault = "certificate-name"
	CertificateAuthority Fault = "certificate-authority"
	CertificateTime      Fault = "certificate-time"
	TLS                  Fault = "tls"
	// Credential: a file with what is needed to connect or to bind cannot be used. Bind: the server did not take it.
	Credential Fault = "credential"
	Bind       Fault = "bind"
	// Refused: a result code other than success (RFC 4511 appendix A), such as a size limit.
	Refused Fault = "refused"
	// Lost: the connection ended, or an answer did not come in time.
	Lost Fault = "lost"
	// Malformed: an answer that breaks the protocol, or is beyond all bounds.
	Malformed Fault = "malformed"
	// Referred: the server says that a part of the tree is elsewhere.
	Referred Fault = "referred"
	// Incomplete: nothing proves that all of it came.
	Incomplete Fault = "incomplete"
	// Foreign: an entry that nobody asked for.
	Foreign Fault = "foreign"
	// Hidden: no entry shows the key attribute.
	Hidden Fault = "hidden"
	// NoCanary: the entry that must always be there is not.
	NoCanary Fault = "no-canary"
)

// Error is the kind's name.
func (f Fault) Error() string { return string(f) }

// because marks an error with its kind, and leaves its text as it is. An error that has a kind keeps it.
func because(kind Fault, err error) error {
	if err == nil || FaultOf(err) != "" {
		return err
	}
	return marked{err, kind}
}

// marked is an error with a kind.
type marked struct {
	error

	kind Fault
}

func (m marked) Is(target error) bool { return target == m.kind }
func (m marked) Unwrap() error        { return m.error }

// FaultOf is the kind of an error of Fetch, the first where several servers failed; empty where it has none.
func FaultOf(err error) Fault {
	m, _ := errors.AsType[marked](err)
	return m.kind
}
