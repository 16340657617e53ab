package store

import (
	"strings"

	"postrider/internal/email"
)

func impliedMessageID(m *email.Message) string {
	_, domain, _ := strings.Cut(m.From.Email, "@")
	return "<" + m.ID + "@" + domain + ">"
}

// noFeedback stands for a message without a Feedback-ID.
const noFeedback = "-"

// feedbackWord is a Feedback-ID as it is stored: that of nearly every message takes no
// room, as it follows from the rest.
func feedbackWord(m *email.Message) string {
	switch m.FeedbackID {
	case m.FeedbackOf(email.DefaultFeedbackSender):
		return ""
	case "":
		return noFeedback
	}
	return m.FeedbackID
}

func feedbackOf(m *email.Message, word string) string {
	switch word {
	case "":
		return m.FeedbackOf(email.DefaultFeedbackSender)
	case noFeedback:
		return ""
	}
	return word
}
