package authkeys

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// From is the value of from; ok is false where the option is not there.
func (o Options) From() (value string, ok bool) {
	for name, item := range o.items() {
		if name == "from" {
			return valueOf(item), true
		}
	}
	return "", false
}

// Admits reports whether a from lets in a client at an address whose name sshd does not look up (UseDNS no, the default), so that its name is the
// address too: match_host_and_ip of match.c. Without the option everybody is let in.
func (o Options) Admits(client netip.Addr) bool {
	value, ok := o.From()
	return !ok || MatchAddress(client, value)
}

// MatchAddress reports whether an address matches a list of patterns and networks as sshd has them in from and AllowUsers (match_host_and_ip of
// match.c, addr_match_list of addrmatch.c). One network that is none, with bits behind its mask, makes the whole list match nobody; what is negated counts above all
// others, and a list of negations alone matches nobody.
func MatchAddress(client netip.Addr, list string) bool {
	client = client.Unmap()
	found, out := false, false
	for word := range strings.SplitSeq(list, ",") {
		pattern, negated := strings.CutPrefix(word, "!")
		if pattern == "" {
			return false
		}
		is := Match(pattern, client.String())
		if network, err := netip.ParsePrefix(pattern); err == nil {
			if network != network.Masked() {
				return false
			}
			is = network.Contains(client)
		} else if strings.Contains(pattern, "/") {
			return false
		} else if address, err := netip.ParseAddr(pattern); err == nil {
			is = address == client
		}
		out = out || is && negated
		found = found || is && !negated
	}
	return found && !out
}

// Match reports whether a text matches one pattern of "*" and "?" (match_pattern of match.c). It goes back to the last star alone, since who writes a
// pattern of many should not keep anybody busy.
func Match(pattern, text string) bool {
	star, again := -1, 0 // behind the last star, and where its text ends
	at, p := 0, 0
	for at < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			p++
			star, again = p, at
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[at]):
			p++
			at++
		case star >= 0:
			again++
			p, at = star, again
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// Expiry is the earliest moment of expiry-time, after which sshd takes the line for none; the zero time without the option. A value without Z is
// in the time zone of the host (parse_absolute_time of misc.c).
func (o Options) Expiry(zone *time.Location) (end time.Time) {
	for name, item := range o.items() {
		if name != "expiry-time" {
			continue
		}
		if at := absoluteTime(valueOf(item), zone); end.IsZero() || at.Before(end) {
			end = at
		}
	}
	return end
}

// absoluteTime reads what validTime admits. As mktime(3) does, it takes the 31st of a short month for a day of the next one.
func absoluteTime(value string, zone *time.Location) time.Time {
	digits := value
	for _, suffix := range []string{"utc", "z"} {
		if strings.HasSuffix(lower(digits), suffix) {
			digits, zone = digits[:len(digits)-len(suffix)], time.UTC
			break
		}
	}
	part := func(from, to int) int {
		if to > len(digits) {
			return 0
		}
		n, _ := strconv.Atoi(strings.TrimLeft(digits[from:to], " ")) // validTime has read it
		return n
	}
	return time.Date(part(0, 4), time.Month(part(4, 6)), part(6, 8), part(8, 10), part(10, 12), part(12, 14), 0, zone)
}
