// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Types of records that the tests name; the numbers are in include/uapi/linux/audit.h.
const (
	TypeTrustedApp    = 1121 // AUDIT_TRUSTED_APP, sent by user space
	TypeSyscall       = 1300
	TypePath          = 1302
	TypeConfigChange  = 1305
	TypeCwd           = 1307
	TypeExecve        = 1309
	TypeEOE           = 1320
	TypeSeccomp       = 1326
	TypeProctitle     = 1327
	TypeBPF           = 1334
	TypeEventListener = 1335
	TypeUringop       = 1336
)

// A Record is one line of the audit log.
type Record struct {
	Type   uint16
	Serial uint32 // the event that it belongs to
	Stamp  string // seconds.milliseconds, the other half of an event's identity
	Text   string // what follows "audit(stamp:serial): "
	At     time.Time
}

// Event identifies the event of a record.
func (r Record) Event() string { return r.Stamp + ":" + strconv.FormatUint(uint64(r.Serial), 10) }

// Field returns the value of key= in a record, without quotes, and "" where there is none.
func (r Record) Field(key string) string {
	_, rest, ok := strings.Cut(" "+r.Text, " "+key+"=")
	if !ok {
		return ""
	}
	if quoted, ok := strings.CutPrefix(rest, `"`); ok {
		value, _, _ := strings.Cut(quoted, `"`)
		return value
	}
	value, _, _ := strings.Cut(rest, " ")
	return value
}

// parse makes a record of a datagram. The kernel's message length does not count the header (see the comment in
// kauditd_send_multicast_skb), so the length of the datagram is what counts.
func parse(b []byte) (Record, error) {
	if len(b) < unix.SizeofNlMsghdr {
		return Record{}, fmt.Errorf("audit message of %d bytes", len(b))
	}
	r := Record{Type: header(b).Type}
	text := string(bytes.TrimRight(b[unix.SizeofNlMsghdr:], "\x00\n"))
	// Replies to commands have other contents and no stamp.
	rest, ok := strings.CutPrefix(text, "audit(")
	if !ok {
		r.Text = text
		return r, nil
	}
	stamp, rest, ok1 := strings.Cut(rest, ":")
	serial, rest, ok2 := strings.Cut(rest, "):")
	n, err := strconv.ParseUint(serial, 10, 32)
	if !ok1 || !ok2 || err != nil {
		return Record{}, fmt.Errorf("audit record %.60q: no stamp and serial", text)
	}
	r.Stamp, r.Serial, r.Text = stamp, uint32(n), strings.TrimPrefix(rest, " ")
	return r, nil
}

// Events groups records by event, in the order of each event's first record.
func Events(records []Record) [][]Record {
	place := map[string]int{}
	var events [][]Record
	for _, r := range records {
		i, ok := place[r.Event()]
		if !ok {
			i = len(events)
			place[r.Event()] = i
			events = append(events, nil)
		}
		events[i] = append(events[i], r)
	}
	return events
}
