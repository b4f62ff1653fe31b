package testenv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"
)

// fuseServer answers the kernel for a file system of three inodes: its root, .ssh, and .ssh/authorized_keys, whose content is
// one page. The protocol is that of include/uapi/linux/fuse.h, version 7.31, as far as stat, open and read need it.
type fuseServer struct {
	device  int // blocking: the runtime cannot poll it
	uid     uint32
	content []byte
	// stalls says which requests get no answer as long as stalling is open.
	stalls   func(opcode uint32) bool
	stalling <-chan struct{}
	// stalled is called with the first request that gets none.
	stalled func()
	held    [][]byte
}

// The requests (enum fuse_opcode) that get another answer than ENOSYS.
const (
	fuseLookup      = 1
	fuseForget      = 2
	fuseGetattr     = 3
	fuseOpen        = 14
	fuseRead        = 15
	fuseRelease     = 18
	fuseFlush       = 25
	fuseInit        = 26
	fuseOpendir     = 27
	fuseReaddir     = 28
	fuseReleasedir  = 29
	fuseInterrupt   = 36
	fuseBatchForget = 42
)

const (
	fuseHeader  = 40       // struct fuse_in_header
	fuseRequest = 1 << 20  // above max_write and FUSE_MIN_READ_BUFFER
	fusePage    = 4096     // of the only file
	fuseWrites  = fusePage // max_write
)

// serve answers until the file system is gone.
func (s *fuseServer) serve() error {
	requests, wrong := make(chan []byte), make(chan error, 1)
	go func() {
		for {
			buffer := make([]byte, fuseRequest)
			n, err := syscall.Read(s.device, buffer)
			switch {
			case err == nil && n >= fuseHeader:
				requests <- buffer[:n]
			case errors.Is(err, syscall.EINTR), errors.Is(err, syscall.ENOENT): // interrupted before it was read
			default:
				wrong <- err
				return
			}
		}
	}()
	for {
		select {
		case request := <-requests:
			if err := s.take(request); err != nil {
				return err
			}
		case <-s.stalling:
			s.stalling, s.stalls = nil, func(uint32) bool { return false }
			for _, request := range s.held {
				if err := s.take(request); err != nil {
					return err
				}
			}
		case err := <-wrong:
			if errors.Is(err, syscall.ENODEV) {
				return nil // unmounted
			}
			return err
		}
	}
}

// take answers one request, or keeps it.
func (s *fuseServer) take(request []byte) error {
	opcode := binary.LittleEndian.Uint32(request[4:])
	switch {
	case opcode == fuseForget, opcode == fuseBatchForget, opcode == fuseInterrupt:
		return nil // no answer is expected
	case opcode != fuseInit && s.stalls(opcode):
		s.held = append(s.held, request)
		if len(s.held) == 1 {
			s.stalled()
		}
		return nil
	}
	answer, errno := s.answer(opcode, request)
	out := binary.LittleEndian.AppendUint32(nil, uint32(16+len(answer))) //nolint:gosec // struct fuse_out_header
	out = binary.LittleEndian.AppendUint32(out, uint32(-int32(errno)))   //nolint:gosec // a negative errno
	out = append(append(out, request[8:16]...), answer...)
	_, err := syscall.Write(s.device, out)
	if errors.Is(err, syscall.ENOENT) {
		return nil // whoever asked has gone
	}
	return err
}

// answer: struct fuse_init_out, fuse_entry_out, fuse_attr_out, fuse_open_out, or bytes.
func (s *fuseServer) answer(opcode uint32, request []byte) ([]byte, syscall.Errno) {
	node, body := binary.LittleEndian.Uint64(request[16:]), request[fuseHeader:]
	switch opcode {
	case fuseInit:
		out := make([]byte, 64)
		for i, word := range []uint32{7, 31, 0, 0, 16 | 12<<16, fuseWrites, 1} {
			binary.LittleEndian.PutUint32(out[4*i:], word)
		}
		return out, 0
	case fuseLookup:
		name, _, _ := bytes.Cut(body, []byte{0})
		child := map[uint64]string{1: ".ssh", 2: "authorized_keys"}[node]
		if child == "" || string(name) != child {
			return nil, syscall.ENOENT
		}
		out := binary.LittleEndian.AppendUint64(nil, node+1)
		return slices.Concat(out, make([]byte, 32), s.attributes(node+1)), 0
	case fuseGetattr:
		return append(make([]byte, 16), s.attributes(node)...), 0
	case fuseOpen, fuseOpendir:
		return make([]byte, 16), 0
	case fuseRead:
		offset := min(binary.LittleEndian.Uint64(body[8:]), fusePage)
		size := uint64(binary.LittleEndian.Uint32(body[16:]))
		return s.page()[offset:min(offset+size, fusePage)], 0
	case fuseReaddir, fuseRelease, fuseFlush, fuseReleasedir:
		return nil, 0
	}
	return nil, syscall.ENOSYS
}

func (s *fuseServer) page() []byte {
	page := bytes.Repeat([]byte{'\n'}, fusePage)
	copy(page, s.content)
	return page
}

// attributes is a struct fuse_attr.
func (s *fuseServer) attributes(node uint64) []byte {
	out := binary.LittleEndian.AppendUint64(nil, node)
	size, mode := uint64(0), uint32(syscall.S_IFDIR|0o700)
	if node == 3 {
		size, mode = fusePage, syscall.S_IFREG|0o600
	}
	now := uint64(time.Now().Unix()) //nolint:gosec // not before 1970
	for _, long := range []uint64{size, size / 512, now, now, now} {
		out = binary.LittleEndian.AppendUint64(out, long)
	}
	for _, word := range []uint32{0, 0, 0, mode, 1, s.uid, s.uid, 0, fusePage, 0} {
		out = binary.LittleEndian.AppendUint32(out, word)
	}
	return out
}

// mountFuse opens the device and mounts the file system of its connection on a directory.
func mountFuse(device, dir, options string) (fd int, err error) {
	fd, err = syscall.Open(device, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", device, err)
	}
	data := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)
	if options != "" {
		data = strings.Join([]string{data, options}, ",")
	}
	if err := syscall.Mount("keyreeve-test", dir, "fuse", syscall.MS_NOSUID|syscall.MS_NODEV, data); err != nil {
		return -1, fmt.Errorf("mount fuse on %s: %w", dir, err)
	}
	return fd, nil
}
