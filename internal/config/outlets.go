package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Audit is the trail.
type Audit struct {
	File string `yaml:"file"`
}

// Answer says where the file is kept of which keyreeve-keys tells sshd.
type Answer struct {
	// Dir is a directory of root's with the set-group-ID bit, of the group of AuthorizedKeysCommandUser; empty: there is no such file.
	Dir string `yaml:"dir"`
}

func (a Answer) check() error {
	if a.Dir == "" {
		return nil
	}
	return absolute("answer.dir", a.Dir)
}

// Deny says where the list is kept of the keys that sshd refuses.
type Deny struct {
	// File is in a directory of root's; empty: there is no such list.
	File string `yaml:"file"`
	// Except are files of root's, of lines of authorized_keys: their keys are never on the list.
	Except []string `yaml:"except"`
	// Unknown puts keys on it that nobody has registered, when one is taken out of a file.
	Unknown bool `yaml:"unknown"`
}

func (d Deny) check() error {
	var list []error
	if d.File != "" {
		list = append(list, absolute("deny.file", d.File))
	}
	if d.Unknown && d.File == "" {
		list = append(list, errors.New("deny.unknown: there is no list: deny.file is empty"))
	}
	for i, path := range d.Except {
		list = append(list, absolute(fmt.Sprintf("deny.except[%d]", i), path))
	}
	return errors.Join(list...)
}

// Metrics is where the daemon's numbers go.
type Metrics struct {
	// Textfile is a file in the folder of node_exporter's textfile collector; empty for none.
	Textfile string `yaml:"textfile"`
	// Listen is the path of a unix socket, or 127.0.0.1 or [::1] with a port, where they are served by HTTP; empty for nowhere.
	Listen string `yaml:"listen"`
}

func (m Metrics) check() error {
	var textfile, listen error
	switch {
	case m.Textfile == "":
	case !strings.HasSuffix(m.Textfile, ".prom"):
		textfile = fmt.Errorf("metrics.textfile: %q does not end with .prom; node_exporter reads no other file", m.Textfile)
	default:
		textfile = absolute("metrics.textfile", m.Textfile)
	}
	switch {
	case m.Listen == "" || loopback(m.Listen):
	case strings.HasPrefix(m.Listen, "/"):
		listen = absolute("metrics.listen", m.Listen)
	default:
		listen = fmt.Errorf("metrics.listen: %q is neither the absolute path of a socket nor 127.0.0.1:PORT or [::1]:PORT; to no other address is it served", m.Listen)
	}
	return errors.Join(textfile, listen)
}

// loopback reports whether an address is that of this host alone. A name such as localhost is whatever a name server says.
func loopback(address string) bool {
	at, err := netip.ParseAddrPort(address)
	return err == nil && at.Port() > 0 && at.String() == address &&
		(at.Addr() == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || at.Addr() == netip.IPv6Loopback())
}

// Doctor is what keyreeve doctor cannot know by itself.
type Doctor struct {
	// Passwords is Allow or Forbid.
	Passwords string `yaml:"passwords"`
}

// The values of Doctor.Passwords.
const (
	Allow  = "allow"
	Forbid = "forbid"
)
