// SPDX-License-Identifier: Apache-2.0

// Package vmtest boots a kernel in QEMU, runs programs in it, and says what became of it.
//
// A Machine is a plain value that describes a guest; Boot makes it live. Three channels connect a guest to its host,
// and are never mixed: the console carries only the kernel's log, a virtio-serial port carries framed events (package
// guest), and QMP (package qmp) tells what the machine itself did. What was seen on the three is put together to a
// Verdict. A guest that ends without its done event never passed.
//
// Most callers want one of
//
//	func Test(ctx context.Context, m Machine, j Job) (*TestResult, error)
//	func Exec(ctx context.Context, m Machine, j Job) (*ExecResult, error)
//
// which make the initramfs, boot, run one program, and bring the machine down; whoever wants to do more in one guest
// calls
//
//	func (m Machine) Boot(ctx context.Context) (*Guest, error)           // *EndError when it never said hello
//	func (g *Guest) Run(ctx context.Context, c guest.Command, s guest.Stdio) (*guest.Exit, error)
//	func (g *Guest) End(ctx context.Context) Verdict                     // asks the agent for done and QEMU to quit
//	func (g *Guest) Wait() Verdict                                       // until it has ended
//	func (g *Guest) Close() error                                        // at once; idempotent
//	func (g *Guest) Conn() *guest.Conn
//	func (g *Guest) QMP() *qmp.Monitor
//
// and ProbeKVM(ctx, cache) (KVMVerdict, error) tells whether KVM is of use here.
package vmtest
