// SPDX-License-Identifier: Apache-2.0

package send

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	netmail "net/mail"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seriesrig/series/internal/flock"
)

// A State is what is known of a message.
type State string

// The states. A message is unknown between its last byte and the server's answer to it.
const (
	Waiting State = ""        // it has not been sent
	Unknown State = "unknown" // its end was sent, and no answer came: it may have been taken or not
	Sent    State = "sent"    // the server took it
)

// A Journal says how far a thread has got. It is a file of lines, each of which is on disk before what it announces is
// done, and stays locked while it is open.
//
//	{"thread":"ID","messages":[{"id":"…","hash":"sha256:…","rcpt":["…"]}],"time":"…"}
//	{"message":1,"event":"end","server":"mail.example.org:587","time":"…"}
//	{"message":1,"event":"sent","reply":"250 2.0.0 …","time":"…"}
type Journal struct {
	Dir string
	// States are the messages' states, the first message's first.
	States []State
	// Entries are what the journal says.
	Entries []Entry

	messages []*Message
	begun    bool // something of it may have gone out
	file     *os.File
	lock     *flock.Lock
}

// An Entry is a line of the journal, after the first.
type Entry struct {
	Message int       `json:"message"` // 1 is the first
	Event   string    `json:"event"`   // see the constants
	Server  string    `json:"server,omitempty"`
	Reply   string    `json:"reply,omitempty"` // the server's, or what went wrong
	Time    time.Time `json:"time"`
}

// What an entry may say.
const (
	eventEnd    = "end"          // the end of the message is about to be sent
	eventSent   = "sent"         // the server took it
	eventNot    = "refused"      // the server did not take it
	eventAssume = "assumed-sent" // a person says that it arrived
	eventResend = "resend"       // a person says that it is to be sent again
)

type journalHead struct {
	Thread   string          `json:"thread"`
	Messages []journalFrozen `json:"messages"`
	Time     time.Time       `json:"time"`
}

type journalFrozen struct {
	ID   string   `json:"id"`
	Hash string   `json:"hash"`
	Rcpt []string `json:"rcpt"`
}

// maxJournal bounds what is read of a journal, in bytes.
const maxJournal = 64 << 20

// OpenJournal opens the journal of a thread below dir, or begins one. The thread has to be the one that the journal was
// begun with, message by message. kind keeps journals of one thread apart: "" for the thread itself.
func OpenJournal(dir, kind string, messages []*Message) (*Journal, error) {
	if len(messages) == 0 {
		return nil, errors.New("open journal: there is no message")
	}
	j := &Journal{Dir: journalDir(dir, kind, messages), States: make([]State, len(messages))}
	for _, m := range messages {
		own := *m // which gets the date of a thread that was begun
		j.messages = append(j.messages, &own)
	}
	if err := os.MkdirAll(j.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	var err error
	if j.lock, err = flock.Try(filepath.Join(j.Dir, "lock")); err != nil {
		if errors.Is(err, flock.ErrBusy) {
			return nil, fmt.Errorf("open journal %s: this thread is being sent by another process", j.Dir)
		}
		return nil, fmt.Errorf("open journal: %w", err)
	}
	if err := j.open(); err != nil {
		j.Close()
		return nil, err
	}
	return j, nil
}

// Messages returns the thread as it goes out: what was begun has the dates that it was begun with.
func (j *Journal) Messages() []*Message { return j.messages }

func journalDir(dir, kind string, messages []*Message) string {
	return filepath.Join(dir, fmt.Sprintf("%x", sha256.Sum256([]byte(messages[0].ID+"\n"+kind)))[:24])
}

// Peek returns the states of a thread's messages and begins nothing.
func Peek(dir, kind string, messages []*Message) ([]State, error) {
	if len(messages) > 0 {
		if _, err := os.Stat(journalDir(dir, kind, messages)); err == nil {
			j, err := OpenJournal(dir, kind, messages)
			if err != nil {
				return nil, err
			}
			return j.States, j.Close()
		}
	}
	return make([]State, len(messages)), nil
}

// Close gives the journal back.
func (j *Journal) Close() error {
	var err error
	if j.file != nil {
		err = j.file.Close()
	}
	j.lock.Release()
	return err
}

func (j *Journal) open() error {
	path := filepath.Join(j.Dir, "journal.jsonl")
	data, err := os.ReadFile(path)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("open journal: %w", err)
	case len(data) > maxJournal:
		return fmt.Errorf("open journal %s: larger than %d MiB", path, maxJournal>>20)
	}
	// A line without an end was being written when the program died: what it announces was not done.
	whole := data[:bytes.LastIndexByte(data, '\n')+1]
	if j.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	if err := j.file.Truncate(int64(len(whole))); err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	if _, err := j.file.Seek(int64(len(whole)), 0); err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	if len(whole) == 0 {
		return j.begin()
	}
	j.begun = bytes.Count(whole, []byte("\n")) > 1
	err = j.read(path, whole)
	if !j.begun && (err == nil || errors.As(err, new(*ChangedError))) {
		// Nothing of it has been sent, so there is nothing that the thread, or its date, has to be the same as.
		if _, err := j.file.Seek(0, 0); err != nil {
			return fmt.Errorf("open journal: %w", err)
		}
		if err := j.file.Truncate(0); err != nil {
			return fmt.Errorf("open journal: %w", err)
		}
		return j.begin()
	}
	return err
}

// begin writes the first line, and the frozen messages beside it.
func (j *Journal) begin() error {
	head := journalHead{Thread: j.messages[0].ID, Time: now()}
	for _, m := range j.messages {
		head.Messages = append(head.Messages, journalFrozen{m.ID, m.Hash(), m.Rcpt})
		if err := writeSynced(filepath.Join(j.Dir, fmt.Sprintf("%04d.eml", m.Number)), m.Raw); err != nil {
			return fmt.Errorf("write journal: %w", err)
		}
	}
	if err := j.write(head); err != nil {
		return err
	}
	for _, dir := range []string{j.Dir, filepath.Dir(j.Dir)} {
		if err := syncDir(dir); err != nil {
			return fmt.Errorf("write journal: %w", err)
		}
	}
	return nil
}

// read takes the states from a journal's lines, and compares the thread.
func (j *Journal) read(path string, data []byte) error {
	number := 0
	for line := range bytes.Lines(data) {
		number++
		bad := func(err error) error { return fmt.Errorf("%s:%d: not a journal: %w", path, number, err) }
		if number == 1 {
			var head journalHead
			if err := json.Unmarshal(line, &head); err != nil {
				return bad(err)
			}
			if err := j.same(head); err != nil {
				return fmt.Errorf("journal %s: %w", j.Dir, err)
			}
			continue
		}
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return bad(err)
		}
		if e.Message < 1 || e.Message > len(j.messages) {
			return bad(fmt.Errorf("no message %d", e.Message))
		}
		state, err := j.next(e)
		if err != nil {
			return bad(err)
		}
		j.States[e.Message-1] = state
		j.Entries = append(j.Entries, e)
	}
	return nil
}

func (j *Journal) next(e Entry) (State, error) {
	switch e.Event {
	case eventEnd:
		return Unknown, nil
	case eventSent, eventAssume:
		return Sent, nil
	case eventNot, eventResend:
		return Waiting, nil
	}
	return "", fmt.Errorf("unknown event %q", e.Event)
}

// A ChangedError says that a thread was begun with other messages.
type ChangedError struct{ Msg string }

func (e *ChangedError) Error() string { return e.Msg }

func (j *Journal) same(head journalHead) error {
	const how = "; what was begun has to be ended as it was, or to go out as a new thread"
	if len(head.Messages) != len(j.messages) {
		return &ChangedError{fmt.Sprintf("the thread was begun with %d messages and has %d now", len(head.Messages), len(j.messages)) + how}
	}
	for i, m := range j.messages {
		if j.begun {
			j.keepDate(m)
		}
		if h := head.Messages[i]; h.ID != m.ID || h.Hash != m.Hash() {
			return &ChangedError{fmt.Sprintf("message %d, or who gets it, is not what the thread was begun with (see %04d.eml there)", i+1, i+1) + how}
		}
	}
	return nil
}

// keepDate gives a message the date that it was frozen with: what goes out today of a thread that was begun yesterday is of
// yesterday. A file that cannot be read, or is another message's, is found by the hash.
func (j *Journal) keepDate(m *Message) {
	frozen, err := os.ReadFile(filepath.Join(j.Dir, fmt.Sprintf("%04d.eml", m.Number)))
	if err != nil {
		return
	}
	field, _ := dateField(frozen)
	if _, err := netmail.ParseDate(strings.TrimSpace(strings.TrimPrefix(field, "Date:"))); err != nil {
		return
	}
	raw := redate(m.Raw, field)
	if data, err := wire(raw); err == nil {
		m.Raw, m.Data = raw, data
	}
}

// add writes an entry, which is on disk when add returns.
func (j *Journal) add(e Entry) error {
	e.Time = now()
	state, err := j.next(e)
	if err != nil {
		return err
	}
	if err := j.write(e); err != nil {
		return err
	}
	j.Entries = append(j.Entries, e)
	j.States[e.Message-1] = state
	return nil
}

// Resolve decides about the messages of which nothing is known: they count as sent, or are to be sent again.
func (j *Journal) Resolve(sent bool) error {
	event := eventResend
	if sent {
		event = eventAssume
	}
	for i, s := range j.States {
		if s == Unknown {
			if err := j.add(Entry{Message: i + 1, Event: event}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Count returns how many messages are in a state.
func (j *Journal) Count(s State) int {
	n := 0
	for _, have := range j.States {
		if have == s {
			n++
		}
	}
	return n
}

// Begun tells whether the end of any message was ever sent.
func (j *Journal) Begun() bool { return len(j.Entries) > 0 }

func (j *Journal) write(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

func writeSynced(path string, data []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
