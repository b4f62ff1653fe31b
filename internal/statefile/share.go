package statefile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// The entries of an access ACL as the kernel takes it (linux/posix_acl_xattr.h and posix_acl.h): version 2, then tag, permissions and id of each.
const (
	aclName    = "system.posix_acl_access"
	aclVersion = 2
	aclOwner   = 0x01
	aclUser    = 0x02
	aclGroup   = 0x04
	aclMask    = 0x10
	aclOther   = 0x20
	aclRead    = 4
	aclNobody  = 0xffffffff
)

// PublishTo is Publish for one user, who may read the file beside its owner and nobody else: by an access ACL (acl(5)), since the daemon has no right to give a
// file away, and its user could change one that was his. A file system without ACLs is an error.
func PublishTo(dir, name string, data []byte, uid uint32) error {
	// open(O_CREAT|O_EXCL) setxattr write close rename
	file, err := temp(dir, name)
	if err != nil {
		return err
	}
	err = syscall.Setxattr(file.Name(), aclName, readableBy(uid), 0) // nobody else writes in the directory
	if err != nil {
		err = fmt.Errorf("let uid %d read a file in %s: %w", uid, dir, err)
	} else {
		_, err = file.Write(data)
	}
	return rename(file, filepath.Join(dir, name), errors.Join(err, file.Close()))
}

func readableBy(uid uint32) []byte {
	acl := binary.LittleEndian.AppendUint32(nil, aclVersion)
	for _, entry := range []struct {
		tag, perm uint16
		id        uint32
	}{{aclOwner, aclRead, aclNobody}, {aclUser, aclRead, uid}, {aclGroup, 0, aclNobody}, {aclMask, aclRead, aclNobody}, {aclOther, 0, aclNobody}} {
		acl = binary.LittleEndian.AppendUint16(acl, entry.tag)
		acl = binary.LittleEndian.AppendUint16(acl, entry.perm)
		acl = binary.LittleEndian.AppendUint32(acl, entry.id)
	}
	return acl
}

// EnsurePassage is EnsureDir for a directory whose files others reach by their names, and that they cannot list (0711), whatever mode it had.
func EnsurePassage(path string) error {
	if err := EnsureDir(path, 0o711); err != nil {
		return err
	}
	return os.Chmod(path, 0o711) //nolint:gosec // see above
}
