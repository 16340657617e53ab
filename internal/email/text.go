package email

import "unicode"

// IsBidiControl reports whether r changes the direction of the text after it
// (U+202A to U+202E, U+2066 to U+2069), by which names can be made to look like others.
func IsBidiControl(r rune) bool {
	return r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
}

// IsBlank reports whether r leaves no mark where it is shown: white space, controls,
// format characters such as the zero width space, and fillers.
func IsBlank(r rune) bool {
	switch r {
	// The combining grapheme joiner, the Hangul fillers, the empty Braille pattern.
	case '\u034f', '\u115f', '\u1160', '\u17b4', '\u17b5', '\u3164', '\uffa0', '\u2800':
		return true
	}
	return unicode.IsSpace(r) || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Z, unicode.Variation_Selector)
}
