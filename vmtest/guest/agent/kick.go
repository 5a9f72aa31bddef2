// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"math/bits"
	"runtime"
	"syscall"
	"unsafe"
)

const timerAbstime = 1 // TIMER_ABSTIME of clock_nanosleep(2)

// kickTimers has each processor set its timer anew. QEMU before 8.1 restores a ppc64 guest without its decrementer
// running, and the kernel does not know: it waits for an interrupt that it has asked for and that will not come, and asks
// for no other unless something is due before. Something whose time has been since boot is.
func kickTimers() {
	var all [16]uint64 // 1024 processors
	n, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_GETAFFINITY, 0, unsafe.Sizeof(all), uintptr(unsafe.Pointer(&all)))
	if errno != 0 {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Not unlocked: the thread has a mask of its own, and ends with the goroutine.
		runtime.LockOSThread()
		for i := range int(n) / 8 {
			for left := all[i]; left != 0; left &= left - 1 {
				var one [16]uint64
				one[i] = 1 << bits.TrailingZeros64(left)
				syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(one), uintptr(unsafe.Pointer(&one)))
				at := syscall.Timespec{Nsec: 1}
				syscall.Syscall6(syscall.SYS_CLOCK_NANOSLEEP, clockMonotonic, timerAbstime, uintptr(unsafe.Pointer(&at)), 0, 0, 0)
			}
		}
	}()
	<-done
}
