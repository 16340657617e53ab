package intake

import (
	"encoding/base64"
	"fmt"
	"mime"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"postrider/internal/email"
)

var (
	// RFC 6838 4.2: the names of a type and a subtype.
	mediaType = regexp.MustCompile(`^[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}$`)
	// RFC 2392 and RFC 5322 3.6.4, without quoting; the part from the @ on is optional, as in practice.
	contentID = regexp.MustCompile(`^[A-Za-z0-9_+=-]+(\.[A-Za-z0-9_+=-]+)*(@[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*)?$`)
)

// base64Line is how much base64 stands on a line (RFC 2045 6.8), before its CRLF.
const base64Line = 76

func (c *checker) attachments() {
	ids := make(map[string]bool)
	for i, a := range bounded(c, "#/attachments", c.draft.Attachments, c.desk.options.Limits.Attachments) {
		at := Pointer("attachments", strconv.Itoa(i))
		c.filename(at+"/filename", a)
		c.fileContent(at+"/content", a)
		file := email.Attachment{Filename: a.Filename, ContentID: a.ContentID, ContentType: contentType(a.Filename)}
		switch {
		case len(a.ContentType) > maxContentType:
			c.faults.addf(at+"/content_type", TooLong, "has more than %d characters", maxContentType)
		case a.ContentType != "":
			var why string
			if file.ContentType, why = parseContentType(a.ContentType); why != "" {
				c.faults.add(at+"/content_type", InvalidFormat, why)
			}
		}
		c.contentID(at+"/content_id", a.ContentID, ids)
		c.content.Attachments = append(c.content.Attachments, file)
	}
}

// filename refuses what is no name of a file. Directories are not cut off silently:
// the caller would find the file under another name than he gave.
func (c *checker) filename(at string, a Attachment) {
	switch name := a.Filename; {
	case !a.HasFilename || name == "":
		c.faults.add(at, Required, "is required")
	case utf8.RuneCountInString(name) > maxFilename:
		c.faults.addf(at, TooLong, "has more than %d characters", maxFilename)
	case len(name) > maxFilenameBytes:
		c.faults.addf(at, TooLong, "has more than %d octets", maxFilenameBytes)
	case faultOfLine(name, true) != "":
		c.faults.add(at, InvalidFormat, faultOfLine(name, true))
	case strings.ContainsAny(name, `/\`) || strings.Trim(name, ". ") == "":
		c.faults.add(at, InvalidFormat, "must be the name of a file, without directories")
	case slices.Contains(c.desk.options.Limits.ForbiddenExtensions, extension(name)):
		c.faults.add(at, AttachmentTypeForbidden, "has the extension of a program or script, which mailbox providers refuse")
	}
}

func (c *checker) contentID(at, id string, taken map[string]bool) {
	switch {
	case id == "":
	case len(id) > maxContentID:
		c.faults.addf(at, TooLong, "has more than %d characters", maxContentID)
	case !contentID.MatchString(id):
		c.faults.add(at, InvalidFormat, "must be letters, digits and _ + = - with single dots, and perhaps an @ and a domain; no angle brackets")
	case taken[id]:
		c.faults.add(at, MutuallyExclusive, "is the content_id of an earlier attachment")
	default:
		taken[id] = true
	}
}

// fileContent looks at the alphabet and the size, and leaves decoding for when all
// else is known to be right.
func (c *checker) fileContent(at string, a Attachment) {
	if !a.HasContent {
		c.faults.add(at, Required, "is required")
		c.files = append(c.files, nil)
		return
	}
	if strings.HasPrefix(a.Content, "data:") {
		c.faults.add(at, InvalidBase64, "is a data: URL; give what follows its comma")
		c.files = append(c.files, nil)
		return
	}
	digits, ok := base64Digits(a.Content)
	if !ok {
		c.faults.add(at, InvalidBase64, "is not base64 of RFC 4648, in its standard or its URL alphabet")
	}
	c.files = append(c.files, digits)
	octets := int64((len(digits) + 3) / 4 * 4)
	c.encoded += octets + (octets+base64Line-1)/base64Line*int64(len("\r\n"))
}

// base64Digits brings base64 into the standard alphabet, without whitespace and
// padding, and reports whether it decodes. Padding may be left out altogether.
func base64Digits(s string) (digits []byte, ok bool) {
	digits = make([]byte, 0, len(s))
	var padding int
	var standard, url bool
	for i := range len(s) {
		switch b := s[i]; {
		case b == ' ' || b == '\t' || b == '\r' || b == '\n':
			continue
		case b == '=':
			padding++
			continue
		case padding > 0:
			return nil, false
		case isAlphanumeric(b):
			digits = append(digits, b)
		case b == '+' || b == '/':
			standard, digits = true, append(digits, b)
		case b == '-':
			url, digits = true, append(digits, '+')
		case b == '_':
			url, digits = true, append(digits, '/')
		default:
			return nil, false
		}
	}
	if standard && url || len(digits)%4 == 1 || padding > 0 && (len(digits)+padding)%4 != 0 || padding > 2 {
		return nil, false
	}
	// RFC 4648 3.5: the bits that the last digit has too many must be zero.
	var last [3]byte
	_, err := base64.RawStdEncoding.Strict().Decode(last[:], digits[len(digits)/4*4:])
	return digits, err == nil
}

// decodeAttachments fills in the contents, which fileContent has found right.
func (c *checker) decodeAttachments() error {
	for i, digits := range c.files {
		decoded := make([]byte, base64.RawStdEncoding.DecodedLen(len(digits)))
		if _, err := base64.RawStdEncoding.Decode(decoded, digits); err != nil {
			return fmt.Errorf("decode attachment %d: %w", i, err)
		}
		c.content.Attachments[i].Content = decoded
	}
	c.files = nil
	return nil
}

// parseContentType normalises a content type, or says what is wrong with it.
func parseContentType(s string) (normal, why string) {
	if why := faultOfLine(s, true); why != "" {
		return "", why
	}
	kind, parameters, err := mime.ParseMediaType(s)
	if err != nil || !mediaType.MatchString(kind) {
		return "", "is not a media type, such as application/pdf"
	}
	// RFC 2045 6.4: neither may be in base64, as all attachments are.
	if strings.HasPrefix(kind, "multipart/") || strings.HasPrefix(kind, "message/") {
		return "", "is a type that cannot be attached in base64; use application/octet-stream"
	}
	// An old twin of filename, which is made from the member of that name.
	delete(parameters, "name")
	normal = mime.FormatMediaType(kind, parameters)
	if normal == "" {
		return "", "has a parameter that cannot be written"
	}
	return normal, ""
}

// extension is the last extension as file systems may come to read it: in lower
// case and narrow letters, without what cannot be seen, without the dots, spaces and
// separators at its end, which Windows and some mail programs drop, and without what
// follows a colon (a stream of the file) or a semicolon (its version).
func extension(filename string) string {
	name := strings.Map(func(r rune) rune {
		if r != ' ' && email.IsBlank(r) {
			return -1
		}
		if r >= '\uff01' && r <= '\uff5e' { // the wide forms of ASCII
			r += '!' - '\uff01'
		}
		return unicode.ToLower(r)
	}, filename)
	const dropped = ". ;:,\"'"
	name = strings.TrimRight(name, dropped)
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return ""
	}
	last := name[dot+1:]
	if i := strings.IndexAny(last, ":;"); i >= 0 {
		last = last[:i]
	}
	return strings.TrimRight(last, dropped)
}

// contentType tells the type by the extension. A table of our own: that of the
// machine differs from one to the next. An .eml is not message/rfc822 here, see
// parseContentType.
func contentType(filename string) string {
	switch extension(filename) {
	case "pdf":
		return "application/pdf"
	case "png", "gif", "webp", "bmp", "avif", "heic":
		return "image/" + extension(filename)
	case "jpg", "jpeg":
		return "image/jpeg"
	case "svg":
		return "image/svg+xml"
	case "tif", "tiff":
		return "image/tiff"
	case "ico":
		return "image/vnd.microsoft.icon"
	case "txt", "log":
		return "text/plain; charset=utf-8"
	case "csv":
		return "text/csv; charset=utf-8"
	case "htm", "html":
		return "text/html; charset=utf-8"
	case "md":
		return "text/markdown; charset=utf-8"
	case "css":
		return "text/css; charset=utf-8"
	case "ics":
		return "text/calendar; charset=utf-8"
	case "vcf":
		return "text/vcard; charset=utf-8"
	case "json", "xml", "zip", "rtf":
		return "application/" + extension(filename)
	case "gz", "tgz":
		return "application/gzip"
	case "7z":
		return "application/x-7z-compressed"
	case "tar":
		return "application/x-tar"
	case "doc":
		return "application/msword"
	case "xls":
		return "application/vnd.ms-excel"
	case "ppt":
		return "application/vnd.ms-powerpoint"
	}
	return moreContentType(extension(filename))
}

func moreContentType(extension string) string {
	switch extension {
	case "docx":
		return "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	case "xlsx":
		return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	case "pptx":
		return "application/vnd.openxmlformats-officedocument.presentationml.presentation"
	case "odt":
		return "application/vnd.oasis.opendocument.text"
	case "ods":
		return "application/vnd.oasis.opendocument.spreadsheet"
	case "odp":
		return "application/vnd.oasis.opendocument.presentation"
	case "epub":
		return "application/epub+zip"
	case "p7s":
		return "application/pkcs7-signature"
	case "pkpass":
		return "application/vnd.apple.pkpass"
	case "mp3":
		return "audio/mpeg"
	case "wav", "ogg", "flac", "aac":
		return "audio/" + extension
	case "m4a":
		return "audio/mp4"
	case "mp4", "webm", "mpeg":
		return "video/" + extension
	case "mov":
		return "video/quicktime"
	case "woff", "woff2", "ttf", "otf":
		return "font/" + extension
	}
	return "application/octet-stream"
}
