package xlcfg

// maxDepth bounds how deep lists can be nested; xl.cfg needs two levels.
const maxDepth = 64

// Parse reads a configuration as xl does. file is only for errors, which are
// *SyntaxError. Three things that xl lets pass are errors here: octal escapes,
// which it loses, a stray last byte, which it overlooks, and lists nested
// deeper than 64 levels. Where xl counts a line too few (an error that it finds
// at the end of a line), Line is the right one.
func Parse(file, text string) (Config, error) {
	p := &parser{lexer: lexer{file: file, rest: text, line: 1}}
	if err := p.advance(); err != nil {
		return nil, err
	}
	var c Config
	for p.t.kind != end {
		if p.t.kind == newline || p.is(";") {
			if err := p.advance(); err != nil {
				return nil, err
			}
			continue
		}
		a, err := p.assignment()
		if err != nil {
			return nil, err
		}
		if !c.accepts(a) {
			return nil, &SyntaxError{File: file, Line: a.Line, Near: a.Key, Msg: `can't add [list] to "string" or vice versa`}
		}
		c = append(c, a)
		if p.t.kind != end && p.t.kind != newline && !p.is(";") {
			return nil, p.unexpected()
		}
	}
	return c, nil
}

// accepts reports whether a, if it is a +=, adds like to like.
func (c Config) accepts(a Assignment) bool {
	if !a.Add {
		return true
	}
	before, ok := c.Get(a.Key)
	return !ok || before.IsList == a.Value.IsList
}

// parser has read one token ahead.
type parser struct {
	lexer
	t token
}

func (p *parser) advance() (err error) {
	p.t, err = p.next()
	return err
}

func (p *parser) is(mark string) bool { return p.t.kind == punct && p.t.raw == mark }

func (p *parser) unexpected() error {
	return &SyntaxError{File: p.file, Line: p.t.line, Near: p.t.raw, Msg: "syntax error"}
}

func (p *parser) assignment() (a Assignment, err error) {
	if p.t.kind != ident {
		return a, p.unexpected()
	}
	a.Key = p.t.value
	if err := p.advance(); err != nil {
		return a, err
	}
	if a.Add = p.is("+="); !a.Add && !p.is("=") {
		return a, p.unexpected()
	}
	if err := p.advance(); err != nil {
		return a, err
	}
	a.Line = p.t.line
	a.Value, err = p.value(0)
	return a, err
}

func (p *parser) value(depth int) (v Value, err error) {
	switch {
	case p.t.kind == text || p.t.kind == number:
		v = String(p.t.value)
		return v, p.advance()
	case p.is("[") && depth == maxDepth:
		return v, p.fail("[", "lists are nested too deep")
	case p.is("["):
		return p.list(depth + 1)
	}
	return v, p.unexpected()
}

// list reads [ value, value, ... ]; the last comma may be there or not, and
// newlines stand between everything.
func (p *parser) list(depth int) (v Value, err error) {
	v = List()
	if err := p.skip(); err != nil { // the bracket
		return v, err
	}
	for !p.is("]") {
		item, err := p.value(depth)
		if err != nil {
			return v, err
		}
		v.List = append(v.List, item)
		for p.t.kind == newline {
			if err := p.advance(); err != nil {
				return v, err
			}
		}
		if !p.is(",") {
			break
		}
		if err := p.skip(); err != nil {
			return v, err
		}
	}
	if !p.is("]") {
		return v, p.unexpected()
	}
	return v, p.advance()
}

// skip passes this token and the newlines after it.
func (p *parser) skip() error {
	for {
		if err := p.advance(); err != nil || p.t.kind != newline {
			return err
		}
	}
}
