// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskdiag

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// What both interfaces say is brought into one form, fields by their names in proc(5), so that they can be compared.

// fields are values in decimal, or as /proc writes them.
type fields map[string]string

// userHz is how many clock ticks a second has in /proc, on all architectures here.
const userHz = 100

func ticks(ns uint64) string { return dec(ns / (1e9 / userHz)) }

func dec[T uint32 | uint64 | int32 | byte](n T) string { return fmt.Sprint(n) }

// fields returns what task_diag says about a task, those groups that came.
func (t *task) fields() fields {
	f := fields{}
	if b := t.Base; b != nil {
		f["tgid"], f["pid"], f["ppid"], f["tracer"] = dec(b.TGID), dec(b.PID), dec(b.PPID), dec(b.TPID)
		f["session"], f["pgrp"], f["state"], f["comm"] = dec(b.SID), dec(b.PGID), string(b.State), b.Comm
	}
	if c := t.Cred; c != nil {
		for name, set := range map[string]uint64{"CapInh": c.Inheritable, "CapPrm": c.Permitted, "CapEff": c.Effective, "CapBnd": c.Bounding, "CapAmb": c.Ambient} {
			f[name] = fmt.Sprintf("%016x", set)
		}
		f["Uid"] = fmt.Sprintf("%d\t%d\t%d\t%d", c.UIDs[0], c.UIDs[1], c.UIDs[2], c.UIDs[3])
		f["Gid"] = fmt.Sprintf("%d\t%d\t%d\t%d", c.GIDs[0], c.GIDs[1], c.GIDs[2], c.GIDs[3])
	}
	if s := t.Stat; s != nil {
		s.fields(f)
	}
	return f
}

func (s *stat) fields(f fields) {
	for name, set := range map[string]uint64{"SigPnd": s.Pending, "SigBlk": s.Blocked, "SigIgn": s.Ignored, "SigCgt": s.Caught} {
		f[name] = fmt.Sprintf("%016x", set)
	}
	for name, v := range map[string]string{
		"minflt": dec(s.MinFlt), "cminflt": dec(s.CMinFlt), "majflt": dec(s.MajFlt), "cmajflt": dec(s.CMajFlt),
		"utime": ticks(s.UTime), "stime": ticks(s.STime), "cutime": ticks(s.CUTime), "cstime": ticks(s.CSTime),
		"guest_time": ticks(s.GTime), "cguest_time": ticks(s.CGTime), "starttime": ticks(s.StartTime),
		"delayacct_blkio_ticks": dec(s.BlkioDelay),
		"vsize":                 dec(s.VSize), "rss": dec(s.RSS / uint64(os.Getpagesize())), "rsslim": dec(s.RSSLim),
		"startcode": dec(s.StartCode), "endcode": dec(s.EndCode), "start_data": dec(s.StartData), "end_data": dec(s.EndData),
		"start_brk": dec(s.StartBrk), "startstack": dec(s.StartStack),
		"arg_start": dec(s.ArgStart), "arg_end": dec(s.ArgEnd), "env_start": dec(s.EnvStart), "env_end": dec(s.EnvEnd),
		"kstkesp": dec(s.ESP), "kstkeip": dec(s.EIP),
		"flags": dec(s.Flags), "tty_nr": dec(int32(s.TTYNr)), "tpgid": dec(s.TTYPGrp), "priority": dec(s.Priority), "nice": dec(s.Nice),
		"num_threads": dec(s.NumThreads), "exit_signal": dec(s.ExitSignal), "exit_code": dec(s.ExitCode),
		"processor": dec(s.Processor), "rt_priority": dec(s.RTPriority), "policy": dec(s.Policy), "wchan": dec(s.WChan),
	} {
		f[name] = v
	}
}

// statFields are those of /proc/PID/stat behind the name, in their order; "" for what is not compared.
var statFields = []string{
	"state", "ppid", "pgrp", "session", "tty_nr", "tpgid", "flags", "minflt", "cminflt", "majflt", "cmajflt", "utime", "stime",
	"cutime", "cstime", "priority", "nice", "num_threads", "", "starttime", "vsize", "rss", "rsslim", "startcode", "endcode",
	"startstack", "kstkesp", "kstkeip", "", "", "", "", "wchan", "", "", "exit_signal", "processor", "rt_priority", "policy",
	"delayacct_blkio_ticks", "guest_time", "cguest_time", "start_data", "end_data", "start_brk", "arg_start", "arg_end",
	"env_start", "env_end", "exit_code",
}

// statusFields are lines of /proc/PID/status and what they are called here.
var statusFields = map[string]string{
	"Tgid": "tgid", "Pid": "pid", "PPid": "ppid", "TracerPid": "tracer", "Uid": "Uid", "Gid": "Gid",
	"CapInh": "CapInh", "CapPrm": "CapPrm", "CapEff": "CapEff", "CapBnd": "CapBnd", "CapAmb": "CapAmb",
	"SigPnd": "SigPnd", "SigBlk": "SigBlk", "SigIgn": "SigIgn", "SigCgt": "SigCgt",
}

// procFields reads stat and status in a folder such as /proc/1.
func procFields(dir string) (fields, error) {
	b, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return nil, err
	}
	f := fields{}
	text := strings.TrimSuffix(string(b), "\n")
	open, end := strings.IndexByte(text, '('), strings.LastIndex(text, ") ")
	if open < 0 || end < open {
		return nil, fmt.Errorf("%s/stat: %q", dir, text)
	}
	f["comm"] = text[open+1 : end]
	words := strings.Fields(text[end+2:])
	if len(words) != len(statFields) {
		return nil, fmt.Errorf("%s/stat: %d fields behind the name, want %d", dir, len(words), len(statFields))
	}
	for i, name := range statFields {
		if name != "" {
			f[name] = words[i]
		}
	}
	b, err = os.ReadFile(dir + "/status")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":\t")
		if to, ok := statusFields[name]; ok {
			f[to] = value
		}
	}
	return f, nil
}

// only returns the fields that the other has, too.
func (f fields) only(other fields) fields {
	some := fields{}
	for name := range other {
		some[name] = f[name]
	}
	return some
}

// A procVMA is a line of maps, and what smaps has below it, in kB.
type procVMA struct {
	Line  string // all but the name
	Name  string
	Stats fields
}

// procVMAs reads maps or smaps.
func procVMAs(file string) ([]procVMA, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all []procVMA
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSuffix(line, "\n")
		key, value, ok := strings.Cut(line, ":")
		if ok && !strings.Contains(key, "-") {
			all[len(all)-1].Stats[key] = strings.TrimSuffix(strings.TrimSpace(value), " kB")
			continue
		}
		words := strings.SplitN(line, " ", 6)
		if len(words) != 6 {
			return nil, fmt.Errorf("%s: %q", file, line)
		}
		all = append(all, procVMA{Line: strings.Join(words[:5], " "), Name: strings.TrimLeft(words[5], " "), Stats: fields{}})
	}
	return all, nil
}

// proc returns what maps and smaps would say.
func (v vma) proc() procVMA {
	perms := []byte("---p")
	for i, c := range "rwxs" {
		if v.Flags&(1<<i) != 0 {
			perms[i] = byte(c)
		}
	}
	p := procVMA{
		Line: fmt.Sprintf("%08x-%08x %s %08x %02x:%02x %d", v.Start, v.End, perms, v.Offset, v.Major, v.Minor, v.Inode),
		Name: strings.ReplaceAll(v.Name, "\n", `\012`),
	}
	p.Stats = fields{}
	if v.Stat == nil {
		return p
	}
	s := v.Stat
	for name, n := range map[string]uint64{
		"Size": v.End - v.Start, "KernelPageSize": v.PageSize, "Rss": s.Resident, "Pss": s.PSS, "Pss_Dirty": s.PSSDirty,
		"Shared_Clean": s.SharedClean, "Shared_Dirty": s.SharedDirty, "Private_Clean": s.PrivateClean, "Private_Dirty": s.PrivateDirty,
		"Referenced": s.Referenced, "Anonymous": s.Anonymous, "KSM": s.KSM, "LazyFree": s.LazyFree,
		"AnonHugePages": s.AnonHuge, "ShmemPmdMapped": s.ShmemHuge, "FilePmdMapped": s.FileHuge,
		"Shared_Hugetlb": s.SharedHuge, "Private_Hugetlb": s.PrivateHuge, "Swap": s.Swap, "SwapPss": s.SwapPSS, "Locked": s.Locked,
	} {
		p.Stats[name] = dec(n >> 10)
	}
	return p
}

// procPIDs lists the numbers in a folder such as /proc or /proc/1/task, in the order in which the kernel does.
func procPIDs(dir string) ([]int, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// procTasks lists all threads of all processes: their folders below /proc, by pid.
func procTasks() (map[int]string, error) {
	pids, err := procPIDs("/proc")
	if err != nil {
		return nil, err
	}
	tasks := map[int]string{}
	for _, pid := range pids {
		dir := filepath.Join("/proc", strconv.Itoa(pid), "task")
		tids, err := procPIDs(dir)
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, tid := range tids {
			tasks[tid] = filepath.Join(dir, strconv.Itoa(tid))
		}
	}
	return tasks, nil
}

// gone tells whether an error says that a task has ended.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) }
