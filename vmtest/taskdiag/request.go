// SPDX-License-Identifier: Apache-2.0

//go:build linux

package taskdiag

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Groups say which attributes a request asks for; they can be combined. None at all is fine, too: an answer then has the
// IDs of tasks and nothing else.
type Groups uint64

// The groups of attributes.
const (
	ShowBase    Groups = 1 << (1 + iota) // Task.Base
	ShowCred                             // Task.Cred
	ShowStat                             // Task.Stat
	ShowVMA                              // Task.VMAs
	ShowVMAStat                          // VMA.Stat; needs ShowVMA
)

var groupNames = []struct {
	g    Groups
	name string
}{{ShowBase, "base"}, {ShowCred, "cred"}, {ShowStat, "stat"}, {ShowVMA, "vma"}, {ShowVMAStat, "vma_stat"}}

// String lists the groups as base+cred, with what has no name in hexadecimal; "none" is 0.
func (g Groups) String() string {
	var names []string
	for _, n := range groupNames {
		if g&n.g != 0 {
			names = append(names, n.name)
			g &^= n.g
		}
	}
	if g != 0 {
		names = append(names, fmt.Sprintf("%#x", uint64(g)))
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, "+")
}

// A Strategy says which tasks an answer is about.
type Strategy uint64

// The strategies. Those about one task want Request.PID, the others want it to be 0.
const (
	DumpAll       Strategy = iota // every process
	DumpOne                       // the task with that pid
	DumpAllThread                 // every thread of every process, by pid
	DumpChildren                  // the children of the task
	DumpThread                    // the threads of the process
)

var strategyNames = []string{"all", "one", "all threads", "children", "threads"}

// String is a name such as "all threads".
func (s Strategy) String() string {
	if s < Strategy(len(strategyNames)) {
		return strategyNames[s]
	}
	return fmt.Sprintf("strategy %d", uint64(s))
}

// A Request says what is asked for. The zero value asks for the IDs of all processes. The kernel checks it, and not this
// package: what it does not know is EINVAL.
type Request struct {
	Groups   Groups
	Strategy Strategy
	PID      uint32 // in the pid namespace of the proc mount; 0 with DumpAll and DumpAllThread
}

// String is such as "one 1234 base+stat".
func (q Request) String() string {
	if q.PID != 0 {
		return fmt.Sprintf("%v %d %v", q.Strategy, q.PID, q.Groups)
	}
	return fmt.Sprintf("%v %v", q.Strategy, q.Groups)
}

// Append appends the 40 bytes that are written to the file to b: a struct nlmsghdr and a struct task_diag_request. All
// messages of the answer have the number seq.
func (q Request) Append(b []byte, seq uint32) []byte {
	b = binary.NativeEndian.AppendUint32(b, requestSize)
	b = binary.NativeEndian.AppendUint16(b, msgRequest)
	b = binary.NativeEndian.AppendUint16(b, 0) // flags
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0) // nlmsg_pid
	b = binary.NativeEndian.AppendUint64(b, uint64(q.Groups))
	b = binary.NativeEndian.AppendUint64(b, uint64(q.Strategy))
	b = binary.NativeEndian.AppendUint32(b, q.PID)
	return binary.NativeEndian.AppendUint32(b, 0) // reserved
}
