package syntax

import (
	"fmt"
	"strings"
)

// Reference is the language reference in Markdown, made of Describe and Rules.
// mapping/README.md holds it; a test fails when they differ.
func Reference() string {
	var b strings.Builder
	b.WriteString(`# The mapping language

<!-- Made from the descriptions in mapping/syntax. UPDATE=1 go test ./mapping/syntax rewrites it. -->

A mapping set is a folder: ` + "`sources.yaml`" + `, one YAML file for each kind of resource, and the SQL and CSV files that they name.
Three rules stand above all others:

1. **SQL shapes rows, YAML shapes resources.** Joins, the choice of versions, windows: in a source's SQL. What goes where: in ` + "`set`" + `.
2. **` + "`=`" + ` means SQL**, as in a spreadsheet: ` + "`=paid_date`" + `. Anything else is a literal, read as raw text: ` + "`0450`, `NO`, `1.10`" + ` arrive unchanged.
3. **Everything resolves when it is loaded**: paths and slices against the profile, columns and types against the warehouse.

` + "```yaml" + `
# sources.yaml
sources:
  claim:
    sql: claim.sql
    key: [data_source, claim_id]
    patient: patient_id
    currency: USD
  line: {table: medical_claim, parent: claim, order: [claim_line_number]}
maps:
  gender: {male: male, female: female, default: unknown}
` + "```" + `

` + "```yaml" + `
# eob-professional.yaml
resource: ExplanationOfBenefit
profile: C4BB-ExplanationOfBenefit-Professional-NonClinician|2.1.0
from: claim
id: {key: [medical, =data_source, =claim_id]}
set:
  status: active
  patient: {ref: Patient, key: [=data_source, =patient_id]}
  billablePeriod: {start: =claim_start_date, end: =claim_end_date}
  created: {value: =paid_date, absent: unknown}
  item:
    each: line
    sequence: =claim_line_number
    productOrService: {system: hcpcs, code: =hcpcs_code}
    adjudication[adjudicationamounttype]:
      - {category: submitted, amount: =charge_amount}
      - {category: benefit, amount: =paid_amount}
` + "```" + `

The verbs beside it: ` + "`remit check`" + ` says what is wrong, ` + "`remit test`" + ` runs a set's tests, ` + "`remit explain`" + ` tells how a resource came to be,
` + "`remit plan`" + ` and ` + "`remit lineage`" + ` what is read and where it goes, ` + "`remit init`" + ` starts a set, ` + "`remit fmt`" + ` lays it out,
` + "`remit schema`" + ` gives editors the JSON Schema.

## Keys
`)
	for _, block := range Describe() {
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\n", block.Title, block.Doc)
		b.WriteString("| key | takes | what it says | example |\n|---|---|---|---|\n")
		for _, k := range block.Keys {
			name := "`" + k.Name + "`"
			if k.Required {
				name += " (required)"
			}
			doc := k.Doc
			if len(k.Rules) > 0 {
				doc += " *(" + rulesText(k.Rules) + ")*"
			}
			example := ""
			if k.Example != "" {
				example = "`" + k.Name + ": " + k.Example + "`"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", name, cell(formText(k)), cell(doc), cell(example))
		}
		if block.Other != "" {
			fmt.Fprintf(&b, "\nAny other key is %s.\n", block.Other)
		}
	}
	fmt.Fprintf(&b, "\n## Mapping tests\n\n%s", mappingTests)
	b.WriteString("\n## Rules\n\n")
	for _, r := range Rules() {
		fmt.Fprintf(&b, "%d. %s\n", r.Number, r.Text)
	}
	fmt.Fprintf(&b, "\n## Portable SQL\n\n%s\n\n## Checked at load\n\n%s\n", portableSQL, checkedAtLoad)
	return b.String()
}

func formText(k Key) string {
	switch k.Form {
	case AText:
		return "a text"
	case Texts:
		return "a text or a list"
	case ASwitch:
		return "`true` or `false`"
	case AWord:
		return "`" + strings.Join(k.Words, "`, `") + "`"
	case SomeSQL:
		return "SQL"
	case AValue:
		return "a value"
	case Values:
		return "values"
	case OneBlock:
		return "the keys of " + blockTitle(k.Block)
	case Named:
		return "by name, the keys of " + blockTitle(k.Block)
	case TextPairs:
		return "a map of texts"
	case KeyList:
		return "columns"
	}
	return ""
}

func blockTitle(name string) string {
	b, _ := BlockNamed(name)
	return strings.ToLower(b.Title[:1]) + b.Title[1:]
}

// cell guards text in a Markdown table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
