package syntax

// mappingTests tells how a set is tested; cmd/remit reads these files.
const mappingTests = `A set's tests are the files of its folder ` + "`tests`" + `. They need no warehouse: ` + "`remit test SET`" + ` puts the given rows into
the embedded engine, runs the set, judges what comes, and holds it against what is expected. It exits with 1 where a case
fails; ` + "`--run TEXT`" + ` takes only cases whose name holds the text, ` + "`--junit FILE`" + ` writes a JUnit report, ` + "`--json`" + ` prints one object a case.

` + "```yaml" + `
# tests/tables.yaml: the columns of the tables that the tests fill, with their types
eligibility:
  member_id: text
  last_name: text
  birth_date: date
` + "```" + `

` + "```yaml" + `
# tests/member.yaml
given:                                   # rows of every case of the file
  eligibility:
    - {member_id: m1, last_name: Smith, birth_date: 1970-01-01}
cases:
  - name: a member
    expect:
      - {resource: Patient, count: 1}
      - resource: Patient
        key: {member_id: m1}             # which one, by parts of its business key
        values: {name.family: Smith, "identifier[memberid].value": m1}
        findings: []                     # none that is an error
  - name: a member without a date of birth
    given:                               # in place of the file's rows of that table
      eligibility: [{member_id: m2, last_name: Brown}]
    expect:
      - resource: Patient
        absent: [birthDate]
` + "```" + `

| key of a case | what it says |
|---|---|
| ` + "`name`" + ` | What the case shows; it names it in every output. |
| ` + "`given`" + ` | Tables with rows. A column that a row leaves out is NULL; a table that nobody gives is empty. |
| ` + "`tables`" + ` (of a file) | Other columns, or other tables, than ` + "`tests/tables.yaml`" + ` declares: for another layout of the warehouse. |
| ` + "`expect`" + ` | Resources, each found by ` + "`key`" + ` or ` + "`id`" + ` where there are several of the type. |
| ` + "`expect.count`" + ` | How many resources of the type there are. |
| ` + "`expect.values`" + ` | By path, with slices in brackets and ` + "`[0]`" + ` for one repetition: the text there, or the list of texts in document order. |
| ` + "`expect.absent`" + ` | Paths at which nothing stands. |
| ` + "`expect.findings`" + ` | The codes of the findings that are errors, in order; ` + "`[]`" + ` for none. |
| ` + "`diagnostics`" + ` | The codes of the diagnostics with which the set must be refused, in place of ` + "`expect`" + `. |
`
