// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package taskdiag asks /proc/task_diag for the attributes of many tasks: what /proc/PID/stat, status, maps and smaps say,
// in binary form and with a few system calls for all of them. The file comes with the task-diag series; its documentation
// is Documentation/filesystems/task_diag.rst, and include/uapi/linux/task_diag.h has the layout.
//
//	c, err := taskdiag.Open(taskdiag.Options{})
//	if err != nil { … }
//	defer c.Close()
//	for t, err := range c.Tasks(ctx, taskdiag.Request{Groups: taskdiag.ShowBase | taskdiag.ShowStat}) {
//		if err != nil { … }
//		fmt.Printf("%d %s %v\n", t.PID, t.Base.Name(), t.Stat.UTime)
//	}
//
// # Memory
//
// Nothing is copied: Base, Cred, Stat, mappings and their names are views of the buffer that read(2) has filled, in the
// byte order and the layout of the machine, which are the same with 32 and 64 bits. They are valid until the loop goes on;
// what is to be kept longer is copied by Task.Clone. What is copied nevertheless is the part of a task that one read has
// brought where the next one brings the rest.
//
// A task takes no allocation. A Client has a buffer of Options.Buffer bytes, and of a task that the kernel divides, the
// mappings up to Options.MaxTask bytes. Messages has the parts as they come, and needs neither.
//
// # Errors
//
// What the kernel says is a syscall.Errno inside of the error: ENOENT of Open where the kernel has no task_diag, EINVAL of
// a request for what it does not know, ESRCH for a task that is not there or may not be seen. An answer that is not in the
// format is a *FormatError, which says where; the decoder takes any bytes, as whoever has the file open may be anybody.
package taskdiag
