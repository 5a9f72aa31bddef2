// SPDX-License-Identifier: Apache-2.0

package console

import (
	"regexp"
	"strings"
)

type class int

const (
	ordinary class = iota
	kernelLine
	initLine
	rootLine
	splat
	kernelPanic
)

// prefix is what printk puts in front of a line: the level where ignore_loglevel or earlycon shows it, the time, and
// with CONFIG_PRINTK_CALLER who spoke.
var prefix = regexp.MustCompile(`^(?:<[0-9]+>)?(?:\[ *[0-9]+\.[0-9]+\])?(?:\[ *[TC][0-9]+\])? ?`)

func stripPrefix(line string) string { return line[len(prefix.FindString(line)):] }

// traceEnd ends a trace.
var traceEnd = regexp.MustCompile(`^---\[ end `)

// noRoot are the panics of a kernel that found nothing to run. They say that the guest was put together wrongly, or that
// the kernel cannot unpack or start what it was given; userspace was never reached.
var noRoot = regexp.MustCompile(`VFS: Unable to mount root fs|No working init found|Requested init .* failed`)

// A pattern is a way in which a line shows what class it is of. The line must contain needle, which is quick to look
// for, and then match form.
type pattern struct {
	class  class
	needle string
	form   *regexp.Regexp
}

// oops is the number in the brackets of an oops: it tells the kernel's own faults from those of programs, which it
// reports in similar words.
const oops = `.*\[#[0-9]+\]`

// patterns are tried in order; the first that matches counts. All forms start at the beginning of the line, after
// printk's prefix, because programs' names and messages may stand further in.
var patterns = []pattern{
	{kernelPanic, "Kernel panic - not syncing", form(`(?:---\[ end )?Kernel panic - not syncing`)},
	{kernelLine, "Linux version ", form(`Linux version [0-9]`)},
	{initLine, "as init process", form(`Run \S+ as init process`)},
	{rootLine, "nitramfs unpacking failed", form(`Initramfs unpacking failed`)},
	{rootLine, "junk ", form(`junk within compressed archive|junk at the end of compressed archive`)},
	{rootLine, "check access for rdinit", form(`check access for rdinit=.* failed`)},

	// Oopses. x86 says "BUG:" or the fault's name, and since 6.10 "Oops: " before the name; powerpc says "BUG:" or
	// "Unable to handle", "Faulting instruction", and "Oops: Exception in kernel mode".
	{splat, "kernel BUG at ", form(`kernel BUG at `)},
	{splat, "BUG: ", form(`(?:watchdog: )?BUG: `)},
	{splat, "Oops", form(`Oops(?:: |\[#| - )`)},
	{splat, "general protection fault", form(`general protection fault` + oops)},
	{splat, " error: ", form(`divide error: ` + oops)},
	{splat, "invalid opcode", form(`invalid opcode: ` + oops)},
	{splat, "stack segment", form(`stack segment: ` + oops)},
	{splat, "double fault", form(`(?:PANIC: )?double fault[:,]`)},
	{splat, "Unable to handle kernel", form(`Unable to handle kernel `)},
	{splat, "Unrecoverable ", form(`Unrecoverable .*(?:exception|[Ee]xception .* at|at )`)},
	{splat, "kernel tried to execute", form(`kernel tried to execute `)},
	{splat, "Kernel attempted to", form(`Kernel attempted to \S+ user page`)},
	{splat, "Fixing recursive fault", form(`Fixing recursive fault but reboot is needed`)},
	{splat, "Bad kernel stack pointer", form(`Bad kernel stack pointer`)},

	// Warnings, and the checkers that a debug configuration brings.
	{splat, "WARNING: ", form(`WARNING: (?:CPU: [0-9]|\S+:[0-9]+ at |possible |suspicious |inconsistent lock state|bad |` +
		`held lock freed|lock held when|Nested lock|chain_key|\S+-safe -> |.* still has locks held|stack recursion|kernel stack )`)},
	{splat, "UBSAN: ", form(`UBSAN: `)},
	{splat, "DEBUG_LOCKS_WARN_ON", form(`DEBUG_LOCKS_WARN_ON`)},
	{splat, "INFO: ", form(`INFO: (?:possible recursive locking|possible circular locking|possible irq lock inversion|` +
		`inconsistent lock state|suspicious RCU usage|trying to register non-static key|` +
		`HARDIRQ-safe -> HARDIRQ-unsafe|SOFTIRQ-safe -> SOFTIRQ-unsafe)`)},
	{splat, "INFO: task ", form(`INFO: task \S.* blocked for more than`)},
	{splat, "stall", form(`(?:rcu: )?INFO: rcu\S* .*(?:self-detected stall|detected stalls|detected expedited stalls)`)},
	{splat, "LOCKUP", form(`(?:(?:NMI )?watchdog: )?(?:Watchdog detected hard LOCKUP|CPU [0-9]+ .*LOCKUP)`)},
	{splat, "nobody cared", form(`irq [0-9]+: nobody cared`)},
	{splat, "unregister_netdevice", form(`unregister_netdevice: waiting for `)},
	{splat, "NETDEV WATCHDOG", form(`NETDEV WATCHDOG`)},
	{splat, "kmemleak", form(`kmemleak: [1-9][0-9]* new suspected memory leaks`)},
	{splat, "workqueue lockup", form(`.*workqueue lockup`)},
	{splat, "stack is corrupted", form(`stack-protector: Kernel stack is corrupted`)},
	{splat, "list_", form(`list_(?:add|del) corruption`)},
	{splat, "refcount_t:", form(`refcount_t: `)},
}

func form(s string) *regexp.Regexp { return regexp.MustCompile(`^(?:` + s + `)`) }

// classify tells what a line, without its prefix, is, and its title where it is a complaint.
func classify(body string) (class, string) {
	for _, p := range patterns {
		if !strings.Contains(body, p.needle) || !p.form.MatchString(body) {
			continue
		}
		title := strings.TrimSpace(strings.TrimPrefix(body, "---[ end "))
		return p.class, strings.TrimSuffix(title, " ]---")
	}
	return ordinary, ""
}
