// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seriesrig/series/internal/fakeqemu"
)

// The test binary, run under the name of qemu-system-*, plays QEMU and the guest in it. What is behind the dash after
// "system" says how.
func TestMain(m *testing.M) {
	if how, ok := strings.CutPrefix(filepath.Base(os.Args[0]), "qemu-system-"); ok {
		os.Exit(fakeqemu.Play(how, fakeqemu.Options{}))
	}
	os.Setenv("GORACE", "atexit_sleep_ms=0") // each QEMU that is played would else take a second to end
	os.Exit(m.Run())
}

// fakeQEMU returns the path of a QEMU that plays how.
func fakeQEMU(t testing.TB, how string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "qemu-system-"+how)
	if err := os.Symlink(self, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// fakeMachine returns a Machine whose QEMU plays how, with short limits.
func fakeMachine(t testing.TB, how string) Machine {
	t.Helper()
	kernel := filepath.Join(t.TempDir(), "vmlinux")
	if err := os.WriteFile(kernel, []byte("a kernel that nobody boots"), 0o644); err != nil {
		t.Fatal(err)
	}
	return Machine{Arch: AMD64, Kernel: kernel, Initrd: kernel, QEMU: fakeQEMU(t, how), Dir: t.TempDir(),
		Quiet: fakeQuiet(how), Limit: 20 * slow * time.Second}
}

// hangQuiet is after what time a fake that hangs counts as hung. It is short so that the tests are quick, and long enough
// for the fake, which is this test binary, to start.
const hangQuiet = 700 * slow * time.Millisecond

// fakeQuiet gives a fake that does not hang all the time it may want on a busy host.
func fakeQuiet(how string) time.Duration {
	switch how {
	case "hang", "hanginit", "splathang", "silent", "panicstuck":
		return hangQuiet
	}
	return 15 * slow * time.Second
}

func TestFakeDescriptors(t *testing.T) {
	if fakeqemu.QMPFD != qmpFD || fakeqemu.EventsFD != eventsFD || fakeqemu.ConsoleFD != consoleFD {
		t.Error("the fake listens on other descriptors than QEMU is given")
	}
}
