// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"io"
	"io/fs"
	"time"
)

// A Job is a program to run in a guest of its own: a Go test binary (Test), or any static program (Exec).
type Job struct {
	// Binary is the program's path on the host, built for the guest: CGO_ENABLED=0 and the architecture's GOARCH.
	Binary string
	// Args are its arguments. Test puts -test.v=test2json in front of them, if they have no -test.v of their own.
	Args []string
	// Env ("NAME=value") is all that the program gets beside the agent's PATH, HOME, TMPDIR, TERM and PWD.
	Env []string
	// Dir is the working folder in the guest, absolute; it is made. "" means /tmp.
	Dir string
	// Files are put into the guest's initramfs, beside the program.
	Files []File
	// Folders of the host are put into the guest at the same path, with all that is below, such as a package's testdata.
	Folders []string
	// PerTest limits each top-level test, from its start to its end, in the guest's time; 0 means 1 min. A test that
	// takes longer gets SIGQUIT, for a dump of its goroutines, and SIGKILL a second later. Exec has no use for it.
	PerTest time.Duration
	// Wall limits the program's whole run, in the guest's time; 0 means that only Machine.Limit does.
	Wall time.Duration
	// Collect lists absolute paths in the guest of files and folders to bring back, such as a coverage profile.
	Collect []string
	// CollectTo returns the host's path for a file that was brought back, whose folder has to be there. nil means
	// Machine.Dir/files and the guest's path below.
	CollectTo func(path string) (string, error)
	// Stdin is handed to the program; nil means /dev/null.
	Stdin io.Reader
	// Stdout and Stderr get the program's output as it comes. Test sends both to Stdout, in order.
	Stdout, Stderr io.Writer
	// Output is how much of the program's output is taken, in bytes; 0 means 64 MiB. More than that fails the job.
	Output int64
}

// A File is one to put into a guest.
type File struct {
	Path string      // in the guest, absolute
	Mode fs.FileMode // permission bits; 0 means those of From, or 0644
	From string      // path on the host; "" means that Data is the content
	Data []byte
}

// Times tells where a guest's time went, on the host's clock but for Agent.
type Times struct {
	Prepare time.Duration `json:"prepare"` // the initramfs, before QEMU was started
	Boot    time.Duration `json:"boot"`    // from QEMU's start to the agent's hello
	Agent   time.Duration `json:"agent"`   // of that, the agent's own start, on the guest's clock
	Run     time.Duration `json:"run"`     // the commands
	End     time.Duration `json:"end"`     // from the decision to end it until QEMU was gone
	Total   time.Duration `json:"total"`   // from the call to the verdict
}

// A TestResult is what a Go test binary did in a guest.
type TestResult struct {
	Verdict Verdict    `json:"verdict"`
	Tests   []TestCase `json:"tests"` // in the order of their start, subtests included
	Passed  int        `json:"passed"`
	Failed  int        `json:"failed"`
	Skipped int        `json:"skipped"`
	// Benchmarks are the lines of benchmark results, and the configuration lines among them, as they were printed.
	Benchmarks []string `json:"benchmarks,omitempty"`
	Elapsed    float64  `json:"elapsed"` // seconds of the guest
	// Unconfirmed says that a restored guest had a finding that a booted one had not: the kernel may do so now and then,
	// or it is the restore, or the host. Another run may end otherwise.
	Unconfirmed bool   `json:"unconfirmed,omitempty"`
	Status      int    `json:"status"` // exit status of the binary; -1 when it did not exit
	JSON        string `json:"json"`   // path of the test2json events
	Log         string `json:"log"`    // path of what the binary printed
	Dir         string `json:"dir"`    // folder of all logs
	Times       Times  `json:"times"`
}

// A TestCase is one test of a binary.
type TestCase struct {
	Name    string  `json:"name"`
	Action  string  `json:"action"`           // pass, fail or skip; bench for a benchmark that ended
	Elapsed float64 `json:"elapsed"`          // seconds of the guest
	Output  string  `json:"output,omitempty"` // what it printed; the middle is left out where there is too much
	Reason  string  `json:"reason,omitempty"` // why it failed, where it did not say so itself
}

// An ExecResult is what a program did in a guest.
type ExecResult struct {
	Verdict Verdict  `json:"verdict"`
	Status  int      `json:"status"` // exit status; 128+n when signal n ended it, as a shell has it; -1 when neither
	Files   []string `json:"files"`  // paths on the host of what was brought back
	Dir     string   `json:"dir"`
	Times   Times    `json:"times"`
}
