package homes

import (
	"errors"
	"fmt"
)

// SameHome reports whether the homes of two accounts are one directory, whatever
// their paths: links of root's, bind mounts. Each is looked at with its account's
// rights. One that does not exist is nobody's; any other error leaves the question
// open. What is below the homes does not count: a user could bring about there
// what he likes.
func (d *Door) SameHome(a, b Account) (bool, error) {
	var found [2]node
	for i, account := range []Account{a, b} {
		at, err := glance(d, account, "", reading, func(*effort) (node, error) {
			home, err := d.home(account)
			defer home.close()
			return home.node, err
		})
		found[i] = at
		if errors.Is(err, ErrNoHome) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("account %s: home %s: %w", account.Name, account.Home, err)
		}
	}
	return found[0].same(found[1]), nil
}
