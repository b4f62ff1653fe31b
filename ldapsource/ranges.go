package ldapsource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

const (
	// maxRounds bounds the searches for the values of one attribute that come in ranges.
	maxRounds = 1_000
	// usn is what Active Directory counts up with every change of an entry.
	usn = "uSNChanged"
)

// span is the option "range=low-high" of an attribute description ([MS-ADTS] section 3.1.1.3.1.3.3). last says that it
// reaches to the end ("low-*").
type span struct {
	low, high int
	last      bool
}

// cutRange takes the range option out of an attribute description; found says that there is one.
func cutRange(description string) (name string, s span, found bool, err error) {
	if !strings.Contains(description, ";") { // nearly all
		return description, span{}, false, nil
	}
	var rest []string
	for i, part := range strings.Split(description, ";") {
		if len(part) < len("range=") || !strings.EqualFold(part[:len("range=")], "range=") || i == 0 {
			rest = append(rest, part)
			continue
		}
		low, high, ok := strings.Cut(part[len("range="):], "-")
		var errLow, errHigh error
		s.low, errLow = strconv.Atoi(low)
		if s.last = high == "*"; !s.last {
			s.high, errHigh = strconv.Atoi(high)
		}
		if !ok || found || errLow != nil || errHigh != nil || s.low < 0 || (!s.last && s.high < s.low) {
			return "", span{}, true, because(Malformed, fmt.Errorf("%q is no range of values", description))
		}
		found = true
	}
	return strings.Join(rest, ";"), s, found, nil
}

// complete fetches the values of an entry's attributes of which the server gave a part only, and takes the range out of the
// names of those that are whole.
func (l *LDAP) complete(ctx context.Context, c *conn, found *ldap.Entry) error {
	for _, a := range found.Attributes {
		name, s, ranged, err := cutRange(a.Name)
		switch {
		case err != nil:
			return fmt.Errorf("entry %q: %w", found.DN, err)
		case !ranged:
			continue
		case s.low != 0:
			return because(Malformed, fmt.Errorf("entry %q: %s begins in the middle", found.DN, a.Name))
		case !s.last:
			if a.ByteValues, err = l.values(ctx, c, found.DN, name); err != nil {
				return fmt.Errorf("entry %q: the values of %s: %w", found.DN, name, err)
			}
		}
		a.Name = name
	}
	return nil
}

// values reads all values of one attribute, range by range, from the first. What the search gave is not gone on with: only
// ranges that come with one and the same number of changes belong together.
func (l *LDAP) values(ctx context.Context, c *conn, dn, name string) ([][]byte, error) {
	var (
		values [][]byte
		stamp  string
	)
	for round := range maxRounds {
		part, s, version, err := l.someValues(ctx, c, dn, name, len(values))
		if err != nil {
			return nil, err
		}
		if round > 0 && version != stamp {
			return nil, because(Incomplete, errors.New("the entry changed while it was read"))
		}
		stamp = version
		values = append(values, part...)
		switch {
		case Attribute{Values: values}.size() > maxAttribute:
			return nil, because(Malformed, fmt.Errorf("%w: more than %d KiB", errFlood, maxAttribute>>10))
		case s.last:
			return values, unique(values)
		}
	}
	return nil, because(Malformed, fmt.Errorf("more than %d ranges", maxRounds))
}

// someValues reads the values from the low-th on, as many as the server gives.
func (l *LDAP) someValues(ctx context.Context, c *conn, dn, name string, low int) (part [][]byte, s span, version string, err error) {
	asked := fmt.Sprintf("%s;range=%d-*", name, low)
	request := ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
		"(objectClass=*)", []string{asked, usn}, nil)
	result, err := l.ask(ctx, c, request)
	if err != nil {
		return nil, span{}, "", err
	}
	if len(result.Entries) != 1 || !sameDN(dn, result.Entries[0].DN) {
		return nil, span{}, "", because(Incomplete, fmt.Errorf("%d entries came, where that one was asked for", len(result.Entries)))
	}
	for _, a := range result.Entries[0].Attributes {
		if strings.EqualFold(a.Name, usn) && len(a.Values) == 1 {
			version = a.Values[0]
			continue
		}
		base, got, ranged, err := cutRange(a.Name)
		switch {
		case err != nil:
			return nil, span{}, "", err
		case !ranged || !strings.EqualFold(base, name): // such as the name without values, which Active Directory sends too
			continue
		case part != nil || got.low != low || len(a.ByteValues) == 0 || (!got.last && got.high-low+1 != len(a.ByteValues)):
			return nil, span{}, "", because(Incomplete, fmt.Errorf("%d came as %q, where %q was asked for", len(a.ByteValues), a.Name, asked))
		}
		part, s = a.ByteValues, got
	}
	if part == nil {
		return nil, span{}, "", because(Incomplete, fmt.Errorf("none came, where %q was asked for", asked))
	}
	return part, s, version, nil
}

// sameDN compares two names without regard to case (RFC 4517 section 4.2.15).
func sameDN(a, b string) bool {
	first, errFirst := ldap.ParseDN(a)
	second, errSecond := ldap.ParseDN(b)
	return errFirst == nil && errSecond == nil && first.EqualFold(second)
}

// unique refuses a value that came twice: attributes are sets (RFC 4512 section 2.2), so one has moved meanwhile, and another
// may have been missed.
func unique(values [][]byte) error {
	sorted := slices.SortedFunc(slices.Values(values), bytes.Compare)
	for i := 1; i < len(sorted); i++ {
		if bytes.Equal(sorted[i-1], sorted[i]) {
			return because(Incomplete, errors.New("one came twice"))
		}
	}
	return nil
}
