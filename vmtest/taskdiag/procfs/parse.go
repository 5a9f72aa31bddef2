// SPDX-License-Identifier: Apache-2.0

//go:build linux

package procfs

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"github.com/seriesrig/series/vmtest/taskdiag"
)

// tick is the unit of times in stat: USER_HZ is 100 on all architectures that this is for.
const tick = 10 * time.Millisecond

var pageSize = int64(os.Getpagesize())

// fields are the numbers of stat behind the name, in their order.
type fields struct {
	b   []byte
	bad bool
}

// next is the next number, which may be negative.
func (f *fields) next() uint64 {
	i := 0
	for i < len(f.b) && (f.b[i] == ' ' || f.b[i] == '\t') {
		i++
	}
	minus := i < len(f.b) && f.b[i] == '-'
	if minus {
		i++
	}
	var n uint64
	from := i
	for i < len(f.b) && f.b[i] >= '0' && f.b[i] <= '9' {
		n = 10*n + uint64(f.b[i]-'0')
		i++
	}
	f.bad = f.bad || i == from || i-from > 20
	f.b = f.b[i:]
	if minus {
		return -n
	}
	return n
}

func (f *fields) id() uint32 { return uint32(f.next()) }

func (f *fields) ticks() time.Duration { return time.Duration(f.next()) * tick }

func (f *fields) skip(n int) {
	for range n {
		f.next()
	}
}

// ParseBase reads what /proc/PID/stat has of struct task_diag_base, which is all but the tracer.
func ParseBase(b []byte, base *taskdiag.Base) error {
	_, err := parseBase(b, base)
	return err
}

func parseBase(b []byte, base *taskdiag.Base) (fields, error) {
	open, shut := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 2 || shut < open || len(b) < shut+4 || shut-open > len(base.Comm) {
		return fields{}, fmt.Errorf("parse stat %.60q: no name of at most %d bytes in parentheses", b, len(base.Comm)-1)
	}
	pid := fields{b: b[:open-1]}
	*base = taskdiag.Base{PID: uint32(pid.next()), State: b[shut+2]}
	copy(base.Comm[:], b[open+1:shut])
	f := fields{b: b[shut+3:], bad: pid.bad}
	base.TGID = base.PID
	base.PPID, base.PGID, base.SID = uint32(f.next()), uint32(f.next()), uint32(f.next())
	if f.bad {
		return f, fmt.Errorf("parse stat %.200q: a number is missing", b)
	}
	return f, nil
}

// ParseStat reads all that /proc/PID/stat has of the two. What it has of signals are the first 31, as a number that is of no
// use; ParseStatus has them.
func ParseStat(b []byte, base *taskdiag.Base, s *taskdiag.Stat) error {
	f, err := parseBase(b, base)
	if err != nil {
		return err
	}
	s.TTY, s.TTYPgrp, s.Flags = uint32(f.next()), int32(f.next()), uint32(f.next())
	s.MinFlt, s.CMinFlt, s.MajFlt, s.CMajFlt = f.next(), f.next(), f.next(), f.next()
	s.UTime, s.STime, s.CUTime, s.CSTime = f.ticks(), f.ticks(), f.ticks(), f.ticks()
	s.Priority, s.Nice, s.NumThreads = int32(f.next()), int32(f.next()), uint32(f.next())
	f.skip(1)
	s.StartTime = f.ticks()
	s.VSize, s.RSS, s.RSSLimit = int64(f.next()), int64(f.next())*pageSize, f.next()
	s.StartCode, s.EndCode, s.StartStack, s.ESP, s.EIP = f.next(), f.next(), f.next(), f.next(), f.next()
	f.skip(4)
	s.WaitChannel = uint32(f.next())
	f.skip(2)
	s.ExitSignal, s.Processor = int32(f.next()), uint32(f.next())
	s.RTPriority, s.Policy, s.BlkIODelay = uint32(f.next()), uint32(f.next()), f.next()
	s.GTime, s.CGTime = f.ticks(), f.ticks()
	s.StartData, s.EndData, s.StartBrk = f.next(), f.next(), f.next()
	s.ArgStart, s.ArgEnd, s.EnvStart, s.EnvEnd = f.next(), f.next(), f.next(), f.next()
	s.ExitCode = int32(f.next())
	if f.bad {
		return fmt.Errorf("parse stat %.400q: a number is missing", b)
	}
	return nil
}

// The lines of status that are of interest, in the order that they come in. Nothing depends on it but the speed.
const (
	lineState = iota
	lineTGID
	linePID
	linePPID
	lineTracer
	lineUID
	lineGID
	linePending
	lineBlocked
	lineIgnored
	lineCaught
	lineInheritable
	linePermitted
	lineEffective
	lineBounding
	lineAmbient
	lines
)

var lineNames = [lines]string{"State:\t", "Tgid:\t", "Pid:\t", "PPid:\t", "TracerPid:\t", "Uid:\t", "Gid:\t",
	"SigPnd:\t", "SigBlk:\t", "SigIgn:\t", "SigCgt:\t", "CapInh:\t", "CapPrm:\t", "CapEff:\t", "CapBnd:\t", "CapAmb:\t"}

// ParseStatus reads what /proc/PID/status has of the IDs of a task with its tracer, of credentials, and of the masks of
// signals. The name it leaves alone, as status has it with escapes.
func ParseStatus(b []byte, base *taskdiag.Base, c *taskdiag.Cred, s *taskdiag.Stat) error {
	all := b
	for i := range lineNames {
		value, rest, ok := line(b, lineNames[i])
		if !ok {
			// Not behind the line before: from the start once more.
			if value, _, ok = line(all, lineNames[i]); !ok {
				return fmt.Errorf("parse status %.60q: no line %q", all, lineNames[i])
			}
			rest = b
		}
		b = rest
		if !statusLine(i, value, base, c, s) {
			return fmt.Errorf("parse status: line %q says %q", lineNames[i], value)
		}
	}
	return nil
}

func statusLine(i int, value []byte, base *taskdiag.Base, c *taskdiag.Cred, s *taskdiag.Stat) bool {
	f := fields{b: value}
	switch i {
	case lineState:
		if len(value) == 0 {
			return false
		}
		base.State = value[0]
	case lineTGID:
		base.TGID = f.id()
	case linePID:
		base.PID = f.id()
	case linePPID:
		base.PPID = f.id()
	case lineTracer:
		base.TPID = f.id()
	case lineUID:
		c.UID, c.EUID, c.SUID, c.FSUID = f.id(), f.id(), f.id(), f.id()
	case lineGID:
		c.GID, c.EGID, c.SGID, c.FSGID = f.id(), f.id(), f.id(), f.id()
	default:
		mask := [lines]*uint64{linePending: &s.SigPending, lineBlocked: &s.SigBlocked, lineIgnored: &s.SigIgnored, lineCaught: &s.SigCaught,
			lineInheritable: &c.CapInheritable, linePermitted: &c.CapPermitted, lineEffective: &c.CapEffective,
			lineBounding: &c.CapBounding, lineAmbient: &c.CapAmbient}
		var ok bool
		*mask[i], ok = hex(value)
		return ok
	}
	return !f.bad
}

// line is what stands behind the name, at the first line from here on that has it, and what follows that line.
func line(b []byte, name string) (value, rest []byte, ok bool) {
	for len(b) > 0 {
		l, after := b, []byte(nil)
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			l, after = b[:i], b[i+1:]
		}
		if len(l) >= len(name) && string(l[:len(name)]) == name {
			return l[len(name):], after, true
		}
		b = after
	}
	return nil, nil, false
}

func hex(b []byte) (n uint64, ok bool) {
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		default:
			return 0, false
		}
		n = n<<4 | uint64(c)
	}
	return n, len(b) > 0 && len(b) <= 16
}
