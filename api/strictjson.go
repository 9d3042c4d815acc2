package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"
)

// Limits of a JSON body. They bound the work of everything after them.
const (
	maxDepth = 16
	maxArray = 1000
)

// Rules a body can break, as codes for the caller.
var (
	errSyntax    = errors.New("syntax")
	errUTF8      = errors.New("utf8")
	errBOM       = errors.New("bom")
	errSurrogate = errors.New("surrogate")
	errControl   = errors.New("control_character")
	errDuplicate = errors.New("duplicate_member")
	errDepth     = errors.New("depth")
	errArray     = errors.New("array_length")
	errTrailing  = errors.New("trailing_data")
)

// checkJSON refuses what encoding/json would accept and read in its own way:
// members twice (also when spelled with escapes), invalid UTF-8, half
// surrogates, more after the value. It returns one of the errors above.
func checkJSON(body []byte) error {
	switch {
	case bytes.HasPrefix(body, []byte("\xef\xbb\xbf")):
		return errBOM
	case !utf8.Valid(body):
		return errUTF8
	}
	if err := checkEscapes(body); err != nil {
		return err
	}
	s := scan{dec: json.NewDecoder(bytes.NewReader(body))}
	s.dec.UseNumber()
	if err := s.value(0); err != nil {
		return err
	}
	if _, err := s.dec.Token(); !errors.Is(err, io.EOF) {
		return errTrailing
	}
	return nil
}

type scan struct{ dec *json.Decoder }

func (s *scan) value(depth int) error {
	token, err := s.dec.Token()
	if err != nil {
		return errSyntax
	}
	switch token := token.(type) {
	case string:
		return checkText(token)
	case json.Delim:
		if depth == maxDepth {
			return errDepth
		}
		if token == '{' {
			return s.object(depth + 1)
		}
		return s.array(depth + 1)
	}
	return nil
}

func (s *scan) object(depth int) error {
	seen := map[string]bool{}
	for s.dec.More() {
		token, err := s.dec.Token()
		name, ok := token.(string)
		switch {
		case err != nil || !ok:
			return errSyntax
		case seen[name]:
			return errDuplicate
		}
		seen[name] = true
		if err := checkText(name); err != nil {
			return err
		}
		if err := s.value(depth); err != nil {
			return err
		}
	}
	return s.end()
}

func (s *scan) array(depth int) error {
	for n := 0; s.dec.More(); n++ {
		if n == maxArray {
			return errArray
		}
		if err := s.value(depth); err != nil {
			return err
		}
	}
	return s.end()
}

func (s *scan) end() error {
	if _, err := s.dec.Token(); err != nil {
		return errSyntax
	}
	return nil
}

// checkText refuses control characters, which no field of ours needs and logs,
// terminals and comparisons trip over.
func checkText(s string) error {
	for _, r := range s {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			return errControl
		}
	}
	return nil
}

// checkEscapes refuses a \u escape that is half a surrogate pair: encoding/json
// would replace it, so two different texts would become one.
func checkEscapes(body []byte) error {
	for i := 0; i+1 < len(body); i++ {
		if body[i] != '\\' {
			continue
		}
		i++
		if body[i] != 'u' {
			continue
		}
		r, ok := hex4(body[i+1:])
		if !ok {
			return errSyntax
		}
		i += 4
		switch {
		case r >= 0xdc00 && r < 0xe000:
			return errSurrogate
		case r >= 0xd800 && r < 0xdc00:
			if i+2 >= len(body) || body[i+1] != '\\' || body[i+2] != 'u' {
				return errSurrogate
			}
			low, ok := hex4(body[i+3:])
			if !ok || low < 0xdc00 || low >= 0xe000 {
				return errSurrogate
			}
			i += 6
		}
	}
	return nil
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}
