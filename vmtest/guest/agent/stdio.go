// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"github.com/seriesrig/series/vmtest/guest"
)

// A setup is what a program needs to start, and the ends of its pipes that stay here.
type setup struct {
	path    string
	argv    []string
	attr    *syscall.ProcAttr
	stdin   *os.File
	outputs []*output
	pty     *os.File
	child   []int // descriptors that only the child keeps
}

// prepare looks for the program and makes its pipes.
func (c *command) prepare() (s *setup, err error) {
	spec := c.spec
	dir := spec.Dir
	if dir == "" {
		dir = "/"
	}
	if st, err := os.Stat(dir); err != nil {
		return nil, err
	} else if !st.IsDir() {
		return nil, fmt.Errorf("chdir %s: %w", dir, syscall.ENOTDIR)
	}
	if len(spec.Argv) == 0 {
		return nil, errors.New("no program")
	}
	env := append(c.a.env, "PWD="+dir)
	if t := spec.Terminal; t != nil && t.Term != "" {
		env = append(env, "TERM="+t.Term)
	}
	env = environ(env, spec.Env)
	s = &setup{argv: spec.Argv}
	if s.path, err = find(spec.Argv[0], dir, env); err != nil {
		return nil, fmt.Errorf("exec %s: %w", spec.Argv[0], err)
	}
	s.attr = &syscall.ProcAttr{Dir: dir, Env: env, Sys: &syscall.SysProcAttr{Setsid: true}}
	if len(spec.Rlimits) > 0 {
		s.argv, s.path = limitArgs(spec.Rlimits, s.path, s.argv), "/proc/self/exe"
	}
	if spec.Terminal != nil {
		err = s.terminal(*spec.Terminal)
	} else {
		err = s.pipes(c, spec)
	}
	if err != nil {
		s.closeChild()
		s.closeOurs()
		return nil, err
	}
	return s, nil
}

func (s *setup) pipes(c *command, spec guest.Command) error {
	files := make([]uintptr, 3)
	s.attr.Files = files
	if spec.Stdin {
		r, w, err := pipe()
		if err != nil {
			return err
		}
		s.child = append(s.child, r)
		s.stdin = pollable(w, "stdin")
		files[0] = uintptr(r)
	} else {
		null, err := syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open /dev/null: %w", err)
		}
		s.child = append(s.child, null)
		files[0] = uintptr(null)
	}
	r, w, err := pipe()
	if err != nil {
		return err
	}
	s.child = append(s.child, w)
	out := &output{f: pollable(r, "stdout"), t: guest.TypeStdout}
	if spec.Marks {
		out.marks = &marks{a: c.a}
	}
	s.outputs = append(s.outputs, out)
	files[1], files[2] = uintptr(w), uintptr(w)
	if spec.Merge {
		return nil
	}
	if r, w, err = pipe(); err != nil {
		return err
	}
	s.child = append(s.child, w)
	s.outputs = append(s.outputs, &output{f: pollable(r, "stderr"), t: guest.TypeStderr})
	files[2] = uintptr(w)
	return nil
}

// terminal gives the program a pty; see pts(4).
func (s *setup) terminal(t guest.Terminal) error {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	s.pty, s.stdin = master, master
	s.outputs = []*output{{f: master, t: guest.TypeStdout}}
	var number uint32
	err = control(master, syscall.TIOCGPTN, unsafe.Pointer(&number))
	if err == nil {
		var unlock int32
		err = control(master, syscall.TIOCSPTLCK, unsafe.Pointer(&unlock))
	}
	if err != nil {
		return fmt.Errorf("make a pty: %w", err)
	}
	setWindow(master, t)
	name := fmt.Sprintf("/dev/pts/%d", number)
	slave, err := syscall.Open(name, syscall.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	s.child = append(s.child, slave)
	fd := uintptr(slave)
	s.attr.Files = []uintptr{fd, fd, fd}
	s.attr.Sys.Setctty, s.attr.Sys.Ctty = true, 0
	return nil
}

func setWindow(master *os.File, t guest.Terminal) error {
	size := [4]uint16{t.Rows, t.Cols} // struct winsize, ioctl_tty(2)
	return control(master, syscall.TIOCSWINSZ, unsafe.Pointer(&size))
}

// control is ioctl on a file that stays with Go's poller; File.Fd would take it away.
func control(f *os.File, request uintptr, arg unsafe.Pointer) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	if e := raw.Control(func(fd uintptr) { err = ioctl(int(fd), request, uintptr(arg)) }); e != nil {
		return e
	}
	return err
}

// pipe makes a pipe of two blocking ends. os.Pipe gives both to the poller, and the child's end must not be.
func pipe() (r, w int, err error) {
	var p [2]int
	if err := syscall.Pipe2(p[:], syscall.O_CLOEXEC); err != nil {
		return 0, 0, fmt.Errorf("pipe: %w", err)
	}
	return p[0], p[1], nil
}

// pollable gives our end of a pipe to the poller, so that reads and writes have deadlines and end with Close. The other
// end is another open file and stays blocking.
func pollable(fd int, name string) *os.File {
	syscall.SetNonblock(fd, true)
	return os.NewFile(uintptr(fd), name)
}

func (s *setup) closeChild() {
	for _, fd := range s.child {
		syscall.Close(fd)
	}
	s.child = nil
}

func (s *setup) closeOurs() {
	if s.stdin != nil {
		s.stdin.Close()
	}
	for _, o := range s.outputs {
		o.f.Close()
	}
}

// An output is standard output or standard error, on its way to the host.
type output struct {
	f     *os.File
	t     guest.Type
	marks *marks
}

// pump sends what comes, as it comes, until the last writer is gone. When the host does not take it, the pipe fills and
// the program waits.
func (o *output) pump(c *command) {
	b := make([]byte, 32<<10)
	for {
		n, err := o.f.Read(b)
		if n > 0 && !o.send(c, b[:n]) {
			return
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			o.drain(c, b)
			return
		}
		if err != nil {
			return
		}
	}
}

func (o *output) send(c *command, b []byte) bool {
	if c.a.send(o.t, b) != nil {
		return false
	}
	if o.marks != nil {
		o.marks.write(b)
	}
	return true
}

// drain sends what is in the pipe now, and no more than a pipe holds: the program has ended, and who still has the pipe
// open may never.
func (o *output) drain(c *command, b []byte) {
	o.f.SetReadDeadline(time.Time{})
	raw, err := o.f.SyscallConn()
	if err != nil {
		return
	}
	raw.Read(func(fd uintptr) bool {
		for left := 1 << 20; left > 0; {
			n, err := syscall.Read(int(fd), b)
			if n <= 0 || err != nil || !o.send(c, b[:n]) {
				break
			}
			left -= n
		}
		return true
	})
}

// An input is the standard input on its way from the host. It holds no more than the host was given room for.
type input struct {
	a       *agent
	isatty  bool
	mu      sync.Mutex
	changed sync.Cond
	data    []byte
	held    int // bytes for which no credit was given back
	eof     bool
	stopped bool
	gone    chan struct{} // closed when pump has returned
}

func newInput(a *agent, tty bool) *input {
	in := &input{a: a, isatty: tty, gone: make(chan struct{})}
	in.changed.L = &in.mu
	return in
}

// put takes what the host sent; nothing means the end.
func (in *input) put(b []byte) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.held += len(b); in.held > guest.StdinWindow {
		return errors.New("stdin from host: more than there is room for")
	}
	in.data = append(in.data, b...)
	in.eof = in.eof || len(b) == 0
	in.changed.Broadcast()
	return nil
}

// pump writes to the program. What the program does not want is dropped, so that the host is not held up.
func (in *input) pump(w *os.File) {
	defer close(in.gone)
	for {
		in.mu.Lock()
		for len(in.data) == 0 && !in.eof && !in.stopped {
			in.changed.Wait()
		}
		b, eof, stopped := in.data, in.eof, in.stopped
		in.data = nil
		in.mu.Unlock()
		if stopped {
			return
		}
		if len(b) > 0 {
			w.Write(b)
			in.mu.Lock()
			in.held -= len(b)
			stopped = in.stopped
			in.mu.Unlock()
			if stopped {
				return
			}
			in.a.sendJSON(guest.TypeCredit, guest.Credit{Bytes: len(b)})
		} else if eof {
			if in.isatty {
				w.Write([]byte{4}) // VEOF: a terminal does not end by closing
			} else {
				w.Close()
			}
			return
		}
	}
}

// stop returns when pump has.
func (in *input) stop() {
	in.mu.Lock()
	in.stopped = true
	in.changed.Broadcast()
	in.mu.Unlock()
	<-in.gone
}
