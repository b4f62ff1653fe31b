package ldapsource

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/registry"
)

// status is what one attribute says of an account.
type status struct {
	registry.Status

	until time.Time
}

// statusRule is how an attribute says it.
type statusRule struct {
	attribute string
	read      func(value string) (status, error)
	// always: each account has it, so that its absence says that the reader may not see it.
	always bool
}

// rules lists the attributes that say whether an account counts.
func (s Schema) rules() []statusRule {
	all := []statusRule{
		{attribute: s.Locked, read: locked},
		{attribute: s.LockedTime, read: lockedTime},
		{attribute: s.Control, read: accountControl, always: true},
		{attribute: s.ExpiresDays, read: expiresDays},
		{attribute: s.ExpiresTime, read: expiresTime},
		{attribute: s.ExpiresFiletime, read: expiresFiletime},
	}
	named := all[:0]
	for _, rule := range all {
		if rule.attribute != "" {
			named = append(named, rule)
		}
	}
	return named
}

// status fills in whether the account counts: the first lock that is found, and the earliest end.
//
// Of two failures, a locked user who logs in and a user locked out by a slip in his entry, the second is told here, costs
// one person and ends with the slip; of the first nobody would know. So an account of which nobody can tell whether it is locked
// does not count.
func (s Schema) status(u *registry.User, e Entry) {
	for _, rule := range s.rules() {
		if !rule.always && !e.has(rule.attribute) {
			continue
		}
		text, err := e.one(rule.attribute)
		var is status
		if err == nil {
			if is, err = rule.read(text); err != nil {
				err = fmt.Errorf("%s: %s is %w", rule.attribute, quote([]byte(text)), err)
			}
		}
		if err != nil {
			is = status{Status: registry.Disabled}
			reject(u, e, codeAccount, err.Error()+"; nobody can tell whether the account counts, so it is taken for disabled")
		}
		if u.Status == registry.Active {
			u.Status = is.Status
		}
		if u.Until.IsZero() || !is.until.IsZero() && is.until.Before(u.Until) {
			u.Until = is.until
		}
	}
}

// locked reads a Boolean (RFC 4517 section 3.3.3). 389 Directory Server takes it in any case, and keeps it as text.
func locked(text string) (status, error) {
	switch {
	case strings.EqualFold(text, "TRUE"):
		return status{Status: registry.Locked}, nil
	case strings.EqualFold(text, "FALSE"):
		return status{}, nil
	}
	return status{}, errors.New("neither TRUE nor FALSE")
}

// lockedTime reads pwdAccountLockedTime (draft-behera-ldap-password-policy section 5.3.3). Only the year 0, written 000001010000Z, is
// the lock of an administrator, which he alone ends. Any other time is when too many wrong passwords were given, and whoever knows a
// user's name can bring that about: it would be a way to take a registered user's keys from him.
func lockedTime(text string) (status, error) {
	at, err := generalizedTime(text)
	if err == nil && at.UTC().Year() == 0 {
		return status{Status: registry.Locked}, nil
	}
	return status{}, err
}

// accountDisable is ADS_UF_ACCOUNTDISABLE of userAccountControl (MS-ADTS section 2.2.16). ADS_UF_LOCKOUT and the attribute lockoutTime
// are not asked: like other values of pwdAccountLockedTime they come from wrong passwords.
const accountDisable = 2

// accountControl reads userAccountControl, a signed number of 32 bits.
func accountControl(text string) (status, error) {
	bits, err := strconv.ParseInt(text, 10, 32)
	switch {
	case err != nil:
		return status{}, errors.New("not a number of 32 bits")
	case bits&accountDisable != 0:
		return status{Status: registry.Disabled}, nil
	}
	return status{}, nil
}

// expiresDays reads shadowExpire. Empty and -1 are no end (shadow(5)); 0 is one, as for Linux-PAM (check_shadow_expiry of
// passverify.c), which is asked at the login. The day itself is no longer a day of the account, there and here.
func expiresDays(text string) (status, error) {
	if text == "" || text == "-1" {
		return status{}, nil
	}
	days, err := strconv.ParseInt(text, 10, 32)
	if err != nil || days < 0 {
		return status{}, errors.New("not a number of days")
	}
	return ends(time.Unix(days*24*60*60, 0))
}

// expiresTime reads a GeneralizedTime.
func expiresTime(text string) (status, error) {
	at, err := generalizedTime(text)
	if err != nil {
		return status{}, err
	}
	return ends(at)
}

// toUnix is the time from 1601-01-01, where FILETIME begins, to 1970-01-01, in seconds.
const toUnix = 11_644_473_600

// expiresFiletime reads accountExpires: steps of 100 ns since 1601-01-01, where 0 and 2^63-1 are no end (MS-ADA1 section 2.4).
func expiresFiletime(text string) (status, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil || n < 0:
		return status{}, errors.New("not a FILETIME")
	case n == 0 || n == 1<<63-1:
		return status{}, nil
	}
	return ends(time.Unix(n/10_000_000-toUnix, n%10_000_000*100))
}

// ends is the end of an account, within the years that JSON can tell of. No account ended before 1970, and none is alive after 9999.
func ends(at time.Time) (status, error) {
	at = at.UTC()
	if at.Year() > 9999 {
		return status{}, nil
	}
	if epoch := time.Unix(0, 0).UTC(); at.Before(epoch) {
		at = epoch
	}
	return status{until: at}, nil
}

// generalizedTime reads the syntax of RFC 4517 section 3.3.13: digits down to the hour, the minute or the second, a fraction of
// the last of these, and Z or a difference from UTC.
func generalizedTime(text string) (time.Time, error) {
	wrong := errors.New("not a GeneralizedTime")
	end := strings.IndexAny(text, "Z+-")
	if end < 0 {
		return time.Time{}, wrong
	}
	digits, fraction, fractional := strings.Cut(strings.Replace(text[:end], ",", ".", 1), ".")
	form, found := map[int][2]string{10: {"2006010215", "h"}, 12: {"200601021504", "m"}, 14: {"20060102150405", "s"}}[len(digits)]
	if !found {
		return time.Time{}, wrong
	}
	zone := "Z0700"
	if len(text)-end == 3 {
		zone = "Z07"
	}
	at, err := time.Parse(form[0]+zone, digits+text[end:])
	if err != nil {
		return time.Time{}, wrong
	}
	if !fractional {
		return at, nil
	}
	more, err := time.ParseDuration("0." + fraction + form[1])
	if err != nil {
		return time.Time{}, wrong
	}
	return at.Add(more), nil
}
