// SPDX-License-Identifier: Apache-2.0

//go:build linux

package taskdiag

import (
	"bytes"
	"time"
	"unsafe"
)

// Path is where the file is in a system whose /proc is at its usual place.
const Path = "/proc/task_diag"

// Types of messages and attributes.
const (
	msgDone    = 3 // NLMSG_DONE
	msgRequest = 0x10
	msgTask    = 0x11

	attrPad  = 0
	attrBase = 1
	attrCred = 2
	attrStat = 3
	attrVMA  = 4

	flagCont = 1 << 0
	flagGone = 1 << 1
)

// Sizes of what a message is made of.
const (
	nlmsgHeader = 16
	taskHeader  = nlmsgHeader + 12
	attrHeader  = 4
	requestSize = nlmsgHeader + 24
	doneSize    = nlmsgHeader + 8
	baseSize    = 96
	vmaSize     = int(unsafe.Sizeof(VMAHead{}))
	vmaStatSize = int(unsafe.Sizeof(VMAStat{}))
)

// The sizes of the kernel's structures: another one does not compile.
var (
	_ = [1]struct{}{}[unsafe.Sizeof(Base{})-baseSize]
	_ = [1]struct{}{}[unsafe.Sizeof(Cred{})-72]
	_ = [1]struct{}{}[unsafe.Sizeof(Stat{})-296]
	_ = [1]struct{}{}[unsafe.Sizeof(VMAHead{})-64]
	_ = [1]struct{}{}[unsafe.Sizeof(VMAStat{})-152]
)

// Base says who a task is: struct task_diag_base. IDs are those of the pid namespace of the proc mount; 0 is for what is
// outside of it.
type Base struct {
	TGID  uint32 // process
	PID   uint32 // thread
	PPID  uint32 // parent process
	TPID  uint32 // tracer, or 0
	SID   uint32 // session
	PGID  uint32 // process group
	State byte   // a letter, as in /proc/PID/stat
	_     [7]byte
	Comm  [64]byte // ends with a zero byte
}

// Name is Comm without what ends it: as it is, with any bytes in it. It is a view of b.
func (b *Base) Name() []byte {
	if i := bytes.IndexByte(b.Comm[:], 0); i >= 0 {
		return b.Comm[:i]
	}
	return b.Comm[:]
}

// Cred has the credentials of a task as /proc/PID/status has them: struct task_diag_cred. User and group IDs are those of
// the user namespace of who opened the file.
type Cred struct {
	CapInheritable uint64 // a bit for each capability
	CapPermitted   uint64
	CapEffective   uint64
	CapBounding    uint64
	CapAmbient     uint64
	UID            uint32 // real
	EUID           uint32 // effective
	SUID           uint32 // saved
	FSUID          uint32 // for file systems
	GID            uint32
	EGID           uint32
	SGID           uint32
	FSGID          uint32
}

// Stat is what /proc/PID/stat has: struct task_diag_stat. It is about the process, or with DumpThread and DumpAllThread
// about the thread. Times are in nanoseconds where stat has clock ticks, sizes in bytes where it has pages. What is from
// an address space is 0 without one.
type Stat struct {
	MinFlt      uint64 // page faults without I/O; those that begin with C are of children that were waited for
	CMinFlt     uint64
	MajFlt      uint64 // page faults with I/O
	CMajFlt     uint64
	UTime       time.Duration // in user mode
	STime       time.Duration // in the kernel
	CUTime      time.Duration
	CSTime      time.Duration
	GTime       time.Duration // running a virtual CPU
	CGTime      time.Duration
	StartTime   time.Duration // since boot, in the time namespace of who reads
	BlkIODelay  uint64        // clock ticks, of 10 ms
	VSize       int64         // bytes of address space
	RSS         int64         // bytes that are resident
	RSSLimit    uint64        // bytes; math.MaxUint64 for none
	StartCode   uint64        // addresses
	EndCode     uint64
	StartData   uint64
	EndData     uint64
	StartBrk    uint64
	StartStack  uint64
	ArgStart    uint64
	ArgEnd      uint64
	EnvStart    uint64
	EnvEnd      uint64
	ESP         uint64 // stack pointer, only while it dumps core
	EIP         uint64 // instruction pointer, the same
	SigPending  uint64 // bit n-1 is signal n
	SigBlocked  uint64
	SigIgnored  uint64
	SigCaught   uint64
	Flags       uint32 // PF_* of the kernel
	TTY         uint32 // device number, or 0
	TTYPgrp     int32  // foreground process group, or -1
	Priority    int32
	Nice        int32 // -20 to 19
	NumThreads  uint32
	ExitSignal  int32
	ExitCode    int32  // as of wait(2)
	Processor   uint32 // CPU
	RTPriority  uint32
	Policy      uint32 // SCHED_*
	WaitChannel uint32 // 1 if it waits
}

// VMAFlags are the access rights of a mapping, and more.
type VMAFlags uint32

// The bits of VMAFlags.
const (
	VMARead VMAFlags = 1 << iota
	VMAWrite
	VMAExec
	VMAShared      // changes reach the file and other processes, or may come to
	VMANameTooLong // there is a path, which is longer than PATH_MAX and left out
)

// VMAHead is what is fixed of a mapping, as in /proc/PID/maps: struct task_diag_vma.
type VMAHead struct {
	Start    uint64 // address
	End      uint64 // address behind it
	Offset   uint64 // bytes, of Start in the file
	Inode    uint64 // of the file, or 0
	PageSize int64  // bytes
	len      uint32
	Flags    VMAFlags
	DevMajor uint32 // device of the file
	DevMinor uint32
	nameOff  uint32
	statOff  uint32
}

// VMAStat is what /proc/PID/smaps has about a mapping, in bytes: struct task_diag_vma_stat.
type VMAStat struct {
	Resident       int64
	PSS            int64 // proportional: a page that n processes have counts 1/n
	PSSDirty       int64
	SharedClean    int64
	SharedDirty    int64
	PrivateClean   int64
	PrivateDirty   int64
	Referenced     int64
	Anonymous      int64
	KSM            int64
	LazyFree       int64
	AnonymousTHP   int64
	ShmemTHP       int64
	FileTHP        int64
	SharedHugetlb  int64
	PrivateHugetlb int64
	Swap           int64
	SwapPSS        int64
	Locked         int64 // proportional
}

// A VMA is a mapping. It is a view of the memory of the task that it is of, and valid as long as that.
type VMA struct {
	*VMAHead
	Name []byte   // the last column of maps, with nothing escaped; nil where there is none
	Stat *VMAStat // nil without ShowVMAStat
}
