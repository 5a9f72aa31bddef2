// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write the golden files")

func TestArgs(t *testing.T) {
	machines := []struct {
		name string
		m    Machine
	}{
		{"amd64", Machine{Arch: AMD64, Kernel: "/k/vmlinux", Initrd: "/k/initrd"}},
		{"amd64-tsc", Machine{Arch: AMD64, Kernel: "/k/vmlinux", TSC: 2596126}},
		{"amd64-smp", Machine{Arch: AMD64, Kernel: "/k/vmlinux", CPUs: 2, Memory: 1 << 30, Cmdline: []string{"audit=1", "loglevel=5"}}},
		{"amd64-smp-multi", Machine{Arch: AMD64, Kernel: "/k/vmlinux", CPUs: 2, MultiThread: true}},
		{"amd64-smp-kvm", Machine{Arch: AMD64, Kernel: "/k/vmlinux", CPUs: 2, Accel: KVM}},
		{"ppc64-smp", Machine{Arch: PPC64, Kernel: "/k/vmlinux", CPUs: 2}},
		{"amd64-icount", Machine{Arch: AMD64, Kernel: "/k/vmlinux", Icount: &Icount{Shift: 0, Seed: 3}}},
		{"amd64-kvm", Machine{Arch: AMD64, Kernel: "/k/vmlinux", Accel: KVM, TSC: 2596126}},
		{"ppc64", Machine{Arch: PPC64, Kernel: "/k/vmlinux"}},
		{"ppc64-slof", Machine{Arch: PPC64, Kernel: "/k/vmlinux", Firmware: "slof"}},
		{"ppc64-icount", Machine{Arch: PPC64, Kernel: "/k/vmlinux", Icount: &Icount{Shift: 1, Seed: 42}}},
		{"ppc64le", Machine{Arch: PPC64LE, Kernel: "/k/vmlinux"}},
	}
	golden := filepath.Join("testdata", "args.txtar")
	got := &txtar.Archive{Comment: []byte("QEMU's arguments, one a line; go test -run TestArgs -update writes them.\n")}
	for _, x := range machines {
		args, err := x.m.Args()
		if err != nil {
			t.Errorf("%s: %v", x.name, err)
		}
		again, _ := x.m.Args()
		if diff := cmp.Diff(args, again); diff != "" {
			t.Errorf("%s: not the same twice:\n%s", x.name, diff)
		}
		got.Files = append(got.Files, txtar.File{Name: x.name, Data: []byte(strings.Join(args, "\n") + "\n")})
	}
	if *update {
		if err := os.WriteFile(golden, txtar.Format(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(txtar.Format(got))); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
}

func TestArgsRefuses(t *testing.T) {
	ok := Machine{Arch: AMD64, Kernel: "vmlinux"}
	for _, tt := range []struct {
		want   string
		change func(*Machine)
	}{
		{`unknown architecture "sparc"; known are amd64, ppc64, ppc64le`, func(m *Machine) { m.Arch = "sparc" }},
		{"no kernel", func(m *Machine) { m.Kernel = "" }},
		{"-1 CPUs", func(m *Machine) { m.CPUs = -1 }},
		{"whole MiB", func(m *Machine) { m.Memory = 512<<20 + 1 }},
		{"at least 16", func(m *Machine) { m.Memory = 1 << 20 }},
		{"negative", func(m *Machine) { m.Limit = -time.Second }},
		{`unknown accelerator "xen"`, func(m *Machine) { m.Accel = "xen" }},
		{"icount shift 11", func(m *Machine) { m.Icount = &Icount{Shift: 11} }},
		{"icount has one CPU", func(m *Machine) { m.Icount, m.CPUs = &Icount{}, 2 }},
		{"icount needs TCG", func(m *Machine) { m.Icount, m.Accel = &Icount{}, KVM }},
		{"has none to choose", func(m *Machine) { m.Firmware = "slof" }},
		{`unknown firmware "bios"; known are vof, slof`, func(m *Machine) { m.Arch, m.Firmware = PPC64, "bios" }},
	} {
		m := ok
		tt.change(&m)
		if args, err := m.Args(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Args of %+v = %q, %v; want an error with %q", m, args, err, tt.want)
		}
	}
	if _, err := ok.Args(); err != nil {
		t.Errorf("Args of the machine that is changed above: %v", err)
	}
}

func TestShellQuote(t *testing.T) {
	for in, want := range map[string]string{"": "''", "a=b,c": "a=b,c", "a b": "'a b'", "it's": `'it'\''s'`, "$x": "'$x'"} {
		if got := shellQuote([]string{in}); got != want {
			t.Errorf("shellQuote(%q) = %s, want %s", in, got, want)
		}
	}
}

func ExampleMachine_Args() {
	args, err := Machine{Arch: PPC64, Kernel: "vmlinux"}.Args()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(args[len(args)-1])
	// Output: console=hvc0 rdinit=/series/agent panic=-1
}
