// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskdiag

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/vmtest/guesttests/internal/role"
)

const (
	other   = 1001 // one more user
	pathVar = "SERIES_TASKDIAG_PATH"
	fdVar   = "SERIES_TASKDIAG_FD"
	askVar  = "SERIES_TASKDIAG_ASK"
)

// A question is a request that a role makes.
type question struct {
	Strategy, Show uint64
	PID            int
}

// A view is what a role saw.
type view struct {
	Tasks []task
	Err   int32
	Self  int // the role's own process
	User  int // its effective user
}

func init() {
	// look opens a file, or has it open, asks, and prints what came.
	roles["look"] = func() error {
		d := &diag{fd: 3}
		if path := os.Getenv(pathVar); path != "" {
			var err error
			if d, err = openDiag(path, unix.O_RDWR); err != nil {
				return err
			}
		}
		var qs []question
		if err := json.Unmarshal([]byte(os.Getenv(askVar)), &qs); err != nil {
			return err
		}
		var views []view
		for _, q := range qs {
			a, err := d.ask(newRequest(q.Strategy, q.Show, q.PID), 65536)
			if err != nil {
				return err
			}
			v := view{Err: a.err, Self: os.Getpid(), User: os.Geteuid()}
			for _, t := range a.tasks {
				v.Tasks = append(v.Tasks, *t)
			}
			views = append(views, v)
		}
		return json.NewEncoder(os.Stdout).Encode(views)
	}
	// handover opens the file and becomes the program that the path says, with the file open as 3.
	roles["handover"] = func() error {
		d, err := openDiag(diagPath, unix.O_RDWR)
		if err != nil {
			return err
		}
		if err := unix.Dup3(d.fd, 3, 0); err != nil && d.fd != 3 {
			return err
		}
		if d.fd == 3 {
			unix.FcntlInt(3, unix.F_SETFD, 0)
		}
		env := slices.DeleteFunc(os.Environ(), func(v string) bool { return len(v) > len(role.Var) && v[:len(role.Var)+1] == role.Var+"=" })
		return unix.Exec(os.Getenv(fdVar), []string{"look"}, append(env, role.Var+"=look"))
	}
	// pidns is what the first process of a pid namespace does: it mounts its own proc and looks at both.
	roles["pidns"] = func() error {
		dir := os.Getenv(pathVar)
		if err := unix.Mount("proc", dir, "proc", 0, ""); err != nil {
			return err
		}
		os.Setenv(pathVar, filepath.Join(dir, "task_diag"))
		return roles["look"]()
	}
}

// ask has a role look, as who and where attr says.
func ask(t *testing.T, name string, attr *syscall.SysProcAttr, env []string, qs ...question) []view {
	t.Helper()
	b, err := json.Marshal(qs)
	if err != nil {
		t.Fatal(err)
	}
	cmd := role.Command(name, append(env, askVar+"="+string(b))...)
	cmd.SysProcAttr = attr
	return output(t, cmd, len(qs))
}

func output(t *testing.T, cmd *exec.Cmd, n int) (views []view) {
	t.Helper()
	b, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(b, &views)
	}
	if err != nil || len(views) != n {
		t.Fatalf("%s: %v, %d answers, want %d", cmd.Args, err, len(views), n)
	}
	return views
}

func (v view) pids() []int {
	pids := []int{}
	for _, t := range v.Tasks {
		pids = append(pids, int(t.PID))
	}
	return pids
}

func as(uid uint32) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid, NoSetGroups: false}}
}

// owned starts a child that is a user's, and dumpable or not.
func owned(t *testing.T, uid, dumpable uintptr) int {
	t.Helper()
	return child(t, 0, call(unix.SYS_SETRESGID, uid, uid, uid), call(unix.SYS_SETRESUID, uid, uid, uid), call(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, dumpable))
}

// A user other than root sees their own tasks and no others, whichever strategy: neither those of root, nor of another
// user, nor their own that is not dumpable.
func TestUser(t *testing.T) {
	mine, second := owned(t, user, 1), owned(t, user, 1)
	hidden := map[string]int{"another user's": owned(t, other, 1), "not dumpable": owned(t, user, 0), "root's": child(t, 0), "init": 1}
	qs := []question{{dumpAll, showBase, 0}}
	v := ask(t, "look", as(user), []string{pathVar + "=" + diagPath}, qs...)[0]
	if got, want := v.pids(), []int{mine, second, v.Self}; !slices.Equal(got, sorted(want)) {
		t.Errorf("as user %d: tasks %v, want %v", user, got, want)
	}
	for what, pid := range hidden {
		if slices.Contains(v.pids(), pid) {
			t.Errorf("as user %d: task %d is there, which is %s", user, pid, what)
		}
	}
	for _, task := range v.Tasks {
		if task.Base == nil {
			t.Errorf("task %d has no BASE", task.PID)
		}
	}
}

// The same with the strategies that are about one task: for one that may not be seen, they say what they say where there
// is none.
func TestUserAsksForOne(t *testing.T) {
	mine := owned(t, user, 1)
	pids := map[int]bool{mine: true, owned(t, other, 1): false, owned(t, user, 0): false, child(t, 0): false, 1: false, os.Getpid(): false}
	var qs []question
	for pid := range pids {
		for _, strategy := range []uint64{dumpOne, dumpThread, dumpChildren} {
			qs = append(qs, question{strategy, showAll, pid})
		}
	}
	for i, v := range ask(t, "look", as(user), []string{pathVar + "=" + diagPath}, qs...) {
		q := qs[i]
		want, err := []int{}, -int32(unix.ESRCH)
		if pids[q.PID] {
			if err = 0; q.Strategy != dumpChildren {
				want = []int{q.PID}
			}
		}
		if v.Err != err || !slices.Equal(v.pids(), want) {
			t.Errorf("as user %d: strategy %d, pid %d: tasks %v, error %d, want %v, %d", user, q.Strategy, q.PID, v.pids(), v.Err, want, err)
		}
	}
	for _, v := range ask(t, "look", as(user), []string{pathVar + "=" + diagPath}, question{dumpAllThread, showAll, 0}) {
		for _, task := range v.Tasks {
			if tgid := int(task.TGID); tgid != mine && tgid != v.Self {
				t.Errorf("as user %d: thread %d of %d", user, task.PID, tgid)
			}
		}
	}
}

func sorted(pids []int) []int { return slices.Sorted(slices.Values(pids)) }

// public is a folder that everybody may enter.
func public(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != "/" && d != "."; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// setuid copies this program to a file that is setuid root.
func setuid(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	dir := public(t)
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil { // /tmp may be nosuid
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	path := filepath.Join(dir, "setuid")
	if err := os.WriteFile(path, b, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	return path
}

// A setuid program that reads a file which a user has opened sees what the user may see: not even itself.
func TestInheritedBySetuid(t *testing.T) {
	path := setuid(t)
	mine, foreign := owned(t, user, 1), child(t, 0)
	qs := []question{{dumpAll, showBase, 0}}
	v := ask(t, "handover", as(user), []string{fdVar + "=" + path}, qs...)[0]
	if v.User != 0 {
		t.Fatalf("a setuid program is user %d", v.User)
	}
	if got := v.pids(); !slices.Equal(got, []int{mine}) {
		t.Errorf("root reads what user %d opened: tasks %v, want %d (and not %d or %d, itself)", user, got, mine, foreign, v.Self)
	}
}

// And a user who reads a file that root has opened sees what root may see.
func TestInheritedFromRoot(t *testing.T) {
	foreign := child(t, 0)
	d := open(t)
	b, err := json.Marshal([]question{{dumpAll, showBase, 0}})
	if err != nil {
		t.Fatal(err)
	}
	cmd := role.Command("look", askVar+"="+string(b))
	cmd.SysProcAttr = as(user)
	dup, err := unix.Dup(d.fd)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(dup), diagPath)
	defer f.Close()
	cmd.ExtraFiles = []*os.File{f}
	v := output(t, cmd, 1)[0]
	for _, pid := range []int{1, foreign, os.Getpid(), v.Self} {
		if !slices.Contains(v.pids(), pid) {
			t.Errorf("user %d reads what root opened: task %d is not there", user, pid)
		}
	}
}

// proc mounts a proc of its own.
func proc(t *testing.T, options string) string {
	t.Helper()
	dir := public(t)
	if err := unix.Mount("proc", dir, "proc", 0, options); err != nil {
		t.Fatalf("mount proc with %q: %v", options, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// What a mount says about who sees which folders neither adds a task nor takes one away.
func TestHidepid(t *testing.T) {
	mine := owned(t, user, 1)
	owned(t, other, 1)
	for _, options := range []string{"hidepid=off", "hidepid=noaccess", "hidepid=invisible", "hidepid=ptraceable", "hidepid=invisible,gid=1000", "gid=1000"} {
		path := filepath.Join(proc(t, options), "task_diag")
		v := ask(t, "look", as(user), []string{pathVar + "=" + path}, question{dumpAll, showBase, 0})[0]
		if got, want := v.pids(), sorted([]int{mine, v.Self}); !slices.Equal(got, want) {
			t.Errorf("%s: user %d sees %v, want %v", options, user, got, want)
		}
		v = ask(t, "look", nil, []string{pathVar + "=" + path}, question{dumpAll, showBase, 0})[0]
		if got := v.pids(); !slices.Contains(got, 1) || !slices.Contains(got, mine) {
			t.Errorf("%s: root sees %v, not 1 and %d", options, got, mine)
		}
	}
	path := filepath.Join(proc(t, "subset=pid"), "task_diag")
	if d, err := openDiag(path, unix.O_RDWR); err == nil {
		d.close()
		t.Error("subset=pid: task_diag is there")
	}
}

// In a pid namespace, there are its own tasks, with its own numbers.
func TestPidNamespace(t *testing.T) {
	foreign := child(t, 0)
	dir := t.TempDir()
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
	views := ask(t, "pidns", attr, []string{pathVar + "=" + dir}, question{dumpAll, showBase, 0}, question{dumpOne, showBase, 1},
		question{dumpOne, showBase, foreign}, question{dumpAllThread, showBase, 0}, question{dumpChildren, showBase, 1}, question{dumpThread, showBase, 1})
	for _, i := range []int{0, 1} {
		v := views[i]
		if len(v.Tasks) != 1 || v.Tasks[0].PID != 1 || v.Self != 1 {
			t.Fatalf("answer %d: tasks %v, want 1, which is %d to itself", i, v.pids(), v.Self)
		}
		// Parent, session and group are outside.
		if b := v.Tasks[0].Base; b.TGID != 1 || b.PPID != 0 || b.SID != 0 || b.PGID != 0 || b.TPID != 0 {
			t.Errorf("answer %d: %+v: want only what is inside", i, b)
		}
	}
	if v := views[2]; v.Err != -int32(unix.ESRCH) || len(v.Tasks) > 0 {
		t.Errorf("task %d of outside: tasks %v, error %d, want ESRCH", foreign, v.pids(), v.Err)
	}
	for _, i := range []int{3, 5} {
		for _, task := range views[i].Tasks {
			if task.TGID != 1 || task.PID > 100 {
				t.Errorf("answer %d: task %d of %d is there", i, task.PID, task.TGID)
			}
		}
	}
	if v := views[4]; len(v.Tasks) > 0 || v.Err != 0 {
		t.Errorf("children: %v, error %d, want none", v.pids(), v.Err)
	}
	// The mount decides, not who opens: outside's file says outside's numbers, also to one who is inside.
	v := ask(t, "look", attr, []string{pathVar + "=" + diagPath}, question{dumpAll, showBase, 0})[0]
	if !slices.Contains(v.pids(), foreign) || v.Self != 1 {
		t.Errorf("outside's file from inside: task %d is not there; %d is itself", foreign, v.Self)
	}
}

// Who is root in a user namespace sees the tasks of that namespace, and IDs as they are there.
func TestUserNamespace(t *testing.T) {
	mine, foreign := owned(t, user, 1), child(t, 0)
	attr := &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: user, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 5, HostID: user, Size: 1}},
		Credential:  &syscall.Credential{Uid: 0, Gid: 5, NoSetGroups: true},
	}
	views := ask(t, "look", attr, []string{pathVar + "=" + diagPath}, question{dumpAll, showBase | showCred, 0}, question{dumpOne, showCred, mine}, question{dumpOne, showCred, foreign})
	v := views[0]
	if !slices.Equal(v.pids(), []int{v.Self}) {
		t.Errorf("tasks %v, want %d (and neither %d of the same user nor %d of root)", v.pids(), v.Self, mine, foreign)
	} else if c := v.Tasks[0].Cred; c.UIDs != [4]uint32{} || c.GIDs != [4]uint32{5, 5, 5, 5} || c.Effective == 0 {
		t.Errorf("credentials %+v, want user 0, group 5 and capabilities", c)
	}
	for _, v := range views[1:] {
		if v.Err != -int32(unix.ESRCH) {
			t.Errorf("one outside the namespace: tasks %v, error %d, want ESRCH", v.pids(), v.Err)
		}
	}
	// Root outside opens the file: IDs are those of outside, whoever reads.
	d := open(t)
	dup, err := unix.Dup(d.fd)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(dup), diagPath)
	defer f.Close()
	b, _ := json.Marshal([]question{{dumpAll, showCred, 0}})
	cmd := role.Command("look", askVar+"="+string(b))
	cmd.SysProcAttr, cmd.ExtraFiles = attr, []*os.File{f}
	v = output(t, cmd, 1)[0]
	i := slices.Index(v.pids(), v.Self)
	if i < 0 || v.Tasks[i].Cred.UIDs[0] != user || v.Tasks[i].Cred.GIDs[0] != user {
		t.Errorf("root's file in the namespace: the reader is task %s of %d: want it to be user %d", strconv.Itoa(v.Self), len(v.Tasks), user)
	}
}

// IDs that a namespace has no number for are 65534.
func TestUnmappedIDs(t *testing.T) {
	// The reader stays root of outside, which has no number inside.
	attr := &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: user, Size: 1}},
	}
	v := ask(t, "look", attr, []string{pathVar + "=" + diagPath}, question{dumpAll, showCred, 0})[0]
	i := slices.Index(v.pids(), v.Self)
	if i < 0 {
		t.Fatalf("the reader, task %d, is not among %v", v.Self, v.pids())
	}
	want := [4]uint32{65534, 65534, 65534, 65534}
	if c := v.Tasks[i].Cred; c.UIDs != want || c.GIDs != want {
		t.Errorf("credentials %+v, want 65534", c)
	}
}

// The file is for everybody, has a mode that says so, and is a stream.
func TestFile(t *testing.T) {
	var st unix.Stat_t
	if err := unix.Stat(diagPath, &st); err != nil {
		t.Fatal(err)
	}
	if st.Mode != unix.S_IFREG|0o666 || st.Uid != 0 || st.Gid != 0 || st.Size != 0 {
		t.Errorf("mode %o, owner %d:%d, size %d", st.Mode, st.Uid, st.Gid, st.Size)
	}
	for flags, want := range map[int][2]error{unix.O_RDONLY: {nil, unix.EBADF}, unix.O_WRONLY: {unix.EBADF, unix.EINVAL}, unix.O_RDWR: {nil, unix.EINVAL}} {
		d := openFlags(t, flags)
		if b, err := d.read(100); len(b) != 0 || err != want[0] {
			t.Errorf("flags %#x: read without a request: %d bytes, %v, want %v", flags, len(b), err, want[0])
		}
		if err := d.write(nil); err != want[1] {
			t.Errorf("flags %#x: write of nothing: %v, want %v", flags, err, want[1])
		}
		if _, err := unix.Seek(d.fd, 0, 0); err != unix.ESPIPE {
			t.Errorf("flags %#x: seek: %v, want ESPIPE", flags, err)
		}
		if _, err := unix.Pread(d.fd, make([]byte, 8), 0); err != unix.ESPIPE && err != want[0] {
			t.Errorf("flags %#x: pread: %v, want ESPIPE", flags, err)
		}
	}
	if err := unix.Unlink(diagPath); err == nil {
		t.Error("it could be removed")
	}
	as := openAs(t, user, diagPath)
	a, err := as.ask(newRequest(dumpAll, 0, 0), bufSize)
	if err != nil || a.err != 0 {
		t.Errorf("as user %d: %v, %+v", user, err, a)
	}
}

func openFlags(t *testing.T, flags int) *diag {
	t.Helper()
	d, err := openDiag(diagPath, flags)
	if err != nil {
		t.Fatal(fmt.Errorf("flags %#x: %w", flags, err))
	}
	t.Cleanup(d.close)
	return d
}
