// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/elastic/go-libaudit/v2"
	"github.com/elastic/go-libaudit/v2/rule"
	"golang.org/x/sys/unix"
)

// A Control sends commands to the kernel. It is for one goroutine at a time.
type Control struct {
	*libaudit.AuditClient
	conn *Conn
}

// NewControl opens a socket for commands. Nothing but answers comes in on it.
func NewControl() (*Control, error) {
	conn, err := Dial(false, 0)
	if err != nil {
		return nil, err
	}
	return &Control{&libaudit.AuditClient{Netlink: conn}, conn}, nil
}

// A Rule is what auditctl's -a takes: -a ACTION,LIST -S SYSCALLS -F FILTERS.
type Rule struct {
	List     string   // exit, exclude, or io_uring
	Action   string   // always or never
	Syscalls []string // names or numbers; operations where List is io_uring; none means all
	Filters  []string // "uid=1000", "msgtype=SYSCALL"
}

// filterUring is AUDIT_FILTER_URING_EXIT, a list that go-libaudit does not know.
const filterUring = 7

// Add adds a rule at the end of its list.
func (c *Control) Add(r Rule) error {
	spec := rule.SyscallRule{Type: rule.AppendSyscallRuleType, List: r.List, Action: r.Action, Syscalls: r.Syscalls}
	if r.List == "io_uring" {
		spec.List = "exit"
	}
	for _, f := range r.Filters {
		at := strings.IndexAny(f, "!=<>&")
		if at < 0 {
			return fmt.Errorf("audit rule filter %q: no operator", f)
		}
		value := strings.TrimLeft(f[at:], "!=<>&")
		spec.Filters = append(spec.Filters, rule.FilterSpec{
			Type: rule.ValueFilterType, LHS: f[:at], Comparator: strings.TrimSuffix(f[at:], value), RHS: value})
	}
	wire, err := rule.Build(&spec)
	if err != nil {
		return fmt.Errorf("audit rule %v: %w", r, err)
	}
	if r.List == "io_uring" {
		copy(wire, nativeBytes(filterUring)) // the first member of struct audit_rule_data
	}
	if err := c.AddRule(wire); err != nil {
		return fmt.Errorf("audit rule %v: %w", r, err)
	}
	return nil
}

// register makes this process auditd: records come to conn from now on. It takes the place of an auditd that is dead,
// even if the kernel has not noticed yet; one that lives gives EEXIST.
func (c *Control) register(conn *Conn) error {
	client := libaudit.AuditClient{Netlink: conn}
	return client.SetPID(libaudit.WaitForReply)
}

// Unregister ends this process's being auditd.
func (c *Control) Unregister() error {
	return c.set(libaudit.AuditStatus{Mask: libaudit.AuditStatusPID})
}

// set sends a status that go-libaudit has no method for, and waits for the kernel's verdict about it.
func (c *Control) set(s libaudit.AuditStatus) error {
	seq, err := c.conn.Send(syscall.NetlinkMessage{
		Header: syscall.NlMsghdr{Type: libaudit.AuditSet, Flags: unix.NLM_F_REQUEST | unix.NLM_F_ACK}, Data: statusBytes(s)})
	if err != nil {
		return err
	}
	for {
		b, err := c.conn.read(10 * replyWait)
		if err != nil {
			return fmt.Errorf("no answer: %w", err)
		}
		if h := header(b); h.Type == unix.NLMSG_ERROR && h.Seq == seq {
			return libaudit.ParseNetlinkError(b[unix.SizeofNlMsghdr:])
		}
	}
}

// Message logs a record from user space and returns how long the kernel kept the sender.
func (c *Control) Message(text string) (time.Duration, error) {
	start := time.Now()
	_, err := c.conn.Send(syscall.NetlinkMessage{
		Header: syscall.NlMsghdr{Type: TypeTrustedApp, Flags: unix.NLM_F_REQUEST}, Data: append([]byte(text), 0)})
	return time.Since(start), err
}
