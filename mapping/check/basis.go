package check

import (
	"cmp"
	"slices"
	"strings"

	"remit/mapping/diag"
	"remit/profiles"
	"remit/profiles/r4"
	"remit/sql/source"
)

// basis asks that a non-financial view shows no money. One mapping with a Basis
// profile makes a view non-financial for all of them. The Basis profiles "have no
// requirements for financial data" and forbid none: they leave the financial
// elements to those derived from them. That they stay out is checked here.
func (c *checker) basis() {
	nonFinancial := map[string]bool{}
	for _, m := range c.set.Mappings {
		for _, v := range m.Views {
			if slices.ContainsFunc(v.Profiles, func(p *profiles.Profile) bool { return strings.HasSuffix(p.Name, "-Basis") }) {
				nonFinancial[v.View] = true
			}
		}
	}
	if len(nonFinancial) == 0 {
		return
	}
	plain := c.plainAmounts()
	for _, m := range c.set.Mappings {
		for _, v := range m.Views {
			v.NonFinancial = nonFinancial[v.View]
			if !v.NonFinancial {
				continue
			}
			tell := func(n *Node) *diag.Diagnostic {
				_, path, _ := strings.Cut(n.Path, ".")
				return c.diags.Errorf(n.Pos, "amount-in-basis", "view %q is non-financial and still writes %s", v.View, n.Path).WithHint("drop %s in the view", path)
			}
			at := m.Pos
			if v.Declared() {
				at = v.viewPos
			}
			for _, n := range financial(v.Root) {
				_ = tell(n).WithRelated(at, "the view at")
			}
			plain.find(v.Root, func(n *Node, amount diag.Pos) {
				d := tell(n)
				if amount.IsValid() {
					d = d.WithRelated(amount, "the same column is an amount at")
				}
				_ = d.WithRelated(at, "the view at")
			})
		}
	}
}

// financialRoots are elements of claims and coverages that are about money
// whatever they hold: what was paid, when and how, and what the member owes.
var financialRoots = []string{"payment", "benefitBalance", "total", "costToBeneficiary"}

// isFinancial says that a node at a depth below the resource is about money by
// its type or its place.
func isFinancial(n *Node, depth int) bool {
	return n.Type != nil && n.Type.Name() == "Money" || depth == 1 && n.Element != nil && slices.Contains(financialRoots, n.Element.Base())
}

// financial lists the topmost nodes that show money: amounts, and all of the
// elements that are about payment.
func financial(root *Node) []*Node {
	var out []*Node
	var look func(n *Node, depth int)
	look = func(n *Node, depth int) {
		if n == nil {
			return
		}
		if isFinancial(n, depth) {
			out = append(out, n)
			return
		}
		below := depth + 1
		if n.Kind == First {
			below = depth
		}
		for _, c := range n.Children {
			look(c, below)
		}
		look(n.Assumed, depth)
	}
	look(root, 0)
	return out
}

// Where money is called by name: the categories of an adjudication that are
// amounts, and the code system of currencies.
const (
	amountCategories = "http://hl7.org/fhir/us/carin-bb/ValueSet/C4BBAdjudication"
	currencySystem   = "urn:iso:std:iso:4217"
)

// amounts knows money that is not of type Money: numbers and texts of columns
// that are an amount elsewhere in the set, quantities of a currency, and values
// of an adjudication whose category is one of amounts.
type amounts struct {
	columns    map[amountColumn]diag.Pos // where it is an amount
	categories map[string]bool
}

type amountColumn struct{ source, column string }

// plainAmounts gathers what every mapping of the set says about its amounts.
func (c *checker) plainAmounts() *amounts {
	a := &amounts{columns: map[amountColumn]diag.Pos{}, categories: map[string]bool{}}
	codes, _ := c.env.Profiles.Codes(amountCategories)
	for _, code := range codes {
		a.categories[code.Code] = true
	}
	var look func(n *Node, money bool)
	look = func(n *Node, money bool) {
		if n == nil {
			return
		}
		money = money || n.Type != nil && n.Type.Name() == "Money"
		if money {
			for _, e := range valueExprs(n) {
				for _, column := range amountColumns(e) {
					key := amountColumn{e.Source.Name, column}
					if _, ok := a.columns[key]; !ok {
						a.columns[key] = n.Pos
					}
				}
			}
		}
		for _, child := range n.Children {
			look(child, money)
		}
	}
	for _, m := range c.set.Mappings {
		look(m.Root, false)
	}
	return a
}

// valueExprs are the expressions of which a node's own content is made.
func valueExprs(n *Node) []*Expr {
	if n.Kind != Primitive || n.Value == nil || n.Value.Expr == nil {
		return nil
	}
	return []*Expr{n.Value.Expr}
}

// amountColumns are the columns that an amount is made of: the one that it is,
// or the decimals that an expression reckons with. What only decides about an
// amount, a code or a date, is none.
func amountColumns(e *Expr) []string {
	if e.Column != "" {
		return []string{strings.ToLower(e.Column)}
	}
	var out []string
	for _, name := range columnsRead(e) {
		if col := findColumn(e.Source.Columns, name); col != nil && (col.Type.Kind == source.KindDecimal || col.Type.Kind == source.KindFloat) {
			out = append(out, name)
		}
	}
	return out
}

// columnsRead are the columns of its source that an expression names, in lower
// case.
func columnsRead(e *Expr) []string {
	if e.Column != "" {
		return []string{strings.ToLower(e.Column)}
	}
	var out []string
	tokens, _ := scanSQL(e.SQL)
	for _, t := range tokens {
		if (t.kind == tokenName || t.kind == tokenQuoted) && findColumn(e.Source.Columns, t.text) != nil {
			out = append(out, strings.ToLower(t.text))
		}
	}
	return out
}

// shows are the types that can show an amount; a code, a date or a switch that
// depends on one does not.
var shows = []string{"decimal", "integer", "positiveInt", "unsignedInt", "string", "markdown"}

// find tells the nodes that show an amount under another type, and where the
// amount is one by type; not below what is financial already.
func (a *amounts) find(root *Node, tell func(n *Node, amount diag.Pos)) {
	var look func(n *Node, depth int)
	look = func(n *Node, depth int) {
		if n == nil || isFinancial(n, depth) {
			return
		}
		if n.Kind == Primitive && n.Type != nil && slices.Contains(shows, n.Type.Name()) {
			for _, e := range valueExprs(n) {
				for _, column := range columnsRead(e) {
					if at, ok := a.columns[amountColumn{e.Source.Name, column}]; ok {
						tell(n, at)
						return
					}
				}
			}
		}
		if n.Kind == Group && (a.currency(n) || a.adjudicated(n)) {
			if value := childNamed(n, "value"); value != nil {
				tell(value, diag.Pos{})
				return
			}
		}
		below := depth + 1
		if n.Kind == First {
			below = depth
		}
		for _, c := range n.Children {
			look(c, below)
		}
		look(n.Assumed, depth)
	}
	look(root, 0)
}

// currency says that a quantity counts money.
func (a *amounts) currency(n *Node) bool {
	if n.Type == nil || !slices.Contains([]string{"Quantity", "SimpleQuantity"}, n.Type.Name()) {
		return false
	}
	value := childNamed(n, "value")
	if value == nil {
		return false
	}
	if text, ok := constantChild(n, "system"); ok && text == currencySystem {
		return true
	}
	of := ""
	for _, e := range valueExprs(value) {
		of = e.Source.Currency
	}
	for _, name := range []string{"code", "unit"} {
		if text, ok := constantChild(n, name); ok && strings.EqualFold(text, cmp.Or(of, "USD")) {
			return true
		}
	}
	return false
}

// adjudicated says that an adjudication has a category of amounts.
func (a *amounts) adjudicated(n *Node) bool {
	if n.Element == nil || n.Element.Base() != "adjudication" {
		return false
	}
	found := false
	var look func(n *Node)
	look = func(n *Node) {
		if n == nil {
			return
		}
		found = found || n.Kind == Coding && a.categories[n.CodeText]
		for at := r4.Root; n.Template != nil && int(at) < n.Template.Len(); at++ {
			path := PlainPath(n.Template.Path(at))
			found = found || n.Template.HasValue(at) && path[strings.LastIndexByte(path, '.')+1:] == "code" && a.categories[string(n.Template.Value(at))]
		}
		if text, ok := constantText(n); ok && n.Element != nil && n.Element.Base() == "code" {
			found = found || a.categories[text]
		}
		for _, c := range n.Children {
			look(c)
		}
	}
	look(childNamed(n, "category"))
	return found
}

// childNamed is a child of a group by its element's name, or nil.
func childNamed(n *Node, name string) *Node {
	for _, c := range n.Children {
		if c.Element != nil && c.Element.Name() == name {
			return c
		}
	}
	return nil
}

func constantChild(n *Node, name string) (string, bool) {
	c := childNamed(n, name)
	if c == nil {
		return "", false
	}
	return constantText(c)
}
