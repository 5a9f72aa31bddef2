// SPDX-License-Identifier: Apache-2.0

package slowfile

import (
	"testing"

	"golang.org/x/sys/unix"
)

// The kernel refuses an answer that has not the size of its struct.
func TestAnswerSizes(t *testing.T) {
	for _, c := range []struct {
		name  string
		op    uint32
		in    string
		want  int
		errno unix.Errno
	}{
		{"fuse_init_out", opInit, "", 64, 0},
		{"fuse_entry_out", opLookup, fileName + "\x00", 128, 0},
		{"no such file", opLookup, "other\x00", 0, unix.ENOENT},
		{"fuse_attr_out", opGetattr, "", 104, 0},
		{"fuse_open_out", opOpen, "", 16, 0},
		{"data", opRead, "", Size, 0},
		{"fsync", 20, "", 0, unix.ENOSYS},
	} {
		got, errno := answer(c.op, fileNode, []byte(c.in))
		if len(got) != c.want || errno != c.errno {
			t.Errorf("%s: answer of %d bytes, errno %d, want %d and %d", c.name, len(got), errno, c.want, c.errno)
		}
	}
}
