// SPDX-License-Identifier: Apache-2.0

// Package slowfile is a file that takes as long to read as its server likes: the smallest FUSE file system.
package slowfile

import (
	"encoding/binary"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Size is the size of the file, in bytes.
const Size = 4096

// The file system has a root folder and, in it, the one file.
const (
	rootNode = 1
	fileNode = 2
	fileName = "slow"
)

// Operations, from include/uapi/linux/fuse.h.
const (
	opLookup      = 1
	opForget      = 2
	opGetattr     = 3
	opOpen        = 14
	opRead        = 15
	opRelease     = 18
	opFlush       = 25
	opInit        = 26
	opBatchForget = 42
)

const inHeader = 40

// order is the byte order of FUSE's messages, which are C structs.
var order = binary.NativeEndian

// A Server serves the file. Nothing but Serve answers the kernel, so no process may use the file when it does not run.
type Server struct {
	fd  int
	dir string
}

// Mount mounts the file system on a folder.
func Mount(dir string) (*Server, error) {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/fuse: %w", err)
	}
	if err := unix.Mount("slowfile", dir, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("mount %s: %w", dir, err)
	}
	return &Server{fd, dir}, nil
}

// Path is where the file is.
func Path(dir string) string { return filepath.Join(dir, fileName) }

// Serve answers the kernel until the file system is gone. A read is answered when hold returns.
func (s *Server) Serve(hold func()) error {
	buf := make([]byte, 1<<17)
	for {
		n, err := unix.Read(s.fd, buf)
		switch {
		case err == unix.EINTR, err == unix.EAGAIN, err == unix.ENOENT:
			continue
		case err == unix.ENODEV:
			return nil
		case err != nil:
			return fmt.Errorf("read /dev/fuse: %w", err)
		case n < inHeader:
			return fmt.Errorf("message of %d bytes from /dev/fuse", n)
		}
		op, unique, node := order.Uint32(buf[4:]), order.Uint64(buf[8:]), order.Uint64(buf[16:])
		if op == opForget || op == opBatchForget {
			continue // these have no answer
		}
		if op == opRead {
			hold()
		}
		data, errno := answer(op, node, buf[inHeader:n])
		out := order.AppendUint32(nil, uint32(16+len(data)))
		out = order.AppendUint32(out, uint32(-int32(errno)))
		out = order.AppendUint64(out, unique)
		if _, err := unix.Write(s.fd, append(out, data...)); err != nil && err != unix.ENOENT {
			return fmt.Errorf("write /dev/fuse: %w", err)
		}
	}
}

// answer returns what follows the header of an answer.
func answer(op uint32, node uint64, in []byte) ([]byte, unix.Errno) {
	switch op {
	case opInit:
		out := words(7, 31, 0, 0, 0, Size, 1) // version, readahead, flags, background, max_write, time_gran
		return append(out, make([]byte, 64-len(out))...), 0
	case opLookup:
		if string(in) != fileName+"\x00" {
			return nil, unix.ENOENT
		}
		out := make([]byte, 0, 128)
		for _, v := range []uint64{fileNode, 1, 0, 0, 0} { // node, generation, and how long both are valid
			out = order.AppendUint64(out, v)
		}
		return append(out, attr(fileNode)...), 0
	case opGetattr:
		return append(make([]byte, 16), attr(node)...), 0
	case opOpen:
		return make([]byte, 16), 0
	case opRead:
		return make([]byte, Size), 0
	case opFlush, opRelease:
		return nil, 0
	}
	return nil, unix.ENOSYS
}

// attr is struct fuse_attr.
func attr(node uint64) []byte {
	size, mode := uint64(Size), uint32(unix.S_IFREG|0o644)
	if node == rootNode {
		size, mode = 0, unix.S_IFDIR|0o755
	}
	out := make([]byte, 0, 88)
	for _, v := range []uint64{node, size, 8, 0, 0, 0} { // number, size, blocks, times
		out = order.AppendUint64(out, v)
	}
	// nanoseconds of the times, mode, links, owner, group, device, block size, flags
	return append(out, words(0, 0, 0, mode, 1, 0, 0, 0, Size, 0)...)
}

func words(values ...uint32) []byte {
	var out []byte
	for _, v := range values {
		out = order.AppendUint32(out, v)
	}
	return out
}
