package server

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"remit/mapping/program"
	"remit/profiles/search"
	"remit/server/export"
)

// Canonicals of the guide (BE-240, BE-241).
const (
	bulkCapability = "http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data"
	bulkOperations = "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/"
	oauthURIs      = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
)

type object = map[string]any

func writeJSON(w http.ResponseWriter, contentType string, v any) {
	write(w, http.StatusOK, contentType, encodeJSON(v, "  "))
}

// encodeJSON writes what is made of strings and numbers alone. A URL's & stays
// as it is: nobody puts these documents into HTML.
func encodeJSON(v any, indent string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		panic("server: a document of strings is always JSON: " + err.Error())
	}
	return b.Bytes()
}

// smart is the SMART configuration (SMART App Launch 2.2.0, Conformance;
// SB-001..009).
type smart struct {
	TokenEndpoint                              string   `json:"token_endpoint"`
	TokenEndpointAuthMethodsSupported          []string `json:"token_endpoint_auth_methods_supported"`
	TokenEndpointAuthSigningAlgValuesSupported []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	GrantTypesSupported                        []string `json:"grant_types_supported"`
	ScopesSupported                            []string `json:"scopes_supported"`
	IntrospectionEndpoint                      string   `json:"introspection_endpoint,omitempty"`
	RevocationEndpoint                         string   `json:"revocation_endpoint,omitempty"`
	AuthorizationEndpoint                      string   `json:"authorization_endpoint,omitempty"`
	ResponseTypesSupported                     []string `json:"response_types_supported,omitempty"`
	CodeChallengeMethodsSupported              []string `json:"code_challenge_methods_supported"`
	Capabilities                               []string `json:"capabilities"`
}

func (s *Server) smartConfiguration(w http.ResponseWriter, _ *http.Request) {
	a := s.authenticator()
	if a == nil {
		w.Header().Del("Cache-Control")
		s.refuse(w, fail("not-found", "this server asks for no authorization"))
		return
	}
	scopes := []string{"system/*.rs", "system/*.read"}
	if s.options.Groups != nil {
		scopes = append(scopes, "system/Group.cud")
	}
	for _, t := range s.sortedTypes() {
		scopes = append(scopes, "system/"+t.Name+".rs", "system/"+t.Name+".read")
	}
	doc := smart{
		TokenEndpoint:                              a.TokenURL(),
		TokenEndpointAuthMethodsSupported:          []string{"private_key_jwt"},
		TokenEndpointAuthSigningAlgValuesSupported: a.Algorithms(),
		GrantTypesSupported:                        []string{"client_credentials"},
		ScopesSupported:                            scopes,
		CodeChallengeMethodsSupported:              []string{"S256"},
		Capabilities:                               []string{"client-confidential-asymmetric", "permission-v1", "permission-v2"},
	}
	if s.options.External == nil {
		doc.IntrospectionEndpoint, doc.RevocationEndpoint = s.base+introspectPath, s.base+revokePath
		if s.options.AppLaunchStub {
			doc.AuthorizationEndpoint = s.base + authorizePath
			doc.GrantTypesSupported = append(doc.GrantTypesSupported, "authorization_code")
			doc.ResponseTypesSupported = []string{"code"}
		}
	}
	writeJSON(w, plain, doc)
}

// authorize answers every request to launch an app: there is no app launch here
// (SB-010; RFC 6749, 4.1.2.1).
func (s *Server) authorize(w http.ResponseWriter, _ *http.Request) {
	write(w, http.StatusBadRequest, plain,
		[]byte(`{"error":"unsupported_response_type","error_description":"this server offers backend services alone"}`+"\n"))
}

// tokenKeys publishes the keys that sign access tokens.
func (s *Server) tokenKeys(w http.ResponseWriter, r *http.Request) {
	set, err := s.options.TokenKeys(r.Context())
	if err != nil {
		w.Header().Del("Cache-Control")
		s.refuse(w, s.transient(r, "read token keys", err))
		return
	}
	write(w, http.StatusOK, plain, set)
}

// sortedTypes are the types served now, by name.
func (s *Server) sortedTypes() []program.Type {
	types := slices.Clone(s.options.Types())
	slices.SortFunc(types, func(a, b program.Type) int { return strings.Compare(a.Name, b.Name) })
	return types
}

// metadata answers the capability statement of what is served now (BE-240..244,
// SB-012).
func (s *Server) metadata(w http.ResponseWriter, r *http.Request) {
	if !acceptsFHIR(r.Header) {
		p := fail("not-supported", "the Accept header leaves no room for %s", fhirJSON)
		p.status = http.StatusNotAcceptable
		s.refuse(w, p)
		return
	}
	writeJSON(w, fhirJSON, s.capability())
}

func (s *Server) capability() object {
	software := object{"name": s.options.Software.Name}
	if s.options.Software.Version != "" {
		software["version"] = s.options.Software.Version
	}
	if s.options.Software.Released != "" {
		software["releaseDate"] = s.options.Software.Released
	}
	rest := object{
		"mode":          "server",
		"documentation": "Claims data in bulk: kick off an export, poll its status, download the files of its manifest.",
		"operation":     []object{s.operation("export", export.LevelSystem)},
	}
	if a := s.authenticator(); a != nil {
		endpoints := []object{{"url": "token", "valueUri": a.TokenURL()}}
		if s.options.External == nil {
			endpoints = append(endpoints, object{"url": "introspect", "valueUri": s.base + introspectPath}, object{"url": "revoke", "valueUri": s.base + revokePath})
		}
		rest["security"] = object{
			"cors": true,
			"service": []object{{"coding": []object{{
				"system": "http://terminology.hl7.org/CodeSystem/restful-security-service", "code": "SMART-on-FHIR",
			}}, "text": "SMART Backend Services"}},
			"extension": []object{{"url": oauthURIs, "extension": endpoints}},
		}
	}
	types := s.sortedTypes()
	operations := map[string][]object{}
	if hasReach(types, program.PatientData) {
		operations["Patient"] = []object{s.operation("patient-export", export.LevelPatient)}
	}
	if hasReach(types, program.Roster) {
		operations["Group"] = []object{s.operation("group-export", export.LevelGroup)}
	}
	var resources []object
	for _, t := range types {
		entry := object{"type": t.Name}
		if s.options.Reads != nil {
			entry["interaction"] = []object{{"code": "read"}, {"code": "search-type"}}
		}
		if len(t.Profiles) > 0 {
			entry["supportedProfile"] = t.Profiles
		}
		if params := searchParams(t.Name); len(params) > 0 {
			entry["searchParam"] = params
		}
		if o, ok := operations[t.Name]; ok {
			entry["operation"] = o
			delete(operations, t.Name)
		}
		resources = append(resources, entry)
	}
	for name, o := range operations {
		resources = append(resources, object{"type": name, "operation": o})
	}
	resources = s.withMade(rest, resources)
	slices.SortFunc(resources, func(a, b object) int { return strings.Compare(a["type"].(string), b["type"].(string)) })
	if len(resources) > 0 {
		rest["resource"] = resources
	}
	return object{
		"resourceType":   "CapabilityStatement",
		"status":         "active",
		"date":           s.started.Format(instant),
		"kind":           "instance",
		"instantiates":   []string{bulkCapability},
		"software":       software,
		"implementation": object{"description": "Bulk Data export of claims", "url": s.base},
		"fhirVersion":    "4.0.1",
		"format":         []string{fhirJSON, "json"},
		"rest":           []object{rest},
	}
}

// searchParams lists what _typeFilter, and a search, takes for a type (BE-242).
func searchParams(resourceType string) []object {
	params, err := search.Bundled()
	if err != nil {
		return nil // the binary is damaged; kick-off says so
	}
	var out []object
	for _, p := range params.For(resourceType) {
		entry := object{"name": p.Code, "type": string(p.Kind)}
		if p.URL != "" {
			entry["definition"] = p.URL
		}
		out = append(out, entry)
	}
	return out
}

// operation is an export as the capability statement lists it (BE-003, BE-241).
func (s *Server) operation(definition string, level export.Level) object {
	name, version := "export", ""
	if s.options.BulkVersion == 4 {
		name, version = "export-v4", "|4.0.0"
	}
	return object{"name": name, "definition": bulkOperations + definition + version, "documentation": s.parameterText(level)}
}

// parameters are the rows of the table that a level has with the types served
// now: one about resources that nobody makes is not supported.
func (s *Server) parameters(level export.Level) (taken, refused []export.Parameter) {
	types := s.options.Types()
	for _, p := range export.Parameters() {
		switch {
		case !slices.Contains(p.Levels, level):
		case p.Supported && (p.Needs == "" || slices.ContainsFunc(types, func(t program.Type) bool { return t.Name == p.Needs })):
			taken = append(taken, p)
		default:
			refused = append(refused, p)
		}
	}
	return taken, refused
}

// parameterText lists what an operation takes at a level, and what it refuses.
func (s *Server) parameterText(level export.Level) string {
	taken, refused := s.parameters(level)
	var yes, no []string
	for _, p := range taken {
		if p.POSTOnly {
			p.Name += " (POST only)"
		}
		yes = append(yes, p.Name)
	}
	for _, p := range refused {
		no = append(no, p.Name)
	}
	return "Parameters: " + strings.Join(yes, ", ") + ". Not supported: " + strings.Join(no, ", ") + "."
}

// guideVersion is the version of the guide whose form the endpoint has.
func (s *Server) guideVersion() string {
	if s.options.BulkVersion == 4 {
		return "4.0.0"
	}
	return "3.0.0"
}

// operationDefinition answers the definitions of what this server's export
// takes (BE-245).
func (s *Server) operationDefinition(w http.ResponseWriter, r *http.Request) {
	id := chi.URLParam(r, "name")
	definition := object{
		"resourceType": "OperationDefinition",
		"id":           id,
		"url":          s.base + "/OperationDefinition/" + id,
		"base":         bulkOperations + id,
		"version":      s.guideVersion(),
		"name":         "Export",
		"status":       "active",
		"kind":         "operation",
		"date":         s.started.Format(instant),
		"code":         "export",
		"system":       false, "type": false, "instance": false,
	}
	var level export.Level
	switch id {
	case "export":
		level = export.LevelSystem
		definition["name"], definition["system"] = "SystemExport", true
	case "patient-export":
		level = export.LevelPatient
		definition["name"], definition["type"], definition["resource"] = "PatientExport", true, []string{"Patient"}
	case "group-export":
		level = export.LevelGroup
		definition["name"], definition["instance"], definition["resource"] = "GroupExport", true, []string{"Group"}
	default:
		w.Header().Del("Cache-Control")
		s.refuse(w, fail("not-found", "there is no such OperationDefinition"))
		return
	}
	var parameters []object
	taken, _ := s.parameters(level)
	for _, p := range taken {
		maximum := "*"
		if p.Single {
			maximum = "1"
		}
		parameters = append(parameters, object{
			"name": p.Name, "use": "in", "min": 0, "max": maximum, "documentation": p.Doc, "type": p.Type,
		})
	}
	definition["parameter"] = parameters
	writeJSON(w, fhirJSON, definition)
}
