package ldapsource

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/keyreeve/keyreeve/registry"
)

// contested finds the names that several entries have. Whoever may write the attribute of names in his own entry can take another's, but
// not the other's DN: an entry that is named by it in its DN (RFC 4512 section 2.3.1) has it, and the others are nobody's. Where no entry is, or
// several are, what they say is contested.
func (l Layout) contested(users []registry.Claim) (plain []registry.User, contested map[string][]registry.Claim) {
	double := make(map[string][]registry.Claim)
	count := make(map[string]int, len(users))
	for _, c := range users {
		count[c.User.Name]++
	}
	for _, c := range users {
		if count[c.User.Name] == 1 {
			plain = append(plain, c.User)
			continue
		}
		double[c.User.Name] = append(double[c.User.Name], c)
	}
	contested = make(map[string][]registry.Claim)
	for name, claims := range double {
		owners := 0
		for _, c := range claims {
			if l.namedBy(c.Origin, name) {
				owners++
			}
		}
		if owners != 1 {
			contested[name] = claims
			continue
		}
		for _, c := range claims {
			if !l.namedBy(c.Origin, name) {
				c.User = nobody(c.Origin, codeTaken, fmt.Sprintf("%s: %+q is the name of another entry, whose DN has it", l.Schema.User, name))
			}
			plain = append(plain, c.User)
		}
	}
	return plain, contested
}

// namedBy reports whether the first part of a DN has a user's name.
func (l Layout) namedBy(dn, name string) bool {
	parsed, err := ldap.ParseDN(dn)
	if err != nil || len(parsed.RDNs) == 0 {
		return false
	}
	for _, part := range parsed.RDNs[0].Attributes {
		if strings.EqualFold(part.Type, l.Schema.User) && l.Schema.fold(part.Value) == name {
			return true
		}
	}
	return false
}

// nobodys begins the names of what is nobody's.
const nobodys = "entry \""

// nobody is the user of an entry of which nobody can say whose it is. It stays visible under a name that no account can have.
func nobody(dn, code, detail string) registry.User {
	return registry.User{
		Name: "entry " + strconv.QuoteToASCII(dn), UID: -1, GID: -1,
		Rejects: []registry.Reject{{Origin: dn, Code: code, Detail: detail}},
	}
}
