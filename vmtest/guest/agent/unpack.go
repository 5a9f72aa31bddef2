// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// An unpacker takes a cpio archive in pieces and unpacks it on the way.
type unpacker struct {
	w    *io.PipeWriter
	done chan error
}

func (a *agent) newUnpacker() *unpacker {
	r, w := io.Pipe()
	u := &unpacker{w: w, done: make(chan error, 1)}
	a.spawn(func() {
		err := unpack(bufio.NewReaderSize(r, 64<<10), a.root)
		io.Copy(io.Discard, r) // after an error, or after the trailer's padding
		u.done <- err
	})
	return u
}

func (u *unpacker) write(b []byte) { u.w.Write(b) }

func (u *unpacker) close() error {
	u.w.Close()
	return <-u.done
}

// unpack makes the files of a newc archive below root, as the kernel does with an initramfs: what is there already is
// replaced. The format is in the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
func unpack(r io.Reader, root string) error {
	for {
		h, name, err := readHeader(r)
		if errors.Is(err, io.EOF) || err == nil && name == "TRAILER!!!" {
			return nil
		}
		if err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
		rel := strings.TrimLeft(name, "/")
		if rel == "" || rel == "." {
			continue
		}
		if !filepath.IsLocal(rel) {
			return fmt.Errorf("unpack %q: path leads out of the archive", name)
		}
		data := &io.LimitedReader{R: r, N: int64(h.size)}
		if err := h.make(filepath.Join(root, rel), data); err != nil {
			return fmt.Errorf("unpack %s: %w", name, err)
		}
		if _, err := io.CopyN(io.Discard, r, data.N+int64(-h.size&3)); err != nil {
			return fmt.Errorf("unpack %s: archive ends inside: %w", name, err)
		}
	}
}

type header struct {
	mode, uid, gid, size, rmajor, rminor uint32
}

func readHeader(r io.Reader) (h header, name string, err error) {
	var b [110]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return h, "", err
	}
	if !bytes.HasPrefix(b[:], []byte("070701")) {
		return h, "", fmt.Errorf("not a newc archive: %q", b[:6])
	}
	var f [13]uint32
	for i := range f {
		v, err := strconv.ParseUint(string(b[6+8*i:14+8*i]), 16, 32)
		if err != nil {
			return h, "", err
		}
		f[i] = uint32(v)
	}
	h = header{mode: f[1], uid: f[2], gid: f[3], size: f[6], rmajor: f[9], rminor: f[10]}
	length := int(f[11])
	if length < 1 || length > 4096 {
		return h, "", fmt.Errorf("name of %d bytes", length)
	}
	n := make([]byte, length+int(-(110+uint32(length))&3))
	if _, err := io.ReadFull(r, n); err != nil {
		return h, "", err
	}
	return h, string(bytes.TrimRight(n[:length], "\x00")), nil
}

// make makes one file.
func (h header) make(path string, data io.Reader) error {
	perm := h.mode & 0o7777
	kind := h.mode & syscall.S_IFMT
	if kind == syscall.S_IFDIR {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
		return syscall.Chmod(path, perm)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	switch kind {
	case syscall.S_IFREG:
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, data)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		return syscall.Chmod(path, perm)
	case syscall.S_IFLNK:
		to, err := io.ReadAll(io.LimitReader(data, 4096))
		if err != nil {
			return err
		}
		return os.Symlink(string(to), path)
	case syscall.S_IFCHR, syscall.S_IFBLK, syscall.S_IFIFO:
		dev := int(h.rminor&0xff | (h.rmajor&0xfff)<<8 | (h.rminor&^0xff)<<12)
		return syscall.Mknod(path, h.mode, dev)
	}
	return fmt.Errorf("mode %o is of no known kind", h.mode)
}
