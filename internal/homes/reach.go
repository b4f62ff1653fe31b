package homes

// at is As for work in the home of an account: fn gets what reach gives.
func (d *Door) at(a Account, fn func(reached handle) error) error {
	reached := none()
	if d.own == anyUser && a.Check() == nil {
		reached = d.reach(a.Home)
	}
	defer reached.close()
	return d.As(a, func() error { return fn(reached) })
}

// reach opens a home as root, with the mode bits of root's own directories: the
// way to it may be open to a group only that the user is in by the group file,
// of which the thread that works with his rights knows nothing while sshd, which
// calls initgroups(3), gets there. It goes through nothing but directories that
// root alone can change and that some group or everybody may search, and over
// root's links; the home itself is only held (O_PATH), and all the rest is for the
// user's own rights. fd -1: the user's rights have to do for the way as well.
func (d *Door) reach(home string) handle {
	found, err := d.walk(none(), home, 0, &trail{root: true})
	if err != nil {
		return none()
	}
	return found
}
