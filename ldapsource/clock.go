package ldapsource

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// clocks are where servers tell their time: Active Directory in its root entry ([MS-ADTS] section 3.1.1.3.2.3), OpenLDAP in the monitor database
// (slapd-monitor(5)), 389 Directory Server in its own.
func clocks() []struct{ dn, attribute string } {
	return []struct{ dn, attribute string }{
		{"", "currentTime"}, {"cn=Current,cn=Time,cn=Monitor", "monitorTimestamp"}, {"cn=monitor", "currentTime"},
	}
}

// Clock is how far the clock of the first server that answers is ahead of this host's, to a second or so. known is false where it
// does not tell its time, or not to this reader.
func (l *LDAP) Clock(ctx context.Context) (ahead time.Duration, known bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, maxTimeouts*l.config.Timeout)
	defer cancel()
	servers, err := l.find(ctx)
	wrong := []error{err}
	for _, s := range servers {
		ahead, known, err = l.clock(ctx, s)
		if err == nil {
			return ahead, known, nil
		}
		wrong = append(wrong, fmt.Errorf("%s: %w", s.url, err))
	}
	return 0, false, errors.Join(wrong...)
}

func (l *LDAP) clock(ctx context.Context, s server) (ahead time.Duration, known bool, err error) {
	c, err := l.connect(ctx, s)
	if err != nil {
		return 0, false, err
	}
	defer c.close()
	for _, where := range clocks() {
		before := time.Now()
		result, err := l.ask(ctx, c, ldap.NewSearchRequest(where.dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
			"(objectClass=*)", []string{where.attribute}, nil))
		if ldap.IsErrorAnyOf(err, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultReferral,
			ldap.LDAPResultInvalidDNSyntax, ldap.LDAPResultUnwillingToPerform) {
			continue
		}
		if err != nil {
			return 0, false, err
		}
		took := time.Since(before)
		for _, entry := range result.Entries {
			if at, err := generalizedTime(entry.GetEqualFoldAttributeValue(where.attribute)); err == nil {
				return at.Sub(before.Add(took / 2)), true, nil
			}
		}
	}
	return 0, false, nil
}
