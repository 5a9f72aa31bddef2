// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/seriesrig/series/internal/run"
	"github.com/seriesrig/series/vmtest/internal/console"
)

// An ending is why we ended a guest.
type ending struct {
	kind   Kind // Pass after the guest's done; "" leaves the verdict to what was seen
	reason string
	err    error
}

// An evidence is everything that was seen of a guest.
type evidence struct {
	console  console.State
	log      string // path of the console's log
	restored bool   // from a snapshot
	hello    bool
	done     bool
	shutdown string  // the reason in QEMU's SHUTDOWN event; "" where there was none
	panicked bool    // QEMU's GUEST_PANICKED
	stop     *ending // why we ended it; nil when it ended by itself
	broken   error   // the rig's own trouble, such as a full disk
	exit     error   // how QEMU ended
	qemu     string  // the last line that QEMU itself printed
	qemuLog  string
}

// userspace tells whether the kernel came so far as to start init.
func (e *evidence) userspace() bool { return e.hello || e.console.Init }

// verdict puts it together. What the kernel said comes first: a panic is one however the machine ended afterwards. A
// splat beats whatever became of the tests, but not a machine that never came up or hung, which say more. Of what
// cannot be told, nothing was learned.
func (e *evidence) verdict() Verdict {
	c := &e.console
	switch {
	case e.restored && !e.hello && c.Panic.Count == 0:
		// It had booted, and whether it comes back is a matter of QEMU's.
		v := e.ended()
		return Verdict{Kind: Rig, Reason: "the guest did not come back from its snapshot: " + v.Reason, Where: v.Where, Excerpt: c.Tail}
	case !e.hello && c.Root.Count > 0 && (!c.Init || c.RootPanic):
		return e.finding(NoBoot, c.Root, "")
	case c.Panic.Count > 0:
		return e.finding(Panic, c.Panic, "")
	case e.panicked:
		return Verdict{Kind: Panic, Reason: "the guest told the machine that it panicked", Where: e.end(), Excerpt: c.Tail}
	}
	v := e.ended()
	if v.Excerpt == nil && v.Kind != Pass {
		v.Excerpt = c.Tail
	}
	if c.Splat.Count > 0 {
		switch v.Kind {
		case Pass:
			return e.finding(Splat, c.Splat, "")
		case Fail, Rig:
			return e.finding(Splat, c.Splat, v.Reason)
		}
		v.Reason += "; before that: " + c.Splat.Title
		v.Where, v.Excerpt = Where{Log: e.log, Line: c.Splat.Line}, c.Splat.Excerpt
	}
	return v
}

// ended is the verdict by how the guest ended.
func (e *evidence) ended() Verdict {
	v := Verdict{Where: e.end()}
	switch {
	case e.broken != nil:
		v.Kind, v.Reason = Rig, e.broken.Error()
	case e.stop != nil && e.stop.kind != "":
		v.Kind, v.Reason = e.stop.kind, e.stop.reason
		if v.Kind == Pass {
			v.Where = Where{}
		}
	case e.done:
		v = Verdict{Kind: Pass}
	case e.stop != nil:
		v.Kind, v.Reason = Rig, e.stop.reason
	default:
		v.Kind, v.Reason = e.alone()
		if v.Kind == Rig {
			v.Where = Where{Log: e.qemuLog}
		}
	}
	return v
}

// alone is for a QEMU that ended by itself, without the guest's done.
func (e *evidence) alone() (Kind, string) {
	var xe *run.ExitError
	if errors.As(e.exit, &xe) && xe.Signal != 0 {
		return Rig, fmt.Sprintf("QEMU was killed from outside by signal %d (%v)", int(xe.Signal), xe.Signal)
	}
	if strings.HasPrefix(e.shutdown, "host-") {
		return Rig, "QEMU was told to end from outside: " + e.shutdown
	}
	if e.exit != nil {
		return Rig, strings.TrimSuffix(fmt.Sprintf("QEMU ended: %v: %s", e.exit, e.qemu), ": ")
	}
	how := "the machine ended"
	switch e.shutdown {
	case "guest-reset":
		how = "the guest restarted"
	case "guest-shutdown":
		how = "the guest powered off"
	case "guest-panic":
		return Panic, "the guest told the machine that it panicked"
	}
	switch {
	case !e.console.Kernel && !e.userspace():
		return NoBoot, how + " before the kernel said a word"
	case !e.userspace():
		return NoBoot, how + " before userspace was reached"
	}
	return Fail, how + " without saying that it was done"
}

func (e *evidence) end() Where { return Where{Log: e.log, Line: e.console.Lines} }

func (e *evidence) finding(k Kind, f console.Finding, also string) Verdict {
	v := Verdict{Kind: k, Reason: f.Title, Where: Where{Log: e.log, Line: f.Line}, Excerpt: f.Excerpt}
	c := &e.console
	if k == Panic && c.Splat.Count > 0 {
		// The cause is what came before: a panic's own words are often "Fatal exception".
		v.Reason += ", after " + c.Splat.Title
		v.Where.Line, v.Excerpt = c.Splat.Line, c.Splat.Excerpt
		if len(f.Excerpt) > 0 && !slices.Contains(v.Excerpt, f.Excerpt[0]) {
			v.Excerpt = append(v.Excerpt, f.Excerpt...)
		}
	}
	if k == Splat && f.Count > 1 {
		v.Reason += fmt.Sprintf(" (and %d more)", f.Count-1)
	}
	if also != "" {
		v.Reason += "; " + also
	}
	return v
}
