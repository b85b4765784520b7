package jsonrow

import "iter"

// The functions of this file go through text that is known to be valid JSON.

// member is a member of an object: where its name, with quotes, and its value lie.
type member struct{ name, nameEnd, value, end int }

// members goes through the object that starts at text[start].
func members(text []byte, start int) iter.Seq[member] {
	return func(yield func(member) bool) {
		for i := space(text, start+1); text[i] != '}'; {
			if text[i] == ',' {
				i = space(text, i+1)
			}
			m := member{name: i, nameEnd: skip(text, i)}
			m.value = space(text, space(text, m.nameEnd)+1) // behind the colon
			m.end = skip(text, m.value)
			if !yield(m) {
				return
			}
			i = space(text, m.end)
		}
	}
}

// elements goes through the array that starts at text[start].
func elements(text []byte, start int) iter.Seq2[int, int] {
	return func(yield func(int, int) bool) {
		for i := space(text, start+1); text[i] != ']'; {
			if text[i] == ',' {
				i = space(text, i+1)
			}
			end := skip(text, i)
			if !yield(i, end) {
				return
			}
			i = space(text, end)
		}
	}
}

// space skips white space.
func space(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\n') {
		i++
	}
	return i
}

// skip returns the end of the value that starts at text[i].
func skip(text []byte, i int) int {
	depth := 0
	for i < len(text) {
		switch text[i] {
		case '"':
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
			i++
		case '{', '[':
			depth++
			i++
			continue
		case '}', ']':
			depth--
			i++
		case ' ', '\t', '\r', '\n', ',', ':':
			i++
			continue
		default: // a number, true, false or null
			for i < len(text) && !ends(text[i]) {
				i++
			}
		}
		if depth == 0 {
			return i
		}
	}
	return i
}

// ends says whether c ends a number or a word.
func ends(c byte) bool {
	switch c {
	case ' ', '\t', '\r', '\n', ',', ':', ']', '}':
		return true
	}
	return false
}
