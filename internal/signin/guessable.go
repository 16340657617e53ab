package signin

import (
	"slices"
	"strings"
	"unicode"
)

const (
	// least is how many things a password must be made of, at least: a common word, a
	// name, a year or a run of neighbours is one, as is each other character.
	least = 6
	// looked is how much of a password is looked at: the work grows with its cube.
	looked = 128
)

// guessable reports whether a password is among the first that are tried (NIST SP
// 800-63B, 3.1.1.2: commonly used or expected).
func guessable(name, password string) bool {
	text := []rune(strings.ToLower(password))
	text = text[:min(len(text), looked)]
	var letters []rune
	signs := make(map[rune]bool)
	for _, r := range text {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			letters = append(letters, r)
		} else {
			signs[r] = true
		}
	}
	words := expected(name)
	// Signs between all the letters of a word hide nothing.
	return min(things(text, words), len(signs)+things(letters, words)) < least
}

// expected are the words that count as one thing: common ones and the user's own name.
func expected(name string) [][]rune {
	name = strings.ToLower(name)
	parts := strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	words := slices.Concat([]string{name}, parts, strings.Fields(common))
	var all [][]rune
	for _, w := range words {
		if r := []rune(w); len(r) >= 3 {
			all = append(all, r)
		}
	}
	return all
}

// things is the least number of things that a text is made of.
func things(text []rune, words [][]rune) int {
	from := make([]int, len(text)+1) // what the rest from here on is made of
	for i := len(text) - 1; i >= 0; i-- {
		from[i] = 1 + from[i+1]
		take := func(n int) {
			if n >= 3 {
				from[i] = min(from[i], 1+from[i+n])
			}
		}
		for _, w := range words {
			if begins(text[i:], w) {
				take(len(w))
			}
		}
		// Any beginning of a run is one, too.
		for n := max(run(text[i:]), row(text[i:]), again(text, i)); n >= 3; n-- {
			take(n)
		}
		take(year(text[i:]))
	}
	return from[0]
}

// begins reports whether a text begins with a word, perhaps with digits and signs that
// look like its letters.
func begins(text, word []rune) bool {
	if len(text) < len(word) {
		return false
	}
	for i, w := range word {
		if text[i] != w && !strings.ContainsRune(looksLike(text[i]), w) {
			return false
		}
	}
	return true
}

func looksLike(r rune) string {
	switch r {
	case '0':
		return "o"
	case '1', '!', '|':
		return "il"
	case '3', '€':
		return "e"
	case '4', '@':
		return "a"
	case '5', '$':
		return "s"
	case '7', '+':
		return "t"
	case '8':
		return "b"
	}
	return ""
}

// run is how long a text goes on with the same, the next or the last character: aaa, 123, cba.
func run(text []rune) int {
	n := 1
	for n < len(text) && text[n]-text[n-1] == text[1]-text[0] && text[1]-text[0] >= -1 && text[1]-text[0] <= 1 {
		n++
	}
	return n
}

// row is how long a text goes along keys that are beside each other.
func row(text []rune) (longest int) {
	for keys := range strings.FieldsSeq(rows) {
		along := []rune(keys)
		for range 2 {
			for at := range along {
				n := 0
				for n < len(text) && at+n < len(along) && text[n] == along[at+n] {
					n++
				}
				longest = max(longest, n)
			}
			slices.Reverse(along)
		}
	}
	return longest
}

// again is how much of a text at i repeats what stands before.
func again(text []rune, i int) (longest int) {
	for at := range i {
		n := 0
		for i+n < len(text) && text[at+n] == text[i+n] {
			n++
		}
		longest = max(longest, n)
	}
	return longest
}

// year is the length of a year that a text begins with; 0: it does not.
func year(text []rune) int {
	if len(text) < 4 {
		return 0
	}
	if century := string(text[:2]); century != "19" && century != "20" || !unicode.IsDigit(text[2]) || !unicode.IsDigit(text[3]) {
		return 0
	}
	return 4
}

// rows are keys beside each other, along, down and to and fro, on QWERTY, QWERTZ and AZERTY.
const rows = `1234567890-= !@#$%^&*()_+ qwertyuiop[] asdfghjkl;' zxcvbnm,./ qwertzuiopü yxcvbnm azertyuiop qsdfghjklm wxcvbn
1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/ qazwsxedcrfvtgbyhnujmikolp !qaz@wsx#edc$rfv
1q2w3e4r5t6y7u8i9o0p q1w2e3r4t5y6u7i8o9p0 qawsedrftgyhujikolp`

// common are words that many passwords are made of, what this is called, and what it does.
const common = `postrider mail email smtp letter message messages sender webmail postmaster webmaster
password passwort kennwort passphrase passcode passwd motdepasse contrasena senha parola wachtwoord haslo pass word pwd
secret geheim private security secure safe letmein openup access enter login logon signin signup welcome willkommen bienvenue
changeme change default temporary temp test testing tester guest user username account root admin administrator master
operator manager owner superuser system server service network computer internet database mysql oracle redis docker linux
windows android apple google microsoft facebook amazon twitter instagram youtube samsung company office support sales info
hello hallo thisis thisismy what whatever nothing something iloveyou love loveme lovely baby angel princess prince queen
king sweet sunshine flower rainbow summer winter spring autumn sommer herbst january february march april may june july
august september october november december januar februar monday tuesday wednesday thursday friday saturday sunday
dragon monkey tiger lion eagle wolf dolphin panther turtle butterfly spider unicorn pony kitty puppy doggy
football fussball baseball basketball hockey soccer golf tennis liverpool arsenal chelsea barcelona juventus manchester
united yankees lakers cowboys steelers batman superman spiderman ironman pokemon naruto starwars matrix minecraft fortnite
mustang ferrari porsche harley corvette mercedes yamaha honda
charlie michael jordan michelle jennifer jessica ashley amanda daniel david thomas robert andrew joshua matthew nicole
george maggie buster ginger pepper cookie chocolate banana cheese coffee orange purple yellow silver golden diamond
shadow killer hunter ranger soldier ninja pirate freedom forever money lucky happy
london paris berlin america england canada trustno trustno1 fuckyou fuckoff asshole bitch shit
abcabc qwerty qwertz azerty correcthorsebatterystaple`
