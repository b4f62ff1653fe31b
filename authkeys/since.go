package authkeys

import (
	"fmt"
	"strconv"
	"strings"
)

// Version is a release of OpenSSH; the zero Version is not known.
type Version struct{ Major, Minor int }

// String is the version as OpenSSH writes it, without the "p" of the portable release.
func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

// ParseVersion reads what [Version.String] writes; "" is the zero Version.
func ParseVersion(text string) (v Version, err error) {
	if text == "" {
		return v, nil
	}
	major, minor, _ := strings.Cut(text, ".")
	v.Major, err = strconv.Atoi(major)
	if err == nil {
		v.Minor, err = strconv.Atoi(minor)
	}
	if err != nil || v.Major < 0 || v.Minor < 0 {
		return Version{}, fmt.Errorf("%q is no version of OpenSSH", text)
	}
	return v, nil
}

// IsZero reports whether the version is not known.
func (v Version) IsZero() bool { return v == Version{} }

// Before reports whether v is older than another version.
func (v Version) Before(other Version) bool {
	return v.Major < other.Major || v.Major == other.Major && v.Minor < other.Minor
}

// since is the release that first knew an option, by the tags of openssh-portable (auth-options.c, which is what sshd parses by; the
// manual page of some of them is younger). What is not named here is older than 5.0, and known everywhere.
func since(name, item string) Version {
	switch name {
	case "cert-authority":
		return Version{5, 4}
	case "principals":
		return Version{5, 6}
	case "restrict", "port-forwarding", "agent-forwarding", "x11-forwarding", "pty", "user-rc":
		return Version{7, 2} // before, only the negations were there
	case "expiry-time":
		if value := lower(item); strings.HasSuffix(value, `z"`) || strings.HasSuffix(value, `utc"`) {
			return Version{9, 1} // parse_absolute_time of misc.c
		}
		return Version{7, 7}
	case "permitlisten":
		return Version{7, 8}
	case "touch-required", "no-touch-required":
		return Version{8, 2}
	case "verify-required", "no-verify-required":
		return Version{8, 4}
	}
	return Version{}
}

// Needs gives the oldest OpenSSH that takes a line with these options, and the first of them that asks for it, with its value if that is
// what is new; the zero Version where all do. An older sshd ignores the whole line (sshauthopt_parse: an unknown option is an error).
func (o Options) Needs() (option string, v Version) {
	for name, item := range o.items() {
		if first := since(name, item); v.Before(first) {
			if option, v = name, first; name == "expiry-time" {
				option = item
			}
		}
	}
	return option, v
}
