package smtptest

import (
	"strings"
	"time"
)

// Script says what happens at a stage. A key is a stage, or a stage, a space and a
// mailbox, which goes first:
//
//	GREETING EHLO HELO STARTTLS HANDSHAKE AUTH MAIL RCPT DATA BODY DOT RSET NOOP QUIT
//
// The mailbox is the path in MAIL and RCPT; at DATA, BODY and DOT it is any accepted
// recipient. HANDSHAKE is when TLS would begin, BODY while the content is read.
//
// Each use of a key takes its next action, counted over all sessions of the server;
// the last one stays in force.
type Script map[string][]Action

// Action is what the server does instead of its ordinary answer. The zero Action
// is the ordinary answer. Members combine, in their order here.
type Action struct {
	Delay   time.Duration // wait before anything else
	After   int           // at BODY: octets of content to read first
	Answer  string        // reply lines, without the last CRLF
	Raw     string        // octets sent just as they are
	Endless bool          // Raw again and again, until the client leaves
	Stall   bool          // then say nothing more until the client leaves
	Close   bool          // then close the connection
	Reset   bool          // then close it with a TCP reset
}

// Pass is the ordinary answer.
func Pass() Action { return Action{} }

// Reply answers with a reply, as in Reply("550 5.1.1 no such user"). The server goes
// on as the reply's first digit says. Lines of a longer reply are separated by CRLF.
func Reply(answer string) Action { return Action{Answer: answer} }

// ReplyClose answers and closes the connection, as a server does after 421.
func ReplyClose(answer string) Action { return Action{Answer: answer, Close: true} }

// Close closes the connection without an answer.
func Close() Action { return Action{Close: true} }

// Reset closes the connection without an answer and with a TCP reset. At DOT the
// mail has been received, so that the client cannot know.
func Reset() Action { return Action{Reset: true} }

// Stall never answers.
func Stall() Action { return Action{Stall: true} }

// Delay answers as usual, but late.
func Delay(d time.Duration) Action { return Action{Delay: d} }

// Garbage sends octets as they are.
func Garbage(raw string) Action { return Action{Raw: raw} }

// Flood sends octets again and again until the client leaves.
func Flood(raw string) Action { return Action{Raw: raw, Endless: true} }

// ends reports whether the connection does not outlive the action.
func (a Action) ends() bool { return a.Endless || a.Stall || a.Close || a.Reset }

// Command is what Options.Handle is asked about.
type Command struct {
	Session int
	Stage   string   // as in Script
	Line    string   // the command as received; empty at stages that are none
	Path    string   // of MAIL and RCPT
	To      []string // accepted recipients so far
}

// action looks up what to do: the mailboxes' keys first, then the stage's, then Handle.
func (s *Server) action(c Command) Action {
	mailboxes := []string{c.Path}
	if c.Stage == "DATA" || c.Stage == "BODY" || c.Stage == "DOT" {
		mailboxes = c.To
	}
	for _, m := range mailboxes {
		if a, ok := s.scripted(c.Stage + " " + m); ok {
			return a
		}
	}
	if a, ok := s.scripted(c.Stage); ok {
		return a
	}
	if s.o.Handle != nil {
		return s.o.Handle(c)
	}
	return Action{}
}

func (s *Server) scripted(key string) (Action, bool) {
	actions := s.o.Script[key]
	if len(actions) == 0 {
		return Action{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.seen[key]
	s.seen[key]++
	return actions[min(n, len(actions)-1)], true
}

// crlf ends a reply.
func crlf(answer string) string { return strings.TrimSuffix(answer, "\r\n") + "\r\n" }
