//go:build 386 || arm

package homes

import "golang.org/x/sys/unix"

// setgroups(2) of old takes ids of 16 bits.
const sysSetgroups = unix.SYS_SETGROUPS32
