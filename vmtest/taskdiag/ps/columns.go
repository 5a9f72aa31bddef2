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
	num    func(*Row) int64          // what a column of numbers has
	put    func([]byte, *Row) []byte // and one of text
}

const (
	kib  = 1 << 10
	tick = 10 * time.Millisecond
)

func mask(get func(*Row) uint64) func([]byte, *Row) []byte {
	return func(b []byte, r *Row) []byte { return strconv.AppendUint(b, get(r), 16) }
}

func ticks(d time.Duration) int64 { return int64(d / tick) }

// clock is a time as ps has it: hours, minutes and seconds.
func clock(b []byte, r *Row) []byte {
	s := (ticks(r.Stat.UTime) + ticks(r.Stat.STime)) / 100
	return fmt.Appendf(b, "%02d:%02d:%02d", s/3600, s/60%60, s%60)
}

// comm is the name, with nothing in it that a terminal would take for a command.
func comm(b []byte, r *Row) []byte {
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
	{"pid", "PID", 0, both, 7, false, func(r *Row) int64 { return int64(r.Base.PID) }, nil},
	{"tgid", "TGID", 0, both, 7, false, func(r *Row) int64 { return int64(r.Base.TGID) }, nil},
	{"ppid", "PPID", 0, both, 7, false, func(r *Row) int64 { return int64(r.Base.PPID) }, nil},
	{"pgid", "PGID", 0, inStatFile, 7, false, func(r *Row) int64 { return int64(r.Base.PGID) }, nil},
	{"sid", "SID", 0, inStatFile, 7, false, func(r *Row) int64 { return int64(r.Base.SID) }, nil},
	{"tpid", "TPID", 0, inStatusFile, 7, false, func(r *Row) int64 { return int64(r.Base.TPID) }, nil},
	{"s", "S", 0, both, 1, true, nil, func(b []byte, r *Row) []byte { return append(b, r.Base.State) }},
	{"comm", "COMMAND", 0, inStatFile, 15, true, nil, comm},

	{"uid", "UID", taskdiag.ShowCred, inStatusFile, 5, false, func(r *Row) int64 { return int64(r.Cred.EUID) }, nil},
	{"ruid", "RUID", taskdiag.ShowCred, inStatusFile, 5, false, func(r *Row) int64 { return int64(r.Cred.UID) }, nil},
	{"suid", "SUID", taskdiag.ShowCred, inStatusFile, 5, false, func(r *Row) int64 { return int64(r.Cred.SUID) }, nil},
	{"fsuid", "FSUID", taskdiag.ShowCred, inStatusFile, 5, false, func(r *Row) int64 { return int64(r.Cred.FSUID) }, nil},
	{"gid", "GID", taskdiag.ShowCred, inStatusFile, 5, false, func(r *Row) int64 { return int64(r.Cred.EGID) }, nil},
	{"rgid", "RGID", taskdiag.ShowCred, inStatusFile, 5, false, func(r *Row) int64 { return int64(r.Cred.GID) }, nil},
	{"sgid", "SGID", taskdiag.ShowCred, inStatusFile, 5, false, func(r *Row) int64 { return int64(r.Cred.SGID) }, nil},
	{"fsgid", "FSGID", taskdiag.ShowCred, inStatusFile, 5, false, func(r *Row) int64 { return int64(r.Cred.FSGID) }, nil},
	{"capinh", "CAPINH", taskdiag.ShowCred, inStatusFile, 11, false, nil, mask(func(r *Row) uint64 { return r.Cred.CapInheritable })},
	{"capprm", "CAPPRM", taskdiag.ShowCred, inStatusFile, 11, false, nil, mask(func(r *Row) uint64 { return r.Cred.CapPermitted })},
	{"capeff", "CAPEFF", taskdiag.ShowCred, inStatusFile, 11, false, nil, mask(func(r *Row) uint64 { return r.Cred.CapEffective })},
	{"capbnd", "CAPBND", taskdiag.ShowCred, inStatusFile, 11, false, nil, mask(func(r *Row) uint64 { return r.Cred.CapBounding })},
	{"capamb", "CAPAMB", taskdiag.ShowCred, inStatusFile, 11, false, nil, mask(func(r *Row) uint64 { return r.Cred.CapAmbient })},

	{"vsz", "VSZ", taskdiag.ShowStat, inStatFile, 8, false, func(r *Row) int64 { return r.Stat.VSize / kib }, nil},
	{"rss", "RSS", taskdiag.ShowStat, inStatFile, 7, false, func(r *Row) int64 { return r.Stat.RSS / kib }, nil},
	{"time", "TIME", taskdiag.ShowStat, inStatFile, 8, false, nil, clock},
	{"start", "START", taskdiag.ShowStat, inStatFile, 8, false, func(r *Row) int64 { return ticks(r.Stat.StartTime) }, nil},
	{"minflt", "MINFLT", taskdiag.ShowStat, inStatFile, 8, false, func(r *Row) int64 { return int64(r.Stat.MinFlt) }, nil},
	{"majflt", "MAJFLT", taskdiag.ShowStat, inStatFile, 6, false, func(r *Row) int64 { return int64(r.Stat.MajFlt) }, nil},
	{"ni", "NI", taskdiag.ShowStat, inStatFile, 3, false, func(r *Row) int64 { return int64(r.Stat.Nice) }, nil},
	{"pri", "PRI", taskdiag.ShowStat, inStatFile, 4, false, func(r *Row) int64 { return int64(r.Stat.Priority) }, nil},
	{"rtprio", "RTPRIO", taskdiag.ShowStat, inStatFile, 6, false, func(r *Row) int64 { return int64(r.Stat.RTPriority) }, nil},
	{"policy", "POL", taskdiag.ShowStat, inStatFile, 3, false, func(r *Row) int64 { return int64(r.Stat.Policy) }, nil},
	{"psr", "PSR", taskdiag.ShowStat, inStatFile, 3, false, func(r *Row) int64 { return int64(r.Stat.Processor) }, nil},
	{"nlwp", "NLWP", taskdiag.ShowStat, inStatFile, 4, false, func(r *Row) int64 { return int64(r.Stat.NumThreads) }, nil},
	{"f", "F", taskdiag.ShowStat, inStatFile, 8, false, nil, mask(func(r *Row) uint64 { return uint64(r.Stat.Flags) })},
	{"tty", "TTY", taskdiag.ShowStat, inStatFile, 5, false, func(r *Row) int64 { return int64(r.Stat.TTY) }, nil},
	{"tpgid", "TPGID", taskdiag.ShowStat, inStatFile, 7, false, func(r *Row) int64 { return int64(r.Stat.TTYPgrp) }, nil},
	{"pending", "PENDING", taskdiag.ShowStat, inStatusFile, 16, false, nil, mask(func(r *Row) uint64 { return r.Stat.SigPending })},
	{"blocked", "BLOCKED", taskdiag.ShowStat, inStatusFile, 16, false, nil, mask(func(r *Row) uint64 { return r.Stat.SigBlocked })},
	{"ignored", "IGNORED", taskdiag.ShowStat, inStatusFile, 16, false, nil, mask(func(r *Row) uint64 { return r.Stat.SigIgnored })},
	{"caught", "CAUGHT", taskdiag.ShowStat, inStatusFile, 16, false, nil, mask(func(r *Row) uint64 { return r.Stat.SigCaught })},
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
		c := Columns[i]
		c.width = max(c.width, len(c.Head))
		out = append(out, c)
	}
	return out, nil
}

// widest is more than a line can take: names have 64 bytes, and the rest are numbers.
var widest = 128 * len(Columns)

// append adds the column's text about a row, as wide as the column at least, and a space behind all but the last. There has to
// be room for it.
func (c *Column) append(b []byte, r *Row, last bool) []byte {
	if c.num == nil {
		return c.aligned(c.put(b, r), len(b), last)
	}
	n := c.num(r)
	from, width := len(b), c.width
	if n < 0 || !digits(b[from:from+width], uint64(n)) {
		return c.aligned(strconv.AppendInt(b, n, 10), from, last)
	}
	b = b[:from+width]
	if !last {
		b = append(b, ' ')
	}
	return b
}

// digits fills a column with a number, from the right to the left. It says false where there is no room.
func digits(b []byte, n uint64) bool {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		if n /= 10; n == 0 {
			for i--; i >= 0; i-- {
				b[i] = ' '
			}
			return true
		}
	}
	return false
}

func (c *Column) head(b []byte, last bool) []byte {
	return c.aligned(append(b, c.Head...), len(b), last)
}

const spaces = "                "

// aligned fills what is behind from to the width of the column: on the left, or on the right where something follows.
func (c *Column) aligned(b []byte, from int, last bool) []byte {
	if missing := c.width - (len(b) - from); missing > 0 && !(c.left && last) {
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
