// SPDX-License-Identifier: Apache-2.0

package uring

import (
	"testing"
	"unsafe"
)

// The kernel's numbers for its structs (include/uapi/linux/io_uring.h); Go may pad where C does not.
func TestSizes(t *testing.T) {
	for name, c := range map[string]struct{ got, want uintptr }{
		"io_uring_params":         {unsafe.Sizeof(params{}), 120},
		"io_uring_params.sq_off":  {unsafe.Offsetof(params{}.Sq), 40},
		"io_uring_sqe":            {unsafe.Sizeof(sqe{}), 64},
		"io_uring_sqe.open_flags": {unsafe.Offsetof(sqe{}.OpFlags), 28},
		"io_uring_sqe.user_data":  {unsafe.Offsetof(sqe{}.UserData), 32},
		"io_uring_cqe":            {unsafe.Sizeof(cqe{}), 16},
	} {
		if c.got != c.want {
			t.Errorf("%s = %d, want %d", name, c.got, c.want)
		}
	}
}
