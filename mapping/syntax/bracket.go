package syntax

import (
	"slices"

	"remit/mapping/diag"
)

// bracket is an opening brace or bracket of a flow collection.
type bracket struct {
	pos    diag.Pos
	open   rune
	indent int // of the line it stands in
}

// brackets looks for braces and brackets of flow collections that do not
// match: the YAML parser tells such a fault where it stumbles, which is a line
// or more beyond. It is asked only of files that the parser refuses.
func (w *walker) brackets() bool {
	var open []bracket
	block := -1 // indent of a block scalar's key, -1 outside of one
	before := w.diags.Len()
	for i, line := range w.doc.lines {
		indent := 0
		for indent < len(line) && line[indent] == ' ' {
			indent++
		}
		if indent == len(line) || line[indent] == '#' {
			continue
		}
		if block >= 0 && indent > block {
			continue
		}
		block = -1
		if n := len(open); n > 0 && indent <= open[0].indent {
			// A flow collection goes on in deeper lines only.
			last := open[n-1]
			w.diags.Errorf(last.pos, "yaml-flow", "the %c is never closed", last.open)
			open = nil
		}
		open = w.scanLine(i, line, indent, open)
		if len(open) == 0 && blockScalar(line) {
			block = indent
		}
	}
	if n := len(open); n > 0 {
		w.diags.Errorf(open[n-1].pos, "yaml-flow", "the %c is never closed", open[n-1].open)
	}
	return w.diags.Len() > before
}

// scanLine follows the brackets of one line; what it returns stays open.
func (w *walker) scanLine(n int, line []rune, indent int, open []bracket) []bracket {
	start := true // a token may start here: brackets and quotes are YAML's own
	for i := indent; i < len(line); i++ {
		at := diag.Pos{File: w.doc.name, Line: n + 1, Column: i + 1}
		c := line[i]
		switch {
		case c == ' ':
			if i > 0 && (line[i-1] == ':' || line[i-1] == '-' && len(open) == 0) {
				start = true
			}
		case c == '#' && (i == 0 || line[i-1] == ' '):
			return open
		case start && (c == '\'' || c == '"'):
			end := closing(line, i)
			if end < 0 {
				return open // a quote over several lines: the parser tells
			}
			i, start = end, false
		case (c == '{' || c == '[') && (start || len(open) > 0):
			open, start = append(open, bracket{at, c, indent}), true
		case (c == '}' || c == ']') && len(open) > 0:
			last := open[len(open)-1]
			if c == '}' != (last.open == '{') {
				w.diags.Errorf(at, "yaml-flow", "found %c where the %c still waits for its end", c, last.open).WithRelated(last.pos, "opened at")
				return nil
			}
			open, start = open[:len(open)-1], false
		case c == ',' && len(open) > 0:
			start = true
		default:
			start = false
		}
	}
	return open
}

// closing finds the quote that ends the one at i, or -1.
func closing(line []rune, i int) int {
	quote := line[i]
	for j := i + 1; j < len(line); j++ {
		switch {
		case quote == '"' && line[j] == '\\':
			j++
		case line[j] == quote && quote == '\'' && j+1 < len(line) && line[j+1] == quote:
			j++
		case line[j] == quote:
			return j
		}
	}
	return -1
}

// blockScalar says that a line ends in the sign of a block scalar.
func blockScalar(line []rune) bool {
	for len(line) > 0 && (line[len(line)-1] == ' ' || slices.Contains([]rune("+-123456789"), line[len(line)-1])) {
		line = line[:len(line)-1]
	}
	n := len(line)
	return n > 1 && (line[n-1] == '|' || line[n-1] == '>') && line[n-2] == ' '
}
