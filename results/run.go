// SPDX-License-Identifier: Apache-2.0

package results

import "time"

// Format is the version of the record's form. It changes when a field changes its meaning, not when one is added.
const Format = 1

// A Verdict says how a test, a cell or a run ended.
type Verdict string

// The verdicts. Rig means that nothing was learned about the patch.
const (
	Pass   Verdict = "pass"
	Fail   Verdict = "fail"
	Splat  Verdict = "splat"
	Panic  Verdict = "panic"
	Hang   Verdict = "hang"
	NoBoot Verdict = "noboot"
	Rig    Verdict = "rig"
)

// A Run is the record of one run of a series: what was run, with what, where, and what came out. Its JSON form is the
// object that `series run --json` prints; fields may be added to it, never renamed.
type Run struct {
	Format   int         `json:"format"`             // the constant Format; Encode sets it
	Series   string      `json:"series"`             // the series' id
	Title    string      `json:"title,omitempty"`    // the series' title
	Revision int         `json:"revision"`           // the series' revision, 1 or more
	Verdict  Verdict     `json:"verdict"`            // of the whole run
	Base     Base        `json:"base"`               // what the patches were applied to
	Patches  []PatchFile `json:"patches"`            // the series' patches, in order
	Headline *Headline   `json:"headline,omitempty"` // the figure that stands for a kernel in the table of verdicts
	Cells    []Cell      `json:"cells"`              // one per architecture, configuration and patch
	Stages   []Stage     `json:"stages,omitempty"`   // where the time went
	Host     Host        `json:"host"`               // the machine the run was made on
	Tool     Tool        `json:"tool"`               // the program that made it
	Command  []string    `json:"command,omitempty"`  // the command line that repeats it
	Started  time.Time   `json:"started"`            // UTC
	Finished time.Time   `json:"finished"`           // UTC
	Mail     *Mail       `json:"mail,omitempty"`     // the thread made from this run; nil where none was
	Results  []string    `json:"results,omitempty"`  // files this run was written to; only in what --json prints
	Hash     string      `json:"sha256,omitempty"`   // "sha256:" and the hash of the canonical form of all the rest
}

// A Base names the source the patches were applied to.
type Base struct {
	Spec    string `json:"spec"`             // as asked for: debian:linux-source-6.12
	Version string `json:"version"`          // as resolved: 6.12.117-1~deb12u1
	Hash    string `json:"hash"`             // of the source's content: sha256:…
	Commit  string `json:"commit,omitempty"` // of a git base
}

// A PatchFile names one patch of the series by its content.
type PatchFile struct {
	N       int    `json:"n"`       // from 1
	File    string `json:"file"`    // 0001-….patch
	Subject string `json:"subject"` // without [PATCH]
	Hash    string `json:"hash"`    // sha256: of the file's bytes
}

// A Headline names one figure of the benchmarks.
type Headline struct {
	Benchmark string `json:"benchmark"`
	Unit      string `json:"unit"`
}

// Is tells whether a metric is that figure. Nil names none.
func (h *Headline) Is(benchmark, unit string) bool {
	return h != nil && h.Unit == unit && h.Benchmark == withoutCPUs(benchmark)
}

// A Cell is one kernel: a patch, on an architecture, in a configuration. Patch 0 is the base without any patch. What
// was not done is nil, or empty.
type Cell struct {
	Arch         string      `json:"arch"`  // amd64, ppc64, ppc64le
	Patch        int         `json:"patch"` // patches 1 to Patch are applied
	Config       string      `json:"config"`
	ConfigHash   string      `json:"config_hash"`             // of the configuration asked for: fragments and architecture
	ResolvedHash string      `json:"resolved_hash,omitempty"` // of the .config that olddefconfig made of it
	Toolchain    *Toolchain  `json:"toolchain,omitempty"`
	Build        *Build      `json:"build,omitempty"`
	Delta        *Delta      `json:"delta,omitempty"` // what the patches since the cell before did to the build
	Proofs       []Proof     `json:"proofs,omitempty"`
	QEMU         *QEMU       `json:"qemu,omitempty"` // the guest that tests and benchmarks ran in
	Tests        *Tests      `json:"tests,omitempty"`
	Benchmarks   []Benchmark `json:"benchmarks,omitempty"`
	Guests       []string    `json:"guests,omitempty"` // folders with the logs of the guests that benchmarks ran in, in order
}

// A Toolchain is what compiled and linked a kernel.
type Toolchain struct {
	ID       string `json:"id"`       // hash of all that identifies it
	Compiler string `json:"compiler"` // first line of gcc --version
	Linker   string `json:"linker"`   // first line of ld --version
	Prefix   string `json:"prefix,omitempty"`
}

// A Build is one kernel build.
type Build struct {
	ID          string   `json:"id"`                   // hash of everything that can change the output
	Image       string   `json:"image"`                // path of vmlinux
	ImageHash   string   `json:"image_hash,omitempty"` // sha256: of vmlinux
	Log         string   `json:"log"`                  // path of the build log
	Cached      bool     `json:"cached"`               // not run again; Seconds is then the time the first run took
	Seconds     float64  `json:"seconds"`
	Warnings    int      `json:"warnings"`     // all that the compiler gave
	WarningsNew []string `json:"warnings_new"` // not given at the previous patch
	Errors      []string `json:"errors"`
}

// A Proof is one thing that the linker package showed of a vmlinux.
type Proof struct {
	Name   string `json:"name"`
	Pass   bool   `json:"pass"`
	Detail string `json:"detail,omitempty"`
}

// A QEMU is how a guest was run.
type QEMU struct {
	Version  string   `json:"version"`           // 7.2.22
	Command  []string `json:"command"`           // the whole command line
	Accel    string   `json:"accel"`             // tcg or kvm
	Machine  string   `json:"machine,omitempty"` // microvm, pseries
	CPUs     int      `json:"cpus"`
	Memory   int64    `json:"memory"`             // bytes
	Seeds    []uint64 `json:"seeds,omitempty"`    // one per boot, in order; empty where none was set
	Firmware string   `json:"firmware,omitempty"` // vof or slof
}

// Tests is the sum of one guest's tests. Failed does not count Expected.
type Tests struct {
	Verdict  Verdict `json:"verdict"`
	Passed   int     `json:"passed"`
	Failed   int     `json:"failed"`
	Skipped  int     `json:"skipped"`
	Expected int     `json:"expected"` // failures known beforehand: what stock fails and the series mends
	Log      string  `json:"log,omitempty"`
	Cases    []Test  `json:"cases,omitempty"`
	// SameAs names the cell whose outcome this is: the kernel is that cell's, byte for byte, and was not booted again.
	SameAs string `json:"same_as,omitempty"`
}

// A Test is the outcome of one in-guest test.
type Test struct {
	Name     string  `json:"name"`
	Verdict  Verdict `json:"verdict"`
	Skipped  bool    `json:"skipped,omitempty"`
	Expected bool    `json:"expected,omitempty"` // the failure was known beforehand
	Seconds  float64 `json:"seconds"`
	Output   string  `json:"output,omitempty"`
}

// A Benchmark is one metric of one benchmark: its values in the order they were measured, in base units (sec, B,
// insns), never scaled ones. Previous, Delta and DeltaErr compare with the previous patch and are nil where that was
// not measured; Link fills them.
type Benchmark struct {
	Name     string    `json:"name"` // without "Benchmark", with sub-benchmark and -CPUs: Openat/records=4-2
	Unit     string    `json:"unit"`
	Values   []float64 `json:"values"`
	Iters    []int     `json:"iters,omitempty"` // iterations behind each value
	Seeds    []uint64  `json:"seeds,omitempty"` // guest seed behind each value
	Boots    []int     `json:"boots,omitempty"` // round of interleaved boots behind each value, from 1
	Previous []float64 `json:"previous"`
	Delta    *float64  `json:"delta"`     // difference from Previous, as Comparison.Delta has it
	DeltaErr *float64  `json:"delta_err"` // half the width of Delta's interval; nil where there is none

	DeltaMethod Method `json:"delta_method,omitempty"` // how Delta was made

	Functions []Function `json:"functions,omitempty"` // where it is executed; nil where that was not counted
}

// A Stage is a part of the run and the time it took.
type Stage struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`          // wall clock
	Detail  string  `json:"detail,omitempty"` // cached, 2 of 4 built …
}

// Host is the machine a run was made on.
type Host struct {
	CPU    string     `json:"cpu"`    // model name
	Cores  int        `json:"cores"`  // online
	Memory int64      `json:"memory"` // bytes
	Kernel string     `json:"kernel"` // uname -r
	OS     string     `json:"os"`     // PRETTY_NAME of os-release
	Load   [3]float64 `json:"load"`   // 1, 5 and 15 minutes, when the run started
}

// Tool is the program that made the record.
type Tool struct {
	Name    string `json:"name"`
	Version string `json:"version"`          // module version, (devel) for a build from a checkout
	Commit  string `json:"commit,omitempty"` // of the checkout it was built from
	Dirty   bool   `json:"dirty,omitempty"`  // that checkout had changes
	Go      string `json:"go"`               // go1.26.8
}

// Mail is the thread made from a run.
type Mail struct {
	Path     string `json:"path"`
	Messages int    `json:"messages"`
}

// CellAt returns the record's cell, or nil where there is none.
func (r *Run) CellAt(arch string, patch int, config string) *Cell {
	for i := range r.Cells {
		if c := &r.Cells[i]; c.Arch == arch && c.Patch == patch && c.Config == config {
			return c
		}
	}
	return nil
}

// Metric returns the cell's benchmark of that name and unit, or nil where it was not measured.
func (c *Cell) Metric(name, unit string) *Benchmark {
	if c == nil {
		return nil
	}
	for i := range c.Benchmarks {
		if b := &c.Benchmarks[i]; b.Name == name && b.Unit == unit {
			return b
		}
	}
	return nil
}
