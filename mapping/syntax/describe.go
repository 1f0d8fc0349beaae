package syntax

// Form says what a key of the language takes.
type Form uint8

// The forms.
const (
	AText     Form = iota + 1 // one text, read as written
	Texts                     // one text, or a list of them
	ASwitch                   // true or false
	AWord                     // one of Key.Words
	SomeSQL                   // an SQL condition or expression, as rule 1 says
	AValue                    // a literal, =SQL, or a map
	Values                    // a list of values; one value alone is a list of one
	OneBlock                  // a map of the keys of Key.Block
	Named                     // a map from names to blocks of Key.Block
	TextPairs                 // a map from texts to texts
	KeyList                   // column names, or a map from own columns to the parent's
)

// Key describes one key of the language.
type Key struct {
	Name string
	Form Form
	// Required says that a file without the key is refused.
	Required bool
	Block    string   // of OneBlock and Named
	Words    []string // of AWord
	Doc      string   // one sentence or two, Markdown
	Rules    []int    // numbers of the rules that say more
	Example  string   // as it stands behind the key
}

// Block describes the keys that stand together at one place, in canonical
// order: the one that fmt writes, and in which the reference lists them.
type Block struct {
	Name, Title, Doc string
	Keys             []Key
	// Other says what keys that are not listed mean; "" where they are
	// refused.
	Other string
	// Late lists the keys that canonical order sets behind all Other keys.
	Late []string
}

// Describe is the language as data: the JSON Schema for editors, the reference
// and the formatter are made from it, and a test holds it against the parser.
// The caller owns the slice.
func Describe() []Block {
	settings := []Key{
		{Name: "currency", Form: AText, Doc: "Currency of amounts, by ISO 4217.", Rules: []int{14}, Example: "USD"},
		{Name: "timezone", Form: AText, Doc: "Zone of timestamps that name none, by the IANA database.", Rules: []int{25}, Example: "America/New_York"},
		{Name: "dates", Form: Texts, Doc: "Formats of dates that are stored as text, tried in order.", Rules: []int{25}, Example: "[YYYYMMDD, DD-MON-YYYY]"},
		{Name: "money", Form: Texts, Doc: "Formats of amounts that are stored as text or as integer cents.", Rules: []int{25}, Example: "cents"},
		{Name: "empty", Form: OneBlock, Block: "empty", Doc: "Tokens that mean \"no value\".", Rules: []int{26}, Example: `{text: ["", "~"], date: [9999-12-31]}`},
		{Name: "trim", Form: ASwitch, Doc: "Trim blanks around texts before anything sees them.", Rules: []int{26}, Example: "true"},
	}
	return []Block{
		{
			Name: "sources", Title: "sources.yaml", Doc: "One file a set: where rows come from, how codes translate, and the settings that hold for all sources.",
			Keys: append(append([]Key(nil), settings...),
				Key{Name: "with", Form: Named, Block: "query", Doc: "Queries by name, which the SQL of sources reads like tables: what several share, and where layouts of a warehouse differ.", Rules: []int{38}},
				Key{Name: "sources", Form: Named, Block: "source", Required: true, Doc: "Sources by name: lower-case letters, digits and `_`.", Rules: []int{3, 4}},
				Key{Name: "maps", Form: Named, Block: "map", Doc: "Code maps by name.", Rules: []int{19}},
				Key{Name: "systems", Form: TextPairs, Doc: "Names for the canonical URLs of code systems, beside those that are built in.", Rules: []int{15}, Example: `{plancodes: "https://payer.example/codes"}`},
			),
		},
		{
			Name: "query", Title: "A query of with", Doc: "A SELECT that stands under its name before the SQL of each source that names it, as in SQL's own WITH. A query sees those above it.",
			Keys: []Key{
				{Name: "has", Form: TextPairs, Doc: "What the warehouse may have, a table or a column of one, and the SQL to take then; the first that it has counts.", Rules: []int{38}, Example: "{claims.eligibility.person_id: eligibility.person.sql}"},
				{Name: "sql", Form: AText, Doc: "The SQL, or a file with it; beside `has`, where the warehouse has none of that.", Rules: []int{4, 38}, Example: "eligibility.sql"},
				{Name: "patient", Form: AText, Doc: "The column that tells whose data a row is. In an export of some members, sources that belong to nobody see of the query those members' rows alone: a directory then holds whom they name.", Rules: []int{40}, Example: "patient_id"},
			},
		},
		{
			Name: "source", Title: "A source", Doc: "One relation of the warehouse: exactly one of `table`, `sql` and `unpivot`.",
			Keys: append([]Key{
				{Name: "table", Form: AText, Doc: "A table or view, with its schema where that is not on the search path; or a query of `with`.", Example: "medical_claim"},
				{Name: "sql", Form: AText, Doc: "A file of the set that holds one SELECT, or the SELECT itself. `claim.postgres.sql` beside `claim.sql` stands for it on that engine.", Rules: []int{4}, Example: "claim.sql"},
				{Name: "unpivot", Form: AText, Doc: "A source whose numbered columns become rows; it is the parent, too.", Rules: []int{7}, Example: "claim"},
				{Name: "n", Form: AText, Doc: "The numbers of an unpivot, as they are written in the column names.", Rules: []int{7}, Example: "1..25"},
				{Name: "columns", Form: TextPairs, Doc: "The columns of an unpivot: name and pattern with `{n}`.", Rules: []int{7}, Example: `{code: "diagnosis_code_{n}"}`},
				{Name: "parent", Form: AText, Doc: "The source to whose rows these belong.", Rules: []int{6, 21}, Example: "claim"},
				{Name: "key", Form: KeyList, Doc: "Columns that tell rows apart and order them. Of a child: the columns that hold its parent's key, as a map where they are named otherwise.", Rules: []int{20}, Example: "[data_source, claim_id]"},
				{Name: "order", Form: Texts, Doc: "Columns that order rows of equal key, and tell them apart.", Rules: []int{6, 20}, Example: "[claim_line_number]"},
				{Name: "header", Form: AWord, Words: []string{"assert", "first", "withhold"}, Doc: "What to do where the rows of one key disagree on header values.", Rules: []int{20}},
				{Name: "patient", Form: AText, Doc: "The column that tells whose data a row is: it cuts exports into chunks and guards patients' data.", Example: "patient_id"},
				{Name: "updated", Form: AText, Doc: "The column of the row's last change.", Rules: []int{29}, Example: "updated_at"},
				{Name: "removed", Form: AText, Doc: "SQL, or a file with it, that yields the key columns and `removed_at` of rows that are gone.", Rules: []int{30}, Example: "claim_removed.sql"},
				{Name: "where", Form: SomeSQL, Doc: "The rows that count, as SQL.", Rules: []int{1}, Example: "code IS NOT NULL"},
				{Name: "unique", Form: ASwitch, Doc: "Declares that the key is unique where the warehouse does not say so.", Rules: []int{22}, Example: "true"},
			}, settings...),
		},
		{
			Name: "empty", Title: "empty", Doc: "Tokens that mean \"no value\"; key columns are left as they are.",
			Keys: []Key{
				{Name: "text", Form: Texts, Doc: "Texts, compared after trimming where `trim` is set.", Rules: []int{26}, Example: `["", "~"]`},
				{Name: "date", Form: Texts, Doc: "ISO dates; they apply to dates and timestamps.", Rules: []int{26}, Example: "[9999-12-31]"},
			},
		},
		{
			Name: "map", Title: "A map", Doc: "Translates codes. Inline, every other key is a code and its value the target; from a file, `key` and `value` name columns.",
			Other: "a code and its target",
			Keys: []Key{
				{Name: "csv", Form: AText, Doc: "A CSV file of the set, with a header.", Rules: []int{19}, Example: "carc.csv"},
				{Name: "xlsx", Form: AText, Doc: "A workbook of the set.", Rules: []int{19}, Example: "crosswalk.xlsx"},
				{Name: "sheet", Form: AText, Doc: "The sheet of the workbook; the first where none is named.", Rules: []int{19}, Example: "Revenue"},
				{Name: "conceptmap", Form: AText, Doc: "A FHIR ConceptMap of the set, as JSON.", Rules: []int{19}, Example: "carc.json"},
				{Name: "group", Form: AText, Doc: "The source system whose group of the ConceptMap counts.", Rules: []int{19}, Example: "https://payer.example/carc"},
				{Name: "key", Form: Texts, Doc: "The columns of the code.", Rules: []int{19}, Example: "local_code"},
				{Name: "value", Form: Texts, Doc: "The columns of the target; `get` chooses one.", Rules: []int{19}, Example: "carc_code"},
				{Name: "default", Form: AText, Doc: "The target of codes that the map does not hold.", Rules: []int{19}, Example: "unknown"},
				{Name: "missing", Form: AWord, Words: []string{"omit", "withhold", "fail"}, Doc: "What to do about a code that the map does not hold, where there is no `default`: leave the element out, withhold the resource (as without the key), or stop the run.", Rules: []int{19}},
			},
			Late: []string{"default", "missing"},
		},
		{
			Name: "mapping", Title: "A mapping file", Doc: "One file a kind of resource: one resource for each row of `from`.",
			Keys: []Key{
				{Name: "resource", Form: AText, Required: true, Doc: "The resource type.", Example: "Patient"},
				{Name: "profile", Form: Texts, Doc: "The profiles, by name or canonical, with version. The first names the slices; all are judged and written.", Rules: []int{32}, Example: "C4BB-Patient|2.1.0"},
				{Name: "from", Form: AText, Required: true, Doc: "The source; all mappings of one source share one pass.", Rules: []int{27}, Example: "person"},
				{Name: "where", Form: SomeSQL, Doc: "The rows of the source that make a resource, as SQL.", Rules: []int{1, 27}, Example: "eob_kind = 'inpatient'"},
				{Name: "id", Form: OneBlock, Block: "id", Doc: "How the id is made; without it, of the source's key.", Rules: []int{22}},
				{Name: "set", Form: OneBlock, Block: "value", Required: true, Doc: "The elements of the resource by path.", Rules: []int{8}},
				{Name: "views", Form: Named, Block: "view", Doc: "Other faces of the same resources, by name.", Rules: []int{33}, Example: "{basis: {profile: C4BB-ExplanationOfBenefit-Inpatient-Institutional-Basis|2.1.0, drop: [total]}}"},
				{Name: "unmapped", Form: TextPairs, Doc: "Why must-support elements are not mapped, by path; `remit lineage` prints it.", Rules: []int{39}, Example: "{payee: no column, item.noteNumber: no column}"},
			},
		},
		{
			Name: "id", Title: "id", Doc: "How the id of a resource is made. A `ref` elsewhere that has the same key finds it.",
			Keys: []Key{
				{Name: "key", Form: Values, Doc: "The parts, literals and SQL.", Rules: []int{22, 23}, Example: "[npi, =npi]"},
				{Name: "form", Form: AWord, Words: []string{"hash", "plain"}, Doc: "A hash of the parts (as without the key), or the parts joined by `-`.", Rules: []int{22}},
				{Name: "unique", Form: ASwitch, Doc: "Declares that the parts tell rows apart although they are no key.", Rules: []int{22}, Example: "true"},
			},
		},
		{
			Name: "view", Title: "A view", Doc: "What a view changes; it is checked as a mapping of its own.",
			Keys: []Key{
				{Name: "profile", Form: Texts, Doc: "The profiles of the view, in place of the mapping's.", Rules: []int{33}, Example: "C4BB-Patient|2.1.0"},
				{Name: "drop", Form: Texts, Doc: "The paths that are left out.", Rules: []int{33}, Example: `[total, "item.adjudication[adjudicationamounttype]"]`},
			},
		},
		{
			Name: "value", Title: "A value in set", Doc: "A literal, `=SQL`, a list of values, or a map of element paths with these words beside them.",
			Other: "an element path: `name`, `name[slice]`, `a.b[slice].c`",
			Keys: []Key{
				{Name: "each", Form: AText, Doc: "One repetition for each row of a child source.", Rules: []int{6}, Example: "line"},
				{Name: "where", Form: SomeSQL, Doc: "Beside `each`: the rows that count.", Rules: []int{1}, Example: "npi IS NOT NULL"},
				{Name: "when", Form: SomeSQL, Doc: "`=SQL` that says whether the element appears; NULL is no.", Rules: []int{1, 11}, Example: "=race <> 'unknown'"},
				{Name: "first", Form: Values, Doc: "Alternatives: the first with content is taken.", Rules: []int{12}, Example: "[=allowed_amount, =paid_amount]"},
				{Name: "ref", Form: AText, Doc: "A reference to a resource of this type that the set makes, found by `key`.", Rules: []int{23}, Example: "Patient"},
				{Name: "seq", Form: AText, Doc: "The number of another repetition of the resource, found by `key` or by its slice.", Rules: []int{18}, Example: "careTeam"},
				{Name: "map", Form: AText, Doc: "A map that translates the value of `of`.", Rules: []int{19}, Example: "gender"},
				{Name: "of", Form: Values, Doc: "What `map` translates; one value for each key column.", Rules: []int{19}, Example: "=gender"},
				{Name: "get", Form: AText, Doc: "The value column of the map, where it has several.", Rules: []int{19}, Example: "display"},
				{Name: "key", Form: Values, Doc: "Beside `ref`: the parts of the target's id. Beside `seq`: the key of the repetition. Else: what tells repetitions apart.", Rules: []int{17, 18, 23}, Example: "[=npi]"},
				{Name: "codes", Form: Values, Doc: "Beside `system`: one repetition for each value.", Rules: []int{14}, Example: "[=modifier_1, =modifier_2]"},
				{Name: "raw", Form: ASwitch, Doc: "Leaves a code as it is where its system has a canonical form.", Rules: []int{15}, Example: "true"},
				{Name: "assumed", Form: AValue, Doc: "A literal for data that the warehouse lacks; counted in every report, and off under `--no-assumptions`.", Rules: []int{36}, Example: "self"},
				{Name: "absent", Form: AText, Doc: "A data-absent-reason for the element where it would be empty.", Rules: []int{13}, Example: "unknown"},
			},
			Late: []string{"codes", "raw", "assumed", "absent"},
		},
	}
}

// BlockNamed finds a block of Describe.
func BlockNamed(name string) (Block, bool) {
	for _, b := range Describe() {
		if b.Name == name {
			return b, true
		}
	}
	return Block{}, false
}
