// SPDX-License-Identifier: Apache-2.0

// Package mail makes a mail thread of a series, writes it as an mbox that git am reads back byte for byte, and reads
// such files.
//
// Messages are in the form of git format-patch, with these differences, each for a reason:
//
//   - The file is the same whether it is read as mboxo, mboxrd or without any unquoting (which is how git am reads it): a
//     body with a line that starts with "From ", with or without ">" before it, is sent quoted-printable with that line's
//     first letter encoded, as RFC 2049, section 3, recommends. Quoting by ">" is undone by some readers and not by
//     others.
//   - Message-Ids come from the content, so the same content has the same ids.
//   - The line that starts a message and the signature at its end do not depend on the machine.
//   - A commit message whose first lines look like mail headers gets an in-body From before them, so that git am does not
//     take them for its own.
package mail

import (
	netmail "net/mail"
	"time"

	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/results"
)

// DefaultSender is who a thread is from unless a person says so: nobody can be answered at this address.
var DefaultSender = netmail.Address{Name: "Series Rig", Address: "series@seriesrig.invalid"}

// Options says what to make a thread of. The zero value plus Series works for a series whose cover letter has no places
// for tables.
type Options struct {
	Series *patches.Series

	// Revision is the n of [PATCH vn]; 0 means the series' own.
	Revision int
	// From is who sends; the zero value means DefaultSender. A patch by somebody else gets an in-body From.
	From netmail.Address
	// Signoff, where not nil, is the person whose Signed-off-by goes at the end of each patch's trailers.
	Signoff *netmail.Address
	// Date is the cover letter's; each patch is a second later than the one before. The zero value means the date of the
	// latest patch, so that the thread is the same each time.
	Date time.Time

	// Run is the record that fills the places for tables. It has to be of exactly these patches.
	Run *results.Run
	// More are records that may fill a place as well, of the same patches on the same base: a table is that of the record
	// which fills most of it, and of the first of these where several do. No table is put together of two.
	More []*results.Run
	// AllowMissing writes "(not measured: NAME)" where there is no record or it has no such figures; without it that is
	// an error.
	AllowMissing bool
	// Base is what the patches apply to; the zero value means the record's base, or the series' spec where there is no
	// record either.
	Base results.Base
	// ReadBase returns a file of the base as it was before all patches. It is needed only for the percentage of a renamed
	// file that several patches change, and may be nil otherwise.
	ReadBase func(path string) ([]byte, error)
	// RangeDiff is what git range-diff says of the patches against those of revision RangeDiffOf; "" for none.
	RangeDiff   string
	RangeDiffOf int
	// Previous is the URL or the Message-Id of the thread of the previous revision.
	Previous string

	// Recipients are who gets which message, by its number; 0 is the cover letter's. nil means that everybody whom
	// series.toml names gets all of them.
	Recipients []Recipients

	// Version is the program's, for the signature; "" means that of the running program.
	Version string
}

// A Thread is a cover letter and its patches, or a single patch.
type Thread struct {
	Messages []*Message // in order; the cover letter first, where there is one
}

// A Message is one mail.
type Message struct {
	Number int // 0 for the cover letter, n for patch n
	Total  int // patches in the series

	From       netmail.Address
	To, Cc     []netmail.Address
	Subject    string // decoded, one line, with [PATCH n/m]
	Date       time.Time
	ID         string   // without angle brackets
	InReplyTo  string   // without angle brackets; "" for the first
	References []string // without angle brackets
	Body       string   // decoded, with LF

	// Line is where the message starts in the file it was read from; 0 for a rendered one.
	Line int
	// Raw is the message as it is on disk, without the "From " line before it.
	Raw []byte
}
