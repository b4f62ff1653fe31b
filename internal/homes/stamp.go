package homes

import (
	"fmt"
	"time"
)

// Stamp is what stat(2) said of a file.
type Stamp struct {
	Device uint64    `json:"device"`
	Inode  uint64    `json:"inode"`
	Mode   string    `json:"mode"` // octal
	UID    int       `json:"uid"`
	Size   uint64    `json:"size"`
	MTime  time.Time `json:"mtime"`
	CTime  time.Time `json:"ctime"`
}

// Stamp describes the file of a version, or the link in its place; the zero Stamp says that none was seen.
func (v Version) Stamp() Stamp {
	if v.file == (node{}) {
		return Stamp{}
	}
	n := v.file
	return Stamp{
		Device: n.dev, Inode: n.ino, Mode: fmt.Sprintf("%04o", n.perm()), UID: int(n.uid), Size: n.size,
		MTime: time.Unix(0, n.mtime).UTC(), CTime: time.Unix(0, n.ctime).UTC(),
	}
}
