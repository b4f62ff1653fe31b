package homes

import (
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"
)

// Above returns the directory whose change may bring a home that does not exist: the deepest one on the way to it that
// is there, for the next name on the way. It is for a watch, like Dirs, and gives up with ErrStuck.
func (d *Door) Above(a Account) ([]Dir, error) {
	list, err := glance(d, a, "", reading, func(*effort) ([]Dir, error) {
		for home := a.Home; ; {
			above, missing := path.Dir(home), path.Base(home)
			found, err := d.walk(none(), above, 0, nil)
			if errors.Is(err, unix.ENOENT) && above != "/" {
				home = above
				continue
			}
			if err != nil {
				return nil, err
			}
			defer found.close()
			where, err := found.realPath()
			return []Dir{{Path: where, Names: []string{missing}}}, err
		}
	})
	if err != nil {
		return nil, fmt.Errorf("account %s: above the home %s: %w", a.Name, a.Home, err)
	}
	return list, nil
}
