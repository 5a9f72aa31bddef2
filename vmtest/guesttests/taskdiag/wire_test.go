// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskdiag

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// The interface byte by byte, on purpose without the client package and its structures: what a client skips, such as
// padding, is looked at here.

const (
	diagPath = "/proc/task_diag"

	nlmsgDone  = 3
	msgRequest = 0x10
	msgTask    = 0x11

	nlmFlagMulti = 2
	nlmRequest   = 1
	nlmDump      = 0x300
)

// Groups of attributes and their types.
const (
	attrPad = iota
	attrBase
	attrCred
	attrStat
	attrVMA
	attrVMAStat

	showBase    = 1 << attrBase
	showCred    = 1 << attrCred
	showStat    = 1 << attrStat
	showVMA     = 1 << attrVMA
	showVMAStat = 1 << attrVMAStat
	showAll     = showBase | showCred | showStat | showVMA | showVMAStat
)

// Strategies.
const (
	dumpAll = iota
	dumpOne
	dumpAllThread
	dumpChildren
	dumpThread
)

// Flags of a message.
const (
	flagCont = 1
	flagGone = 2
)

// Sizes of what is fixed.
const (
	headSize    = 16 // struct nlmsghdr
	requestSize = headSize + 24
	msgSize     = headSize + 12 // without the attributes
	baseSize    = 96
	credSize    = 72
	statSize    = 296
	vmaSize     = 64
	vmaStatSize = 152
	commSize    = 64
)

var native = binary.NativeEndian

// A request is the 40 bytes that are written. Any of them can be wrong.
type request struct {
	Len         uint32
	Type, Flags uint16
	Seq, From   uint32
	Show        uint64
	Strategy    uint64
	PID         uint32
	Reserved    uint32
}

func newRequest(strategy, show uint64, pid int) request {
	return request{Len: requestSize, Type: msgRequest, Flags: nlmRequest | nlmDump, Seq: 0x5eed0001, Show: show, Strategy: strategy, PID: uint32(pid)}
}

func (r request) bytes() []byte {
	b := make([]byte, 0, requestSize)
	b = native.AppendUint32(b, r.Len)
	b = native.AppendUint16(b, r.Type)
	b = native.AppendUint16(b, r.Flags)
	b = native.AppendUint32(b, r.Seq)
	b = native.AppendUint32(b, r.From)
	b = native.AppendUint64(b, r.Show)
	b = native.AppendUint64(b, r.Strategy)
	b = native.AppendUint32(b, r.PID)
	return native.AppendUint32(b, r.Reserved)
}

// A base is struct task_diag_base.
type base struct {
	TGID, PID, PPID, TPID, SID, PGID uint32
	State                            byte
	Comm                             string
}

// A cred is struct task_diag_cred.
type cred struct {
	Inheritable, Permitted, Effective, Bounding, Ambient uint64
	UIDs, GIDs                                           [4]uint32 // real, effective, saved, of file systems
}

// A stat is struct task_diag_stat.
type stat struct {
	MinFlt, CMinFlt, MajFlt, CMajFlt            uint64
	UTime, STime, CUTime, CSTime, GTime, CGTime uint64
	StartTime, BlkioDelay                       uint64
	VSize, RSS, RSSLim                          uint64
	StartCode, EndCode, StartData, EndData      uint64
	StartBrk, StartStack                        uint64
	ArgStart, ArgEnd, EnvStart, EnvEnd          uint64
	ESP, EIP                                    uint64
	Pending, Blocked, Ignored, Caught           uint64
	Flags, TTYNr                                uint32
	TTYPGrp, Priority, Nice                     int32
	NumThreads                                  uint32
	ExitSignal, ExitCode                        int32
	Processor, RTPriority, Policy, WChan        uint32
}

// A vma is struct task_diag_vma with its name and, if they were asked for, its statistics.
type vma struct {
	Start, End, Offset, Inode, PageSize uint64
	Flags, Major, Minor                 uint32
	Name                                string
	Named                               bool
	Stat                                *vmaStat
}

// Flags of a vma.
const (
	vmaRead = 1 << iota
	vmaWrite
	vmaExec
	vmaShared
	vmaNameTooLong
)

// A vmaStat is struct task_diag_vma_stat, in bytes.
type vmaStat struct {
	Resident, PSS, PSSDirty                                uint64
	SharedClean, SharedDirty, PrivateClean, PrivateDirty   uint64
	Referenced, Anonymous, KSM, LazyFree                   uint64
	AnonHuge, ShmemHuge, FileHuge, SharedHuge, PrivateHuge uint64
	Swap, SwapPSS, Locked                                  uint64
}

// A task is what the messages about it say together.
type task struct {
	TGID, PID uint32
	Base      *base
	Cred      *cred
	Stat      *stat
	VMAs      []vma
	Messages  int
	Gone      bool
}

// An answer is put together from what reads return. It accepts nothing that is not as the documentation says, down to the
// padding.
type answer struct {
	seq   uint32
	tasks []*task
	open  *task // marked CONT
	done  bool
	err   int32 // of NLMSG_DONE
	bytes int
	reads int
}

func (a *answer) pids() []int {
	pids := make([]int, len(a.tasks))
	for i, t := range a.tasks {
		pids[i] = int(t.PID)
	}
	return pids
}

// add takes what one read returned: whole messages.
func (a *answer) add(b []byte) error {
	a.bytes += len(b)
	a.reads++
	for off := 0; off < len(b); {
		if len(b)-off < headSize {
			return fmt.Errorf("offset %d: %d bytes left: no room for a header", off, len(b)-off)
		}
		n := int(native.Uint32(b[off:]))
		if n < headSize+8 || n%8 != 0 || n > len(b)-off {
			return fmt.Errorf("offset %d: nlmsg_len %d, %d bytes left", off, n, len(b)-off)
		}
		if err := a.message(b[off : off+n]); err != nil {
			return fmt.Errorf("offset %d: message of %d bytes: %w", off, n, err)
		}
		off += n
	}
	return nil
}

func (a *answer) message(b []byte) error {
	kind, flags, seq, from := native.Uint16(b[4:]), native.Uint16(b[6:]), native.Uint32(b[8:]), native.Uint32(b[12:])
	if a.done {
		return fmt.Errorf("type %#x behind NLMSG_DONE", kind)
	}
	if flags != nlmFlagMulti || seq != a.seq || from != 0 {
		return fmt.Errorf("type %#x: flags %#x, seq %#x, pid %d: want NLM_F_MULTI, %#x, 0", kind, flags, seq, from, a.seq)
	}
	switch kind {
	case nlmsgDone:
		if len(b) != headSize+8 || native.Uint32(b[20:]) != 0 {
			return fmt.Errorf("NLMSG_DONE % x", b)
		}
		if a.open != nil {
			return fmt.Errorf("NLMSG_DONE, while task %d has CONT", a.open.PID)
		}
		a.done, a.err = true, int32(native.Uint32(b[16:]))
		return nil
	case msgTask:
		return a.taskMessage(b)
	}
	return fmt.Errorf("type %#x", kind)
}

func (a *answer) taskMessage(b []byte) error {
	if len(b) < msgSize+4 {
		return fmt.Errorf("no room for struct task_diag_msg and an attribute")
	}
	flags, tgid, pid := native.Uint32(b[16:]), native.Uint32(b[20:]), native.Uint32(b[24:])
	if flags&^(flagCont|flagGone) != 0 || flags == flagCont|flagGone || tgid == 0 || pid == 0 {
		return fmt.Errorf("flags %#x, tgid %d, pid %d", flags, tgid, pid)
	}
	t := a.open
	switch {
	case t == nil:
		if flags&flagGone != 0 {
			return fmt.Errorf("GONE of task %d, which there was nothing of", pid)
		}
		t = &task{TGID: tgid, PID: pid}
		a.tasks = append(a.tasks, t)
	case t.TGID != tgid || t.PID != pid:
		return fmt.Errorf("task %d of %d, while task %d of %d has CONT", pid, tgid, t.PID, t.TGID)
	}
	t.Messages++
	if a.open = t; flags&flagCont == 0 {
		a.open = nil
	}
	t.Gone = flags&flagGone != 0
	attrs := 0
	for off := msgSize; off < len(b); {
		if len(b)-off < 4 {
			return fmt.Errorf("task %d: attribute at %d: %d bytes left", pid, off, len(b)-off)
		}
		n, kind := int(native.Uint16(b[off:])), native.Uint16(b[off+2:])
		if n < 4 || n%4 != 0 || n > len(b)-off {
			return fmt.Errorf("task %d: attribute %d at %d: nla_len %d, %d bytes left", pid, kind, off, n, len(b)-off)
		}
		if err := t.attribute(kind, off+4, b[off+4:off+n]); err != nil {
			return fmt.Errorf("task %d: attribute %d at %d, nla_len %d: %w", pid, kind, off, n, err)
		}
		if kind != attrPad {
			attrs++
		}
		off += n
	}
	if t.Gone && attrs > 0 {
		return fmt.Errorf("task %d: GONE with %d attributes", pid, attrs)
	}
	if flags == flagCont && attrs == 0 {
		return fmt.Errorf("task %d: CONT without an attribute", pid)
	}
	return nil
}

func (t *task) attribute(kind uint16, off int, p []byte) (err error) {
	if kind == attrPad {
		if len(p) > 0 {
			return fmt.Errorf("padding with a payload")
		}
		return nil
	}
	if off%8 != 0 || len(p)%8 != 0 {
		return fmt.Errorf("payload of %d bytes at %d: not a multiple of 8", len(p), off)
	}
	twice := false
	switch kind {
	case attrBase:
		twice = t.Base != nil
		t.Base, err = parseBase(p)
		if err == nil && (t.Base.PID != t.PID || t.Base.TGID != t.TGID) {
			err = fmt.Errorf("of task %d of %d", t.Base.PID, t.Base.TGID)
		}
	case attrCred:
		twice = t.Cred != nil
		t.Cred = new(cred)
		err = fixed(p, credSize, t.Cred)
	case attrStat:
		twice = t.Stat != nil
		t.Stat = new(stat)
		err = fixed(p, statSize, t.Stat)
	case attrVMA:
		err = t.mappings(p)
	default:
		err = fmt.Errorf("unknown type")
	}
	if twice {
		return fmt.Errorf("for the second time")
	}
	return err
}

// fixed reads a structure that has no padding.
func fixed(p []byte, size int, v any) error {
	if len(p) != size {
		return fmt.Errorf("payload of %d bytes, want %d", len(p), size)
	}
	return binary.Read(bytes.NewReader(p), native, v)
}

func parseBase(p []byte) (*base, error) {
	if len(p) != baseSize {
		return nil, fmt.Errorf("payload of %d bytes, want %d", len(p), baseSize)
	}
	var b base
	for i, v := range []*uint32{&b.TGID, &b.PID, &b.PPID, &b.TPID, &b.SID, &b.PGID} {
		*v = native.Uint32(p[4*i:])
	}
	b.State = p[24]
	if !strings.ContainsRune("RSDTtXZPI", rune(b.State)) {
		return nil, fmt.Errorf("state %q", b.State)
	}
	if !zero(p[25:32]) {
		return nil, fmt.Errorf("reserved bytes % x", p[25:32])
	}
	comm, rest, ok := bytes.Cut(p[32:], []byte{0})
	if !ok || !zero(rest) {
		return nil, fmt.Errorf("comm %q: want a zero byte, and nothing but such behind it", p[32:])
	}
	b.Comm = string(comm)
	return &b, nil
}

// mappings reads records of struct task_diag_vma.
func (t *task) mappings(p []byte) error {
	if len(p) == 0 {
		return fmt.Errorf("no record")
	}
	for len(p) > 0 {
		v, n, err := parseVMA(p)
		if err != nil {
			return fmt.Errorf("record %d: %w", len(t.VMAs), err)
		}
		// One that was merged with its neighbour meanwhile comes again, and is longer.
		if k := len(t.VMAs); k > 0 && t.VMAs[k-1].End >= v.End {
			return fmt.Errorf("record %d: %x-%x behind %x-%x", k, v.Start, v.End, t.VMAs[k-1].Start, t.VMAs[k-1].End)
		}
		t.VMAs = append(t.VMAs, v)
		p = p[n:]
	}
	return nil
}

func parseVMA(p []byte) (v vma, size int, err error) {
	if len(p) < vmaSize {
		return v, 0, fmt.Errorf("%d bytes left", len(p))
	}
	for i, to := range []*uint64{&v.Start, &v.End, &v.Offset, &v.Inode, &v.PageSize} {
		*to = native.Uint64(p[8*i:])
	}
	var f [6]int
	for i := range f {
		f[i] = int(native.Uint32(p[40+4*i:]))
	}
	size, nameOff, statOff := f[0], f[4], f[5]
	v.Flags, v.Major, v.Minor = uint32(f[1]), uint32(f[2]), uint32(f[3])
	end := vmaSize
	if statOff != 0 {
		end += vmaStatSize
	}
	if size < end || size > len(p) || size%8 != 0 || v.Start >= v.End || v.Flags&^(2*vmaNameTooLong-1) != 0 {
		return v, 0, fmt.Errorf("len %d of %d, %x-%x, flags %#x", size, len(p), v.Start, v.End, v.Flags)
	}
	if statOff != 0 {
		if statOff != vmaSize {
			return v, 0, fmt.Errorf("stat_off %d, want %d", statOff, vmaSize)
		}
		v.Stat = new(vmaStat)
		if err := fixed(p[statOff:statOff+vmaStatSize], vmaStatSize, v.Stat); err != nil {
			return v, 0, err
		}
	}
	if nameOff == 0 {
		if size != end {
			return v, 0, fmt.Errorf("%d bytes behind %d, without a name", size-end, end)
		}
		return v, size, nil
	}
	if nameOff != end || size == end {
		return v, 0, fmt.Errorf("name_off %d in %d bytes, want %d", nameOff, size, end)
	}
	name, rest, ok := bytes.Cut(p[nameOff:size], []byte{0})
	if !ok || !zero(rest) || len(rest) > 7 {
		return v, 0, fmt.Errorf("name %q: want a zero byte, and up to 7 more of them", p[nameOff:size])
	}
	v.Name, v.Named = string(name), true
	return v, size, nil
}

func zero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }
