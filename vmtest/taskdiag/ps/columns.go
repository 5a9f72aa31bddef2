// SPDX-License-Identifier: Apache-2.0

//go:build linux

package ps

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seriesrig/series/vmtest/taskdiag"
)

// Files that a column can be read from.
const (
	inStatFile = 1 << iota
	inStatusFile
)

// A Column is one of a list.
type Column struct {
	Name   string // as with -o
	Head   string // above it
	groups taskdiag.Groups
	in     int
	width  int
	left   bool
	put    func([]byte, Row) []byte
}

const (
	kib  = 1 << 10
	tick = 10 * time.Millisecond
)

func number[T uint32 | uint64 | int64](get func(Row) T) func([]byte, Row) []byte {
	return func(b []byte, r Row) []byte {
		n := get(r)
		if n < 0 {
			return strconv.AppendInt(b, int64(n), 10)
		}
		return strconv.AppendUint(b, uint64(n), 10)
	}
}

func mask(get func(Row) uint64) func([]byte, Row) []byte {
	return func(b []byte, r Row) []byte { return strconv.AppendUint(b, get(r), 16) }
}

func ticks(d time.Duration) int64 { return int64(d / tick) }

// clock is a time as ps has it: hours, minutes and seconds.
func clock(b []byte, r Row) []byte {
	s := (ticks(r.Stat.UTime) + ticks(r.Stat.STime)) / 100
	return fmt.Appendf(b, "%02d:%02d:%02d", s/3600, s/60%60, s%60)
}

// comm is the name, with nothing in it that a terminal would take for a command.
func comm(b []byte, r Row) []byte {
	for _, c := range r.Base.Name() {
		if c < ' ' || c == 0x7f {
			c = '?'
		}
		b = append(b, c)
	}
	return b
}

const both = inStatFile | inStatusFile

// Columns are all that there are.
var Columns = []Column{
	{"pid", "PID", 0, both, 7, false, number(func(r Row) uint32 { return r.Base.PID })},
	{"tgid", "TGID", 0, both, 7, false, number(func(r Row) uint32 { return r.Base.TGID })},
	{"ppid", "PPID", 0, both, 7, false, number(func(r Row) uint32 { return r.Base.PPID })},
	{"pgid", "PGID", 0, inStatFile, 7, false, number(func(r Row) uint32 { return r.Base.PGID })},
	{"sid", "SID", 0, inStatFile, 7, false, number(func(r Row) uint32 { return r.Base.SID })},
	{"tpid", "TPID", 0, inStatusFile, 7, false, number(func(r Row) uint32 { return r.Base.TPID })},
	{"s", "S", 0, both, 1, true, func(b []byte, r Row) []byte { return append(b, r.Base.State) }},
	{"comm", "COMMAND", 0, inStatFile, 15, true, comm},

	{"uid", "UID", taskdiag.ShowCred, inStatusFile, 5, false, number(func(r Row) uint32 { return r.Cred.EUID })},
	{"ruid", "RUID", taskdiag.ShowCred, inStatusFile, 5, false, number(func(r Row) uint32 { return r.Cred.UID })},
	{"suid", "SUID", taskdiag.ShowCred, inStatusFile, 5, false, number(func(r Row) uint32 { return r.Cred.SUID })},
	{"fsuid", "FSUID", taskdiag.ShowCred, inStatusFile, 5, false, number(func(r Row) uint32 { return r.Cred.FSUID })},
	{"gid", "GID", taskdiag.ShowCred, inStatusFile, 5, false, number(func(r Row) uint32 { return r.Cred.EGID })},
	{"rgid", "RGID", taskdiag.ShowCred, inStatusFile, 5, false, number(func(r Row) uint32 { return r.Cred.GID })},
	{"sgid", "SGID", taskdiag.ShowCred, inStatusFile, 5, false, number(func(r Row) uint32 { return r.Cred.SGID })},
	{"fsgid", "FSGID", taskdiag.ShowCred, inStatusFile, 5, false, number(func(r Row) uint32 { return r.Cred.FSGID })},
	{"capinh", "CAPINH", taskdiag.ShowCred, inStatusFile, 11, false, mask(func(r Row) uint64 { return r.Cred.CapInheritable })},
	{"capprm", "CAPPRM", taskdiag.ShowCred, inStatusFile, 11, false, mask(func(r Row) uint64 { return r.Cred.CapPermitted })},
	{"capeff", "CAPEFF", taskdiag.ShowCred, inStatusFile, 11, false, mask(func(r Row) uint64 { return r.Cred.CapEffective })},
	{"capbnd", "CAPBND", taskdiag.ShowCred, inStatusFile, 11, false, mask(func(r Row) uint64 { return r.Cred.CapBounding })},
	{"capamb", "CAPAMB", taskdiag.ShowCred, inStatusFile, 11, false, mask(func(r Row) uint64 { return r.Cred.CapAmbient })},

	{"vsz", "VSZ", taskdiag.ShowStat, inStatFile, 8, false, number(func(r Row) int64 { return r.Stat.VSize / kib })},
	{"rss", "RSS", taskdiag.ShowStat, inStatFile, 7, false, number(func(r Row) int64 { return r.Stat.RSS / kib })},
	{"time", "TIME", taskdiag.ShowStat, inStatFile, 8, false, clock},
	{"start", "START", taskdiag.ShowStat, inStatFile, 8, false, number(func(r Row) int64 { return ticks(r.Stat.StartTime) })},
	{"minflt", "MINFLT", taskdiag.ShowStat, inStatFile, 8, false, number(func(r Row) uint64 { return r.Stat.MinFlt })},
	{"majflt", "MAJFLT", taskdiag.ShowStat, inStatFile, 6, false, number(func(r Row) uint64 { return r.Stat.MajFlt })},
	{"ni", "NI", taskdiag.ShowStat, inStatFile, 3, false, number(func(r Row) int64 { return int64(r.Stat.Nice) })},
	{"pri", "PRI", taskdiag.ShowStat, inStatFile, 4, false, number(func(r Row) int64 { return int64(r.Stat.Priority) })},
	{"rtprio", "RTPRIO", taskdiag.ShowStat, inStatFile, 6, false, number(func(r Row) uint32 { return r.Stat.RTPriority })},
	{"policy", "POL", taskdiag.ShowStat, inStatFile, 3, false, number(func(r Row) uint32 { return r.Stat.Policy })},
	{"psr", "PSR", taskdiag.ShowStat, inStatFile, 3, false, number(func(r Row) uint32 { return r.Stat.Processor })},
	{"nlwp", "NLWP", taskdiag.ShowStat, inStatFile, 4, false, number(func(r Row) uint32 { return r.Stat.NumThreads })},
	{"f", "F", taskdiag.ShowStat, inStatFile, 8, false, mask(func(r Row) uint64 { return uint64(r.Stat.Flags) })},
	{"tty", "TTY", taskdiag.ShowStat, inStatFile, 5, false, number(func(r Row) uint32 { return r.Stat.TTY })},
	{"tpgid", "TPGID", taskdiag.ShowStat, inStatFile, 7, false, number(func(r Row) int64 { return int64(r.Stat.TTYPgrp) })},
	{"pending", "PENDING", taskdiag.ShowStat, inStatusFile, 16, false, mask(func(r Row) uint64 { return r.Stat.SigPending })},
	{"blocked", "BLOCKED", taskdiag.ShowStat, inStatusFile, 16, false, mask(func(r Row) uint64 { return r.Stat.SigBlocked })},
	{"ignored", "IGNORED", taskdiag.ShowStat, inStatusFile, 16, false, mask(func(r Row) uint64 { return r.Stat.SigIgnored })},
	{"caught", "CAUGHT", taskdiag.ShowStat, inStatusFile, 16, false, mask(func(r Row) uint64 { return r.Stat.SigCaught })},
}

// ParseColumns reads a list such as "pid,ppid,comm".
func ParseColumns(list string) ([]Column, error) {
	var out []Column
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(Columns, func(c Column) bool { return c.Name == name })
		if i < 0 {
			var all []string
			for _, c := range Columns {
				all = append(all, c.Name)
			}
			return nil, fmt.Errorf("no column %q; there are %s", name, strings.Join(all, ", "))
		}
		out = append(out, Columns[i])
	}
	return out, nil
}

// append adds the column's text about a row, as wide as the column at least, and a space behind all but the last.
func (c Column) append(b []byte, r Row, last bool) []byte {
	from := len(b)
	return c.aligned(c.put(b, r), from, last)
}

func (c Column) pad(b []byte, from int, last bool, text string) []byte {
	return c.aligned(append(b, text...), from, last)
}

const spaces = "                "

// aligned fills what is behind from to the width of the column: on the left, or on the right where something follows.
func (c Column) aligned(b []byte, from int, last bool) []byte {
	if missing := max(c.width, len(c.Head)) - (len(b) - from); missing > 0 && !(c.left && last) {
		b = append(b, spaces[:missing]...)
		if !c.left {
			copy(b[from+missing:], b[from:])
			copy(b[from:], spaces[:missing])
		}
	}
	if !last {
		b = append(b, ' ')
	}
	return b
}
