// SPDX-License-Identifier: Apache-2.0

package initramfs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/internal/run"
	"github.com/seriesrig/series/vmtest/guest"
)

// machines are QEMU command lines, as plain as they get; package vmtest has the better ones.
var machines = map[string][]string{
	"amd64": {"qemu-system-x86_64", "-M", "microvm,acpi=off,rtc=on", "-cpu", "max", "-append",
		"console=ttyS0 reboot=t panic=-1 rdinit=" + guest.AgentPath, "-device", "virtio-serial-device"},
	"ppc64": {"qemu-system-ppc64", "-M", "pseries,x-vof=on,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off",
		"-cpu", "power9", "-append", "console=hvc0 panic=-1 rdinit=" + guest.AgentPath, "-device", "virtio-serial-pci"},
}

// A vm is a real guest.
type vm struct {
	arch    string
	dir     string
	p       *run.Process
	conn    net.Conn
	started time.Time
}

// boot starts QEMU with an image; more are further arguments.
func boot(t *testing.T, arch, image string, more ...string) *vm {
	t.Helper()
	kernel := need.Kernel(t, arch)
	v := &vm{arch: arch, dir: t.TempDir()}
	m := machines[arch]
	need.Tool(t, m[0])
	l, err := net.Listen("unix", filepath.Join(v.dir, "events"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	args := append([]string{"-accel", "tcg", "-m", "512", "-kernel", kernel, "-initrd", image,
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "file:" + filepath.Join(v.dir, "console"),
		"-chardev", "socket,id=events,path=" + filepath.Join(v.dir, "events"),
		"-monitor", "unix:" + filepath.Join(v.dir, "monitor") + ",server=on,wait=off"}, m[1:]...)
	args = append(append(args, "-device", "virtserialport,chardev=events,name="+guest.PortName), more...)
	v.started = time.Now()
	// Not the test's context, which ends before its cleanups run.
	if v.p, err = (run.Cmd{Name: m[0], Args: args}).Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.p.Stop)
	l.(*net.UnixListener).SetDeadline(time.Now().Add(20 * time.Second))
	if v.conn, err = l.Accept(); err != nil {
		t.Fatalf("%v; QEMU: %v", err, v.p.Wait())
	}
	return v
}

func (v *vm) console(t *testing.T) string {
	t.Helper()
	return string(read(t, filepath.Join(v.dir, "console")))
}

// monitor says a line to QEMU's monitor and returns the answer, with what the terminal would show around it.
func (v *vm) monitor(t *testing.T, line string) string {
	t.Helper()
	var c net.Conn
	var err error
	var got []byte
	for range 500 { // QEMU makes its sockets one after the other
		if c, err = net.Dial("unix", filepath.Join(v.dir, "monitor")); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(c, line+"\n")
	b := make([]byte, 4096)
	for bytes.Count(got, []byte("(qemu) ")) < 2 {
		n, err := c.Read(b)
		if err != nil {
			t.Fatalf("monitor: %s: %v after %q", line, err, got)
		}
		got = append(got, b[:n]...)
	}
	return string(got)
}

// images are built once for all tests of this package, into the cache that SERIES_TEST_CACHE names where it is set.
var images = sync.OnceValues(func() (*cache.Cache, error) {
	dir := os.Getenv("SERIES_TEST_CACHE")
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return nil, err
		}
		dir = filepath.Join(user, "series", "cache")
	}
	return cache.Open(dir)
})

func image(t *testing.T, arch string) string {
	t.Helper()
	need.Kernel(t, arch)
	c, err := images()
	if err != nil {
		t.Fatal(err)
	}
	path, err := Image(t.Context(), c, arch)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func limit(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// output runs a command that has to succeed.
func output(t *testing.T, c *guest.Conn, argv ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	exit, err := c.Run(limit(t), guest.Command{Argv: argv}, guest.Stdio{Stdout: &out, Stderr: &errs})
	if err != nil || !exit.Success() || errs.Len() > 0 {
		t.Errorf("%q in the guest: %v, %v, %s", argv, exit, err, errs.String())
	}
	return out.String()
}

func end(t *testing.T, v *vm, c *guest.Conn) {
	t.Helper()
	how := c.Poweroff
	if v.arch == "amd64" { // microvm has no power switch
		how = c.Reboot
	}
	if _, err := how(limit(t)); err != nil {
		t.Fatalf("end: %v", err)
	}
	if err := v.p.Wait(); err != nil {
		t.Errorf("QEMU: %v", err)
	}
	<-c.Ended()
	if err := c.Err(); err != nil {
		t.Errorf("Err = %v", err)
	}
	c.Close()
}

func TestBoot(t *testing.T) {
	for arch := range machines {
		t.Run(arch, func(t *testing.T) {
			var a Archive
			check(t, a.Add("/tmp/host/pkg/testdata/in", []byte("from the second archive\n"), 0o644),
				a.Add("/series/script", []byte("#!/bbin/gosh\necho script\n"), 0o755),
				a.AddSymlink("/series/link", "/tmp/host/pkg/testdata/in"))
			initrd := filepath.Join(t.TempDir(), "initrd")
			if _, err := Concat(initrd, &a, image(t, arch)); err != nil {
				t.Fatal(err)
			}
			v := boot(t, arch, initrd)
			c := guest.NewConn(v.conn)
			defer c.Close()
			h, err := c.Hello(limit(t))
			if err != nil {
				t.Fatalf("Hello = %v; console:\n%s", err, v.console(t))
			}
			t.Logf("hello after %v; main at %v, hello at %v on the guest's clock", time.Since(v.started), h.Boot, h.Now.Boottime)
			if h.Arch != arch || h.PID != 1 || h.CPUs != 1 || len(h.Warnings) > 0 || h.Memory < 256<<20 ||
				!strings.Contains(h.Command, "rdinit=") || !strings.HasPrefix(h.Kernel, "#") {
				t.Errorf("Hello = %+v", h)
			}
			descriptors := output(t, c, "ls", "/proc/1/fd")
			t.Run("system", func(t *testing.T) { checkSystem(t, c) })
			t.Run("run", func(t *testing.T) { checkRun(t, c) })
			t.Run("files", func(t *testing.T) { checkFiles(t, c) })
			t.Run("put", func(t *testing.T) { checkPut(t, c) })
			t.Run("shell", func(t *testing.T) { checkShell(t, c) })
			if t.Failed() {
				return // the guest may be what hangs
			}
			if after := output(t, c, "ls", "/proc/1/fd"); after != descriptors {
				t.Errorf("init's descriptors: %q, were %q", after, descriptors)
			}
			end(t, v, c)
			text := v.console(t)
			if strings.Contains(text, "series-agent") || strings.Contains(text, "second archive") {
				t.Errorf("the console has what is not the kernel's:\n%s", text)
			}
			for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
				// On pseries the firmware's own progress messages go there as well.
				if !regexp.MustCompile(`^\[ *\d+\.\d{6}\] `).MatchString(line) && arch == "amd64" {
					t.Errorf("the console has a line that is not the kernel's: %q", line)
				}
			}
		})
	}
}

func checkSystem(t *testing.T, c *guest.Conn) {
	mounts := output(t, c, "cat", "/proc/mounts")
	for _, want := range []string{"proc /proc proc", "sysfs /sys sysfs", "devtmpfs /dev devtmpfs", "devpts /dev/pts devpts",
		"tmpfs /dev/shm tmpfs", "tmpfs /run tmpfs", "tracefs /sys/kernel/tracing tracefs"} {
		if !strings.Contains(mounts, want+" ") {
			t.Errorf("mounts lack %q:\n%s", want, mounts)
		}
	}
	// A tmpfs there would hide what the archive brought.
	if strings.Contains(mounts, " /tmp ") {
		t.Errorf("a file system is mounted over the archive's /tmp:\n%s", mounts)
	}
	for path, want := range map[string]string{
		"/sys/class/net/lo/flags": "0x9\n", "/proc/sys/kernel/hostname": "series\n",
		"/series/link": "from the second archive\n",
	} {
		if got := output(t, c, "cat", path); got != want {
			t.Errorf("%s = %q, want %q", path, got, want)
		}
	}
	env := strings.Split(strings.TrimSuffix(output(t, c, "cat", "/proc/self/environ"), "\x00"), "\x00")
	want := "PATH=/bbin:/bin:/series HOME=/root TMPDIR=/tmp TERM=linux PWD=/"
	if got := strings.Join(env, " "); got != want {
		t.Errorf("environment = %q, want %q", got, want)
	}
	var fds bytes.Buffer // ls complains of its own, which is gone when it looks
	_, err := c.Run(limit(t), guest.Command{Argv: []string{"ls", "-l", "/proc/self/fd"}}, guest.Stdio{Stdout: &fds})
	if err != nil || !strings.Contains(fds.String(), "/dev/null") || strings.Contains(fds.String(), "vport") {
		t.Errorf("a command's descriptors: %v, %q", err, fds.String())
	}
}

func checkRun(t *testing.T, c *guest.Conn) {
	if got := output(t, c, "script"); got != "script\n" {
		t.Errorf("script = %q", got)
	}
	exit, err := c.Run(limit(t), guest.Command{Argv: []string{"gosh", "-c", "exit 3"}}, guest.Stdio{})
	if err != nil || exit.Status != 3 || exit.Usage.MaxRSS == 0 || exit.Wall() <= 0 {
		t.Errorf("exit = %+v, %v", exit, err)
	}
	exit, err = c.Run(limit(t), guest.Command{Argv: []string{"sleep", "60"}, Wall: 300 * time.Millisecond}, guest.Stdio{})
	if err != nil || !exit.TimedOut || exit.Wall() > 30*time.Second {
		t.Errorf("exit = %+v, %v, want timed out", exit, err)
	}
	exit, err = c.Run(limit(t), guest.Command{Argv: []string{"sleep", "60"}}, guest.Stdio{Started: func(guest.Start) {
		go c.Signal(context.Background(), syscall.SIGKILL)
	}})
	if err != nil || exit.Signal != syscall.SIGKILL {
		t.Errorf("exit = %+v, %v, want SIGKILL", exit, err)
	}
	in := strings.Repeat("0123456789\n", 20000)
	var out bytes.Buffer
	exit, err = c.Run(limit(t), guest.Command{Argv: []string{"cat"}, Heartbeat: guest.NoHeartbeat},
		guest.Stdio{Stdin: strings.NewReader(in), Stdout: &out})
	if err != nil || !exit.Success() || out.String() != in {
		t.Errorf("cat: %v, %v, %d of %d bytes", exit, err, out.Len(), len(in))
	}
	limits := guest.Command{Argv: []string{"cat", "/proc/self/limits"},
		Rlimits: []guest.Rlimit{{Resource: syscall.RLIMIT_NOFILE, Soft: 77, Hard: 88}}}
	out.Reset()
	exit, err = c.Run(limit(t), limits, guest.Stdio{Stdout: &out})
	if err != nil || !exit.Success() || !regexp.MustCompile(`Max open files +(77|87|88) +88 `).Match(out.Bytes()) {
		t.Errorf("limits: %v, %v, %s", exit, err, out.String())
	}
}

type file struct {
	bytes.Buffer
	done func(string)
}

func (f *file) Close() error {
	f.done(f.String())
	return nil
}

func checkFiles(t *testing.T, c *guest.Conn) {
	got := make(map[string]string)
	exit, err := c.Run(limit(t), guest.Command{Argv: []string{"gosh", "-c", "echo written >out"}, Dir: "/tmp/host/pkg",
		Collect: []string{"/tmp/host/pkg"}}, guest.Stdio{File: func(f guest.File) (io.WriteCloser, error) {
		return &file{done: func(s string) { got[f.Path] = s }}, nil
	}})
	if err != nil || !exit.Success() || len(got) != 1 || got["/tmp/host/pkg/out"] != "written\n" {
		t.Errorf("files: %v, %v, %q", exit, err, got)
	}
}

func checkPut(t *testing.T, c *guest.Conn) {
	var a Archive
	big := bytes.Repeat([]byte("put "), 50000)
	check(t, a.Add("/series/put/big", big, 0o600), a.Add("/series/script", []byte("#!/bbin/gosh\necho replaced\n"), 0o755),
		a.AddSymlink("/series/put/link", "big"))
	var b bytes.Buffer
	if _, err := a.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if err := c.Put(limit(t), bytes.NewReader(b.Bytes())); err != nil {
		t.Fatal(err)
	}
	if got := output(t, c, "cat", "/series/put/link"); got != string(big) {
		t.Errorf("a file put there has %d bytes, want %d", len(got), len(big))
	}
	if got := output(t, c, "script"); got != "replaced\n" {
		t.Errorf("script = %q", got)
	}
	if err := c.Put(limit(t), strings.NewReader("no archive, but long enough to be read as a header"+strings.Repeat(".", 100))); err == nil ||
		!strings.Contains(err.Error(), "not a newc archive") {
		t.Errorf("Put of something else = %v", err)
	}
}

func checkShell(t *testing.T, c *guest.Conn) {
	in, keys := io.Pipe()
	var mu sync.Mutex
	var screen bytes.Buffer
	seen := make(chan string, 1)
	go func() {
		<-seen
		io.WriteString(keys, "echo $((6*7)) $TERM; cat /proc/self/stat\r")
		io.WriteString(keys, "exit\r")
	}()
	first := true
	exit, err := c.Run(limit(t), guest.Shell(guest.Terminal{Rows: 24, Cols: 80, Term: "vt100"}), guest.Stdio{Stdin: in,
		Stdout: writerFunc(func(b []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			if first {
				seen <- ""
				first = false
			}
			return screen.Write(b)
		})})
	keys.Close()
	mu.Lock()
	defer mu.Unlock()
	if err != nil || !exit.Success() || !strings.Contains(screen.String(), "42 vt100") {
		t.Errorf("shell: %v, %v, %q", exit, err, screen.String())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// A saved guest goes on in another QEMU, with another Conn.
func TestResume(t *testing.T) {
	for _, arch := range []string{"amd64", "ppc64"} {
		t.Run(arch, func(t *testing.T) {
			img := image(t, arch)
			v := boot(t, arch, img)
			c := guest.NewConn(v.conn)
			defer c.Close()
			output(t, c, "gosh", "-c", "echo kept >/tmp/kept")
			if err := c.SetHeartbeat(limit(t), guest.NoHeartbeat); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond) // an interrupt on its way would be lost
			state := filepath.Join(v.dir, "state")
			v.monitor(t, "stop")
			v.monitor(t, `migrate "exec:cat >`+state+`"`)
			v.p.Stop()
			c.Close()

			w := boot(t, arch, img, "-incoming", "exec:cat "+state)
			for !strings.Contains(w.monitor(t, "info status"), "VM status: paused\r") { // as it was when it was saved
				time.Sleep(10 * time.Millisecond)
			}
			w.monitor(t, "cont")
			d := guest.ResumeConn(w.conn)
			defer d.Close()
			h, err := d.Resume(limit(t))
			if err != nil {
				t.Fatalf("Hello after resume = %v", err)
			}
			if h.PID != 1 || h.Now.Boottime <= h.Boot {
				t.Errorf("Resume = %+v", h)
			}
			if got := output(t, d, "cat", "/tmp/kept"); got != "kept\n" {
				t.Errorf("the file = %q", got)
			}
			end(t, w, d)
		})
	}
}

// Without its port the agent says so on the console, and ends the machine instead of letting the kernel panic.
func TestNoPort(t *testing.T) {
	img := image(t, "amd64")
	m := machines["amd64"]
	dir := t.TempDir()
	console := filepath.Join(dir, "console")
	args := append([]string{"-accel", "tcg", "-m", "256", "-kernel", need.Kernel(t, "amd64"), "-initrd", img, "-nodefaults",
		"-no-user-config", "-display", "none", "-no-reboot", "-serial", "file:" + console}, m[1:]...)
	if err := (run.Cmd{Name: need.Tool(t, m[0]), Args: args}).Run(limit(t)); err != nil {
		t.Fatal(err)
	}
	text := string(read(t, console))
	if !strings.Contains(text, "\nseries-agent: find virtio port "+guest.PortName+": ") || strings.Contains(text, "Kernel panic") {
		t.Errorf("console:\n%s", text)
	}
}

// A corrupt archive is not half a guest.
func TestCorruptArchive(t *testing.T) {
	b := read(t, image(t, "amd64"))
	copy(b[200:], "not hexadecimal digits") // into the second header
	img := filepath.Join(t.TempDir(), "corrupt")
	check(t, os.WriteFile(img, b, 0o644))
	v := boot(t, "amd64", img)
	c := guest.NewConn(v.conn)
	defer c.Close()
	if h, err := c.Hello(limit(t)); !errors.Is(err, guest.ErrEarlyEnd) {
		t.Errorf("Hello = %+v, %v", h, err)
	}
	v.p.Wait()
	if text := v.console(t); !strings.Contains(text, "Kernel panic") {
		t.Errorf("console:\n%s", text)
	}
}
