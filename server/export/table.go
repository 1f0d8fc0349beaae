package export

import (
	"slices"
	"strings"
)

// Parameter is one row of the kick-off parameter table: what documentation,
// OperationDefinitions and the capability statement show, and what the readers
// go by.
type Parameter struct {
	Name string
	// Single says that the parameter may be given once only (max = 1).
	Single bool
	// List says that commas separate items of one value.
	List bool
	// Type is the FHIR type in an OperationDefinition.
	Type string
	// Levels are those that take the parameter.
	Levels []Level
	// POSTOnly says that a query string may not carry it.
	POSTOnly bool
	// Supported is false for parameters of the guide that this server knows
	// and refuses.
	Supported bool
	// Since is the first version of the guide that has it.
	Since string
	// Needs is the resource type without which the parameter is refused; "" for
	// none.
	Needs string
	// Stage is where in the export it acts: kick-off, query, filter, encode,
	// layout or manifest.
	Stage string
	Doc   string
}

// parameter is the table row with the code that reads its values.
type parameter struct {
	Parameter
	// post lists the value[x] accepted in a Parameters body (BE-036).
	post []string
	// read takes the values in order; nil marks an unsupported parameter.
	read func(*reading, []string)
	// neutral says of an unsupported parameter that these values ask for
	// nothing beyond the default, so that nothing is ignored.
	neutral func([]string) bool
}

var (
	everyLevel    = []Level{LevelSystem, LevelPatient, LevelGroup}
	patientLevels = []Level{LevelPatient, LevelGroup}
	textForms     = []string{"valueString", "valueCode"}
	instantForms  = []string{"valueInstant", "valueDateTime", "valueString"}
	codingForms   = []string{"valueCode", "valueString", "valueCoding"}
	numberForms   = []string{"valueInteger", "valuePositiveInt", "valueDecimal"}
)

// parameters is the table of Bulk Data 3.0.0, Kick-off Request, Query
// Parameters, with the size hints of the 4.0.0 ballot.
func parameters() []parameter {
	return []parameter{
		{Parameter: Parameter{Name: "_outputFormat", Single: true, Type: "string", Levels: everyLevel, Supported: true, Since: "1.0", Stage: "kick-off",
			Doc: "application/fhir+ndjson, application/ndjson or ndjson; all mean the same."},
			post: textForms, read: (*reading).outputFormat},
		{Parameter: Parameter{Name: "_since", Single: true, Type: "instant", Levels: everyLevel, Supported: true, Since: "1.0", Stage: "query",
			Doc: "Only resources changed after this instant; deletions since then are listed. It is a time of change, not of service: for dates of service use _typeFilter."},
			post: instantForms, read: (*reading).since},
		{Parameter: Parameter{Name: "_until", Single: true, Type: "instant", Levels: everyLevel, Supported: true, Since: "3.0", Stage: "query",
			Doc: "Only resources changed before this instant, which is a time of change as that of _since is, and not of service (use _typeFilter). A resource changed inside the window and again after it is absent."},
			post: instantForms, read: (*reading).until},
		{Parameter: Parameter{Name: "_type", List: true, Type: "code", Levels: everyLevel, Supported: true, Since: "1.0", Stage: "query",
			Doc: "Only these resource types; comma-separated or repeated."},
			post: textForms, read: (*reading).types},
		{Parameter: Parameter{Name: "patient", Type: "Reference", Levels: patientLevels, POSTOnly: true, Supported: true, Since: "2.0", Stage: "query",
			Doc: "Only data of these patients."},
			post: []string{"valueReference"}, read: (*reading).patients},
		{Parameter: Parameter{Name: "_typeFilter", Type: "string", Levels: everyLevel, Supported: true, Since: "1.0", Stage: "filter",
			Doc: "Of one type only the resources that match a search query, Type?name=value&...; several of a type join by OR. Search parameters are listed in the capability statement."},
			post: textForms, read: (*reading).typeFilters},
		{Parameter: Parameter{Name: "includeAssociatedData", List: true, Type: "code", Levels: everyLevel, Supported: true, Since: "2.0", Stage: "filter", Needs: provenance,
			Doc: "LatestProvenanceResources or RelevantProvenanceResources, where the mapping set makes Provenance."},
			post: codingForms, read: (*reading).associated},
		{Parameter: Parameter{Name: "_elements", List: true, Type: "string", Levels: everyLevel, Supported: true, Since: "2.0", Stage: "encode",
			Doc: "Only these root elements, [element] or [Type].[element], beside the mandatory ones; what was trimmed is tagged SUBSETTED."},
			post: textForms, read: (*reading).elementNames},
		{Parameter: Parameter{Name: "organizeOutputBy", Single: true, Type: "string", Levels: everyLevel, Supported: true, Since: "3.0", Stage: "layout", Needs: ownerType,
			Doc: "Patient: files of blocks, each a header, a patient and all that refers to it. Resources of no patient are left out."},
			post: textForms, read: (*reading).organized},
		{Parameter: Parameter{Name: "allowPartialManifests", Single: true, Type: "boolean", Levels: everyLevel, Supported: true, Since: "3.0", Stage: "manifest",
			Doc: "A long manifest comes in pages that link to the next."},
			post: []string{"valueBoolean", "valueString"}, read: (*reading).paged},
		{Parameter: Parameter{Name: "_minimumFileSize", Single: true, Type: "integer", Levels: everyLevel, Since: "4.0 ballot"}, post: numberForms},
		{Parameter: Parameter{Name: "_maximumFileSize", Single: true, Type: "integer", Levels: everyLevel, Since: "4.0 ballot"}, post: numberForms},
	}
}

// Parameters lists the table's rows in its order. The caller owns the slice.
func Parameters() []Parameter {
	var out []Parameter
	for _, p := range parameters() {
		p.Levels = slices.Clone(p.Levels)
		out = append(out, p.Parameter)
	}
	return out
}

// items splits values at commas, trims, and drops what is empty or there
// already (BE-061).
func items(values []string) []string {
	var out []string
	for _, v := range values {
		for item := range strings.SplitSeq(v, ",") {
			if item = strings.TrimSpace(item); item != "" && !slices.Contains(out, item) {
				out = append(out, item)
			}
		}
	}
	return out
}
