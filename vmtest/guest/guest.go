// SPDX-License-Identifier: Apache-2.0

// Package guest is the language between a host and the agent inside a virtual machine: a wire protocol over a
// virtio-serial port, and the host's end of it, Conn. The guest's end is the package agent below.
//
// The stream carries frames (see Frame) both ways. The guest speaks first: hello. The host then asks for one command
// after another; each answers with start, any number of stdout, stderr, test, bench and file events, and exit. At the
// end the host asks for power-off or reboot and the guest's last word is done. A stream that ends without done ended
// badly, whatever was said before.
//
// A guest is not trusted: its kernel is the thing under test. Whatever breaks the rules ends the connection with a
// *ProtocolError; nothing the guest says makes the host allocate more than MaxPayload, or write to a file that the
// caller did not ask for.
package guest

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

// PortName is the name of the virtio-serial port that carries the events, as in QEMU's
// "-device virtserialport,name=series.events" and the guest's /sys/class/virtio-ports/*/name.
const PortName = "series.events"

// Version is the version of the protocol. Host and agent must have the same one.
const Version = 1

// AgentPath is where the agent is in an initramfs; boot with rdinit=AgentPath.
const AgentPath = "/series/agent"

// A Hello is the agent's first event.
type Hello struct {
	Version  int           `json:"version"`            // of the protocol
	Agent    string        `json:"agent"`              // the Go release that built the agent
	Arch     string        `json:"arch"`               // GOARCH
	Release  string        `json:"release"`            // uname -r
	Kernel   string        `json:"kernel"`             // uname -v
	BuildID  string        `json:"build_id,omitempty"` // the kernel's GNU build-id in hex, where /sys/kernel/notes has one
	Command  string        `json:"cmdline"`            // /proc/cmdline
	CPUs     int           `json:"cpus"`
	Memory   int64         `json:"memory"` // bytes, MemTotal of the guest
	PID      int           `json:"pid"`    // 1 where the agent is init
	Boot     time.Duration `json:"boot"`   // CLOCK_BOOTTIME when the agent's main started
	Now      Clock         `json:"now"`
	Warnings []string      `json:"warnings,omitempty"` // what could not be set up, such as a mount
}

// A Clock is the guest's idea of time.
type Clock struct {
	Boottime  time.Duration `json:"boottime"`  // CLOCK_BOOTTIME
	Monotonic time.Duration `json:"monotonic"` // CLOCK_MONOTONIC
}

// A Heartbeat tells that the guest's scheduler, timers and agent work.
type Heartbeat struct {
	Clock
	Running bool `json:"running"` // a command is under way
}

// Intervals between heartbeats.
const (
	DefaultHeartbeat = time.Second
	MinHeartbeat     = 10 * time.Millisecond
	NoHeartbeat      = time.Duration(-1) // switches heartbeats off
)

// A Command is a program to run in the guest. The zero value plus Argv runs.
type Command struct {
	// Argv is the program, looked up in the guest's PATH where it has no slash, and its arguments.
	Argv []string `json:"argv"`
	// Env ("NAME=value") goes on top of the agent's PATH, HOME, TMPDIR, TERM and PWD.
	Env []string `json:"env,omitempty"`
	// Dir is the working folder; "" means /.
	Dir string `json:"dir,omitempty"`
	// Wall limits the run on the guest's clock; then the group gets SIGQUIT, and a second later SIGKILL. 0: no limit.
	Wall time.Duration `json:"wall,omitempty"`
	// Rlimits are set for the program alone.
	Rlimits []Rlimit `json:"rlimits,omitempty"`
	// Merge sends standard error down the pipe of standard output, so that lines keep their order.
	Merge bool `json:"merge,omitempty"`
	// Marks has the agent read the standard output of a Go test binary and send test and bench events, stamped with
	// the guest's clock, beside the output itself.
	Marks bool `json:"marks,omitempty"`
	// Heartbeat is the interval while the command runs: 0 leaves it as it is, NoHeartbeat switches it off so that a
	// measured region is not disturbed.
	Heartbeat time.Duration `json:"heartbeat,omitempty"`
	// Collect lists absolute paths of files and folders to bring back: regular files there, or anywhere below, that
	// the command wrote or changed. The folder that a path is in is made where it is not there.
	Collect []string `json:"collect,omitempty"`
	// CollectLimit is the most that is brought back, in bytes; 0 means DefaultCollectLimit.
	CollectLimit int64 `json:"collect_limit,omitempty"`
	// Terminal gives the program a pty; standard error goes to it as well.
	Terminal *Terminal `json:"terminal,omitempty"`

	// Ahead says that the guest has run the command already, before its hello (see AheadPath), and tells of it now.
	Ahead bool `json:"ahead,omitempty"`

	// Stdin says whether there is a standard input; without one it is /dev/null. Run sets it, and ID.
	Stdin bool   `json:"stdin,omitempty"`
	ID    uint32 `json:"id"`
}

// AheadPath is where an initramfs may have a Command, as JSON, for the agent to run before it says hello. Until then the
// guest has heard nothing from its host, so that nothing in it depends on how fast that is: with QEMU's -icount it does the
// same thing each time. Run with the same Command then gets what came of it. Its output and files are kept in memory
// until then, of which there must not be more than AheadLimit.
const AheadPath = "/series/job/ahead.json"

// AheadLimit is how much of output and files an agent keeps, in bytes. More is a failure of the agent's.
const AheadLimit = 64 << 20

// DefaultCollectLimit is how much a command's files may be, in bytes, where Command.CollectLimit is 0.
const DefaultCollectLimit = 1 << 30

// A Rlimit is one resource limit; see setrlimit(2). Resource is a number as RLIMIT_CORE is; Infinity means no limit.
type Rlimit struct {
	Resource int    `json:"resource"`
	Soft     uint64 `json:"soft"`
	Hard     uint64 `json:"hard"`
}

// Infinity is RLIM_INFINITY.
const Infinity = ^uint64(0)

// A Terminal is the size and type of a terminal.
type Terminal struct {
	Rows uint16 `json:"rows"`
	Cols uint16 `json:"cols"`
	Term string `json:"term,omitempty"` // $TERM; "" means linux
}

// Shell returns the command that gives an interactive shell: u-root's gosh, on a pty.
func Shell(t Terminal) Command {
	return Command{Argv: []string{"/bbin/gosh"}, Terminal: &t}
}

// An Exit tells how a command ended. It is the last event of a command.
type Exit struct {
	Status   int            `json:"status"`           // exit status; -1 when a signal ended it
	Signal   syscall.Signal `json:"signal,omitempty"` // the signal that ended it
	Core     bool           `json:"core,omitempty"`   // a core was dumped
	TimedOut bool           `json:"timed_out,omitempty"`
	Killed   bool           `json:"killed,omitempty"` // processes of its group were left, and were killed
	Usage    Usage          `json:"usage"`
	Started  Clock          `json:"started"`
	Ended    Clock          `json:"ended"`
	// Error says why the command did not start; Run then returns it as a *StartError.
	Error string `json:"error,omitempty"`
	// Warnings tell of files that could not be brought back, and the like.
	Warnings []string `json:"warnings,omitempty"`
}

// Success tells that the command ended by itself with status 0.
func (e *Exit) Success() bool { return e.Error == "" && e.Status == 0 && e.Signal == 0 }

// Wall is how long the command ran, on the guest's monotonic clock.
func (e *Exit) Wall() time.Duration { return e.Ended.Monotonic - e.Started.Monotonic }

func (e *Exit) String() string {
	switch {
	case e.Error != "":
		return "not started: " + e.Error
	case e.TimedOut:
		return fmt.Sprintf("timed out after %v", e.Wall())
	case e.Signal != 0:
		return fmt.Sprintf("killed by signal %d (%v)", int(e.Signal), e.Signal)
	}
	return fmt.Sprintf("exit status %d", e.Status)
}

// A Usage is what wait4(2) told about a command and those of its children that it waited for.
type Usage struct {
	User        time.Duration `json:"user"`
	System      time.Duration `json:"system"`
	MaxRSS      int64         `json:"max_rss"` // bytes
	Voluntary   int64         `json:"voluntary"`
	Involuntary int64         `json:"involuntary"`
	MinorFaults int64         `json:"minor_faults"`
	MajorFaults int64         `json:"major_faults"`
}

// A Start tells that a command runs.
type Start struct {
	PID int   `json:"pid"`
	Now Clock `json:"now"`
}

// A Test is a line of a Go test binary's output that says where it is, and when, on the guest's clock.
type Test struct {
	Action string `json:"action"` // run, pause, cont, pass, fail, skip, bench
	Name   string `json:"name"`
	Now    Clock  `json:"now"`
}

// A Bench is a line of benchmark results, and when the guest wrote it.
type Bench struct {
	Line string `json:"line"`
	Now  Clock  `json:"now"`
}

// A File is one that the guest brings back.
type File struct {
	Path  string      `json:"path"` // absolute and clean; one of Command.Collect or below one
	Mode  os.FileMode `json:"mode"` // permission bits
	Size  int64       `json:"size"` // when it was opened; the data are what counts
	Mtime time.Time   `json:"mtime"`
}

// A Done is the agent's last event.
type Done struct {
	Now      Clock `json:"now"`
	Commands int   `json:"commands"` // how many were run
}

// A Failure is the agent's report that it cannot go on.
type Failure struct {
	Message string `json:"message"`
	Stack   string `json:"stack,omitempty"`
}
