package intake

import (
	"fmt"
	"slices"
	"strings"

	"postrider/internal/email"
)

// Calendar is a scheduling message as a caller wrote it.
type Calendar struct {
	Content, Filename string
	HasFilename       bool
}

// maxCalendar is how long a scheduling message may be, in octets.
const maxCalendar = 1 << 20

// calendar takes the scheduling message that the mail carries.
func (c *checker) calendar() {
	draft := c.draft.Calendar
	if draft == nil {
		return
	}
	const at = "#/calendar/content"
	if draft.HasFilename {
		c.calendarName(draft.Filename)
	}
	switch {
	case strings.TrimSpace(draft.Content) == "":
		c.faults.add(at, Required, "is required")
		return
	case len(draft.Content) > maxCalendar:
		c.faults.addf(at, TooLong, "has more than %d octets", maxCalendar)
		return
	}
	content := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(draft.Content)
	object, err := readCalendar(content)
	if err != nil {
		c.faults.add(at, InvalidFormat, err.Error())
		return
	}
	kind, why := faultOfCalendar(object)
	if why != "" {
		c.faults.add(at, InvalidFormat, why)
		return
	}
	c.content.Calendar = &email.Calendar{
		Method: methodOf(object), Component: kind, Filename: draft.Filename, Content: foldedCalendar(content),
	}
}

func (c *checker) calendarName(name string) {
	const at = "#/calendar/filename"
	if name != "" && extension(name) != "ics" {
		c.faults.add(at, InvalidFormat, "must end in .ics, by which calendar programs know it")
		return
	}
	c.filename(at, Attachment{Filename: name, HasFilename: true})
}

// methodOf is the method, which RFC 6047 2.4 wants in Content-Type, too.
func methodOf(object *component) string {
	if !object.has("METHOD") {
		return ""
	}
	return strings.ToUpper(strings.TrimSpace(object.properties["METHOD"][0]))
}

// faultOfCalendar says what is wrong with a scheduling message, as far as programs then
// show no invitation, or each another one. kind is the kind of its components.
func faultOfCalendar(object *component) (kind, why string) {
	// RFC 5545 3.6 and 3.7.
	for _, name := range []string{"VERSION", "PRODID", "METHOD"} {
		if !object.has(name) {
			return "", "must have one " + name
		}
	}
	if strings.TrimSpace(object.properties["VERSION"][0]) != "2.0" {
		return "", "has another VERSION than 2.0"
	}
	// RFC 5546 1.4.
	methods := []string{"PUBLISH", "REQUEST", "REPLY", "ADD", "CANCEL", "REFRESH", "COUNTER", "DECLINECOUNTER"}
	if !slices.Contains(methods, methodOf(object)) {
		return "", "has a METHOD that is not one of " + strings.Join(methods, ", ")
	}
	uid := ""
	for _, part := range object.children {
		if part.name == "VTIMEZONE" {
			continue
		}
		if kind == "" {
			kind, uid = part.name, first(part.properties["UID"])
		}
		if why := faultOfComponent(part, methodOf(object)); why != "" {
			return "", why
		}
		// RFC 5546 3.2: one object is about one event, all kinds of its occurrences alike.
		if part.name != kind || first(part.properties["UID"]) != uid && methodOf(object) != "PUBLISH" {
			return "", "has components of different kinds or UIDs: a scheduling message is about one"
		}
	}
	if kind == "" {
		return "", "has no VEVENT, VTODO, VJOURNAL or VFREEBUSY"
	}
	return kind, ""
}

// faultOfComponent: RFC 5546 3.2 to 3.5, what each method demands.
func faultOfComponent(part *component, method string) string {
	if !slices.Contains([]string{"VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY"}, part.name) {
		return "has a component that is not VEVENT, VTODO, VJOURNAL, VFREEBUSY or VTIMEZONE"
	}
	needed := []string{"UID", "DTSTAMP"}
	if method != "PUBLISH" { // there it is demanded, too, but nobody needs it or has it
		needed = append(needed, "ORGANIZER")
	}
	if part.name == "VEVENT" && slices.Contains([]string{"PUBLISH", "REQUEST", "ADD", "COUNTER"}, method) {
		needed = append(needed, "DTSTART")
	}
	for _, name := range needed {
		if !part.has(name) {
			return fmt.Sprintf("must have one %s in its %s", name, part.name)
		}
	}
	if slices.Contains([]string{"REQUEST", "REPLY", "REFRESH", "COUNTER"}, method) && len(part.properties["ATTENDEE"]) == 0 {
		return fmt.Sprintf("must have an ATTENDEE in its %s, for METHOD:%s", part.name, method)
	}
	return ""
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
