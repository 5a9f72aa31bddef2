// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"encoding/binary"
	"syscall"
	"unsafe"

	"github.com/elastic/go-libaudit/v2"
	"golang.org/x/sys/unix"
)

// Netlink and audit messages are C structs in the byte order of the machine.

func headerBytes(h syscall.NlMsghdr) []byte {
	return append([]byte(nil), (*[unix.SizeofNlMsghdr]byte)(unsafe.Pointer(&h))[:]...)
}

func header(b []byte) (h syscall.NlMsghdr) {
	copy((*[unix.SizeofNlMsghdr]byte)(unsafe.Pointer(&h))[:], b)
	return h
}

func statusBytes(s libaudit.AuditStatus) []byte {
	return append([]byte(nil), (*[unsafe.Sizeof(s)]byte)(unsafe.Pointer(&s))[:]...)
}

func nativeBytes(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }
