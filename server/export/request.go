// Package export turns a request and a Program into files: it cuts the work
// into chunks, runs and validates them, here or on other nodes, writes NDJSON
// and the manifest. Through the same program and validator it answers reads and
// searches, computes the groups that clients make, and publishes. It knows no
// YAML and no SQL text, and of resource types only those that the exchange itself
// is made of, such as Patient, Group and OperationOutcome.
package export

import "time"

// Level is where an export was asked for (Bulk Data 3.0.0, Kick-off Request).
type Level string

// The three levels.
const (
	LevelSystem  Level = "system"
	LevelPatient Level = "patient"
	LevelGroup   Level = "group"
)

// Request is one validated kick-off. It is plain data, stored with the job.
type Request struct {
	ClientID string `json:"client_id"`
	Level    Level  `json:"level"`
	Group    string `json:"group,omitempty"` // id, at LevelGroup
	// Fenced says that the client may have the members of the rosters of Fence
	// alone. It comes from the client's registration.
	Fenced   bool      `json:"fenced,omitempty"`
	Fence    []string  `json:"fence,omitempty"`
	Types    []string  `json:"types"`              // resource types to export, never empty
	Patients []string  `json:"patients,omitempty"` // FHIR Patient ids, where limited
	Since    time.Time `json:"since,omitzero"`
	Until    time.Time `json:"until,omitzero"`
	// View names the mapping view that is exported, "" for the full one. It
	// comes from the client's registration, never from the request.
	View string `json:"view,omitempty"`
	// TypeFilters are search queries (profiles/search) by resource type, any of
	// which a resource of that type must match (BE-130, BE-131).
	TypeFilters map[string][]string `json:"type_filters,omitempty"`
	// Restrict is what the client's grant lets through: for a resource type the
	// search queries ("type=pharmacy&use=claim") of which a resource must pass
	// one; a type without an entry is free. It holds beside whatever the
	// request filters by, and comes from the client's scopes and registration,
	// never from the request (SB-075).
	Restrict map[string][]string `json:"restrict,omitempty"`
	// Base is the public FHIR base, below which references count as relative in
	// TypeFilters and Restrict.
	Base string `json:"base,omitempty"`
	// Elements are the root elements that stay, beside the mandatory ones, by
	// resource type; types without an entry stay whole (BE-100 to BE-104).
	Elements map[string][]string `json:"elements,omitempty"`
	// Associated says which Provenance is added (BE-120).
	Associated Associated `json:"associated,omitempty"`
	// Organize is the resource type by whose resources the output is laid out in
	// blocks, "" for files by type (BE-145).
	Organize string `json:"organize,omitempty"`
	// Paged says that the client takes a manifest of several pages (BE-150).
	Paged bool `json:"paged,omitempty"`
	// URL is the kick-off URL as the manifest repeats it (BE-173).
	URL string `json:"url"`
	// Notes are messages about what was leniently ignored (BE-054).
	Notes []Note `json:"notes,omitempty"`
}

// Note becomes one OperationOutcome in the manifest's error files.
type Note struct {
	Severity   string `json:"severity"` // warning, information
	Code       string `json:"code"`     // FHIR issue type: not-supported
	Expression string `json:"expression,omitempty"`
	Text       string `json:"text"`
}

// Associated is what includeAssociatedData asks for.
type Associated string

// The values, least first.
const (
	NoAssociated     Associated = ""
	LatestProvenance Associated = "LatestProvenanceResources"
	AllProvenance    Associated = "RelevantProvenanceResources"
)
