package authkeys

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// prefixes reads the value of from as addresses and networks alone, in the forms that sshd and this package read in the same way, none within
// another, in order. ok is false for anything else: host names, wildcards and negations; a network with bits behind its mask, with which sshd
// refuses everybody
// (addr_match_list of addrmatch.c); IPv4 in IPv6, which sshd never sees (ssh_remote_ipaddr of packet.c gives IPv4).
func prefixes(value string) (list []netip.Prefix, ok bool) {
	for text := range strings.SplitSeq(value, ",") {
		p, err := netip.ParsePrefix(text)
		if address, bare := netip.ParseAddr(text); bare == nil {
			p, err = netip.PrefixFrom(address, address.BitLen()), nil
			if address.Zone() != "" {
				return nil, false
			}
		}
		if err != nil || p != p.Masked() || p.Addr().Is4In6() {
			return nil, false
		}
		list = append(list, p)
	}
	return outer(list), true
}

// outer leaves out what is within another network, and sorts the rest.
func outer(list []netip.Prefix) []netip.Prefix {
	slices.SortFunc(list, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	var last netip.Prefix
	return slices.DeleteFunc(list, func(p netip.Prefix) bool {
		within := last.IsValid() && last.Overlaps(p) // that one comes first
		if !within {
			last = p
		}
		return within
	})
}

// meet gives the value of a from that admits whom both of two values do, in one form: no network within another, in order.
func meet(a, b string) (string, error) {
	left, ok1 := prefixes(a)
	right, ok2 := prefixes(b)
	if !ok1 || !ok2 {
		return "", errors.New("only addresses and networks can be compared with each other")
	}
	var both []netip.Prefix
	for _, l := range left {
		for _, r := range right {
			if l.Overlaps(r) { // one is within the other
				if l.Bits() < r.Bits() {
					both = append(both, r)
				} else {
					both = append(both, l)
				}
			}
		}
	}
	if len(both) == 0 {
		return "", errors.New("no address is in both")
	}
	var words []string
	for _, p := range both { // in order, and apart from each other, as both lists are
		if p.IsSingleIP() {
			words = append(words, p.Addr().String())
		} else {
			words = append(words, p.String())
		}
	}
	return strings.Join(words, ","), nil
}

// checkFrom refuses a value of from by which sshd would let nobody in. One that is not meant so looks like it all the same.
func checkFrom(value string) error {
	positive := false
	for word := range strings.SplitSeq(value, ",") {
		pattern, negated := strings.CutPrefix(word, "!")
		positive = positive || !negated
		switch {
		case pattern == "" || strings.ContainsAny(pattern, " \t"):
			return fmt.Errorf("from: %q is no pattern", word)
		case mapped(pattern):
			return fmt.Errorf("from: %q is IPv4 in IPv6, which sshd never sees: write the IPv4 address", word)
		case !strings.Contains(pattern, "/"):
			continue
		}
		if p, err := netip.ParsePrefix(pattern); err != nil || p != p.Masked() {
			return fmt.Errorf("from: %q is no network: sshd would refuse everybody", word)
		}
	}
	if !positive {
		return errors.New("from: there are negations only, so that it matches nobody")
	}
	return nil
}

// mapped reports whether a pattern is an address or a network of IPv4 in IPv6, which matches nobody (see prefixes).
func mapped(pattern string) bool {
	text, _, _ := strings.Cut(pattern, "/")
	address, err := netip.ParseAddr(text)
	return err == nil && address.Is4In6()
}
