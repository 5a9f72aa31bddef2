// SPDX-License-Identifier: Apache-2.0

// Package taskwatchers tests and measures what the task-watchers series touches: fork, exec, exit and the features that
// have something for each task. All of it passes on a kernel without the series, too, but for what the series adds: the
// table and watchers of modules. These tests are skipped where the running kernel has no symbol of the series' table, and
// say so. The tests need the build tag guest and run as root in a guest of their own.
//
// What the host may say: SERIES_TIMES, how often modules come and go, 10 times by default (1000 times are
// scripts/soak-task-watchers, and take longer than the minute that a test has by default); SERIES_ROUNDS, how often each
// allocation of a fork is to fail, 2 times by default, which shows what goes wrong at once, and 20 or more what is left
// behind; SERIES_MODULES, a folder of modules in the place of /lib/modules.
//
// What no test can see: that the owner of a thread keyring changes before new credentials are those of the task, for which
// key_fsuid_changed() may not become a watcher of uid; from outside, the moment in between cannot be hit.
//
// # What the benchmarks measure
//
// Each operation is a child, made, run to its end and waited for by a program that maps three pages of its own (package
// tiny: code, what it is told, and the times that it has read, which it writes to a file when the page is full), a page of
// stack and the vdso; TestMaps looks.
//
//   - Fork: fork(2), the child exits at once.
//   - Clone: clone(2) with CLONE_VM, CLONE_FS, CLONE_FILES, CLONE_SIGHAND and CLONE_SYSVSEM: a child that shares what it
//     can share and yet can be waited for.
//   - Exec: clone(2) as vfork(2), and execve(2) of a program that exits at once.
//
// The unit insns/op is for guests whose clock counts instructions (QEMU's icount with shift 0: a nanosecond is an
// instruction, user and kernel, of the child as well); the host says so with SERIES_MODE=icount. Otherwise it is ns/op,
// on the guest's clock. Instructions are not time: they know no caches, no TLB and no other CPU that has a lock. A fork of
// a large program costs more than these, mostly for its page tables, and what a patch adds to it is the less in
// proportion.
//
// The program reads the clock itself, after each child, which is a system call more an operation. Of what it reads come two
// figures. insns/op is that of an operation in which nothing else happens: the mean of those between the 5th and the 20th
// percentile of all. The shorter ones are few and have luck, with an allocator for instance; in the longer ones a tick comes, or
// the callbacks of RCU for a hundred children at once, or a list of free objects is empty. mean-insns/op is the mean of
// all, with that; it tells of the same cost what little the rest lets through, for in 1000 operations there are some fifty
// such events, or some more.
//
// What else the kernel does for an operation is counted in runs of their own, after that: hits of the tracepoints of the scheduler (fork,
// exec, exit, switch), of the allocators and of system calls, and the scheduler's statistics, each the difference of a run of 201
// operations and a run of one. In the same kernel they tell what an operation is; between two kernels that a patch allocates or wakes
// more than before.
//
// 1000 operations come before those that are measured, and the benchmark fails where none of their hundreds takes as long,
// within 1 %, as those after them do. (They did from the first hundred on on amd64; on ppc64 a fork becomes 1 % cheaper until
// the thousandth.)
package taskwatchers
