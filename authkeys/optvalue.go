package authkeys

import (
	"errors"
	"strconv"
	"strings"
)

var (
	errNoQuote   = errors.New("the value does not begin with a double quote")
	errOpenQuote = errors.New("the value has no closing double quote")
)

// Bounds of the values of options.
const (
	maxTunnel = 0x7fffffff - 2 // SSH_TUNID_MAX of misc.h
	maxPort   = 65535
	maxHost   = 1025 // NI_MAXHOST of netdb.h, with the NUL
)

// validValue reports whether sshd takes the value of an option when it reads the line. command, from and principals take
// any text there; a bad pattern in from shows only when a client comes, and then refuses it.
func validValue(name, value string) bool {
	switch name {
	case "expiry-time":
		return validTime(value)
	case "environment":
		variable, _, found := strings.Cut(value, "=")
		return found && validVariable(variable)
	case "permitopen":
		return validPermit(value)
	case "permitlisten":
		if !strings.Contains(value, ":") {
			value = "*:" + value // a port alone listens everywhere
		}
		return validPermit(value)
	case "tunnel":
		if lower(value) == "any" {
			return true
		}
		n, ok := number(value)
		return ok && n >= 0 && n <= maxTunnel
	default:
		return true
	}
}

// validVariable checks the name of an environment variable (valid_env_name of misc.c).
func validVariable(name string) bool {
	for i := range len(name) {
		if c := name[i]; c != '_' && !isDigit(c) && !isLetter(c) {
			return false
		}
	}
	return name != ""
}

// validPermit checks host and port as handle_permit of auth-options.c does with hpdelim2 and a2port: a host, perhaps in
// square brackets, then ":" or "/", then a port from 1 to 65535, a service's name, or "*". Which services there are is
// known to the host alone, so every possible name passes: sshd refuses the line if there is no such service.
func validPermit(value string) bool {
	end := strings.IndexAny(value, ":/")
	if strings.HasPrefix(value, "[") {
		end = strings.IndexByte(value, ']') + 1
		if end == 0 || end == len(value) || (value[end] != ':' && value[end] != '/') {
			return false
		}
	}
	if end < 0 || end >= maxHost {
		return false
	}
	port := value[end+1:]
	if n, ok := number(port); ok {
		return n >= 1 && n <= maxPort
	}
	return port == "*" || validService(port)
}

// validService reports whether getservbyname(3) could know the name.
func validService(name string) bool {
	letters := 0
	for i := range len(name) {
		switch c := name[i]; {
		case isLetter(c):
			letters++
		case !isDigit(c) && strings.IndexByte("-_.+", c) < 0:
			return false
		}
	}
	return letters > 0
}

// number reads a decimal as strtonum does: blanks before it and a sign are fine, nothing may follow.
func number(text string) (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimLeft(text, " \t"), 10, 64)
	return n, err == nil
}

// validTime checks a time as parse_absolute_time of misc.c does: YYYYMMDD, with HHMM or HHMMSS after it or not, and Z or
// UTC at the end or not. sshd refuses the very beginning of the epoch as "no time"; without Z that depends on the host's
// time zone, so it passes here.
func validTime(value string) bool {
	digits, utc := value, false
	switch folded := lower(value); {
	case len(value) > 1 && strings.HasSuffix(folded, "z"):
		digits, utc = value[:len(value)-1], true
	case len(value) > 3 && strings.HasSuffix(folded, "utc"):
		digits, utc = value[:len(value)-3], true
	}
	if len(digits) != 8 && len(digits) != 12 && len(digits) != 14 {
		return false
	}
	if utc && strings.TrimRight(digits, "0") == "19700101" {
		return false
	}
	bounds := [...]struct{ from, to, low, high int }{
		{0, 4, 0, 9999}, {4, 6, 1, 12}, {6, 8, 1, 31}, {8, 10, 0, 23}, {10, 12, 0, 59}, {12, 14, 0, 61},
	}
	for _, b := range bounds {
		if b.to > len(digits) {
			break
		}
		// strptime(3) skips spaces before a number.
		n, err := strconv.ParseUint(strings.TrimLeft(digits[b.from:b.to], " "), 10, 16)
		if err != nil || int(n) < b.low || int(n) > b.high {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
