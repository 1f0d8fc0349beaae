package main

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"remit/mapping/diag"
)

// config is everything a run may be told, by flag or by file; flags win. Its
// kong tags are the flags, settings below are the file's keys.
type config struct {
	Config        string   `help:"YAML file with any of these settings." placeholder:"FILE"`
	Warehouse     string   `help:"Claims warehouse: duckdb:DIR|FILE or postgres://..." placeholder:"ADDRESS"`
	Mappings      string   `help:"Mapping set: a folder, or the name of a shipped set." placeholder:"DIR|SET"`
	Package       []string `help:"FHIR package of your own (folder or .tgz), beside the bundled ones." placeholder:"DIR" sep:"none"`
	Addr          string   `help:"Address to listen on." placeholder:"HOST:PORT"`
	PublicURL     string   `help:"FHIR base URL that clients see." placeholder:"URL" name:"public-url"`
	Data          string   `help:"Folder of the default control store and files." placeholder:"DIR"`
	Control       string   `help:"Control store: sqlite:FILE or postgres://..." placeholder:"ADDRESS"`
	Store         string   `help:"File store: file:DIR, s3://... or azblob://..." placeholder:"ADDRESS"`
	IDKeyFile     string   `help:"File whose content keys the ids (HMAC-SHA-256)." placeholder:"FILE" name:"id-key-file"`
	NoAssumptions bool     `help:"Turn assumed values off; what needs one is withheld."`
	NoProofs      bool     `help:"Judge every rule for every resource, also those proved when the set was loaded."`
	Policy        string   `help:"What happens to a resource with findings: withhold or flag." placeholder:"POLICY"`
	Workers       int      `help:"Chunks that run at the same time." placeholder:"N"`
	MaxActive     int      `help:"Exports that run at the same time on this node; further ones wait, and their clients take turns." placeholder:"N"`
	ChunkSize     int      `help:"About how many parent rows a chunk reads." placeholder:"ROWS"`
	Lease         string   `help:"How long the exports of a node that fell silent stay its own, such as 15s." placeholder:"TIME"`
	TLSCert       string   `help:"PEM file of the server's certificate chain; without it the server speaks plain HTTP." placeholder:"FILE" name:"tls-cert"`
	TLSKey        string   `help:"PEM file of the certificate's private key." placeholder:"FILE" name:"tls-key"`
	TLSClientCA   string   `help:"PEM file of the authorities of client certificates; every client must then show one." placeholder:"FILE" name:"tls-client-ca"`
	BehindProxy   bool     `help:"A proxy in front speaks TLS: plain HTTP may be bound off loopback." name:"behind-proxy"`
	NoAuth        bool     `help:"Serve everybody without asking, on loopback alone, for development." name:"insecure-no-auth"`
	AdminAddr     string   `help:"Address of the administrators' API; none without it." placeholder:"HOST:PORT" name:"admin-addr"`
	AdminKeys     string   `help:"File of the administrators' credentials: lines NAME:SECRET." placeholder:"FILE" name:"admin-credentials"`
	ServerName    string   `help:"This server's name in the audit trail; the machine's where none is given." placeholder:"NAME" name:"server-name"`
	AuditLog      string   `help:"File to which audit events are appended as FHIR AuditEvents, beside the trail in the control store." placeholder:"FILE" name:"audit-log"`
	AuditDays     int      `help:"Days that the audit trail is kept; 0 is for ever." placeholder:"DAYS" name:"audit-days"`
	TokenSecret   string   `help:"File whose content seals signing keys: access tokens are then signed JWTs." placeholder:"FILE" name:"token-secret-file"`
	AppLaunchStub bool     `help:"Advertise an authorization endpoint that refuses everybody, for clients that insist on one." name:"app-launch-stub"`
	AuthToken     string   `help:"Token endpoint of another authorization server, which then makes the tokens." placeholder:"URL" name:"auth-token-url"`
	AuthIssuer    string   `help:"Its issuer, where its tokens are JWTs." placeholder:"URL" name:"auth-issuer"`
	AuthJWKS      string   `help:"Its keys, where its tokens are JWTs." placeholder:"URL" name:"auth-jwks"`
	AuthCheck     string   `help:"Its introspection endpoint, where its tokens are to be asked for." placeholder:"URL" name:"auth-introspection"`
	AuthClient    string   `help:"Our client id there." placeholder:"ID" name:"auth-client-id"`
	AuthSecret    string   `help:"File of our secret there." placeholder:"FILE" name:"auth-secret-file"`
	AuthAudience  string   `help:"Audience of its tokens for us; the public URL where none is given." placeholder:"URL" name:"auth-audience"`
	AuthScopes    []string `help:"Scope that each of its tokens must have." placeholder:"SCOPE" name:"auth-scope" sep:"none"`
	JWKSHost      []string `help:"Private host, address or range from which a client's JWKS URL may be fetched." placeholder:"HOST" name:"jwks-host" sep:"none"`
	JWKSLoopback  bool     `help:"Allow JWKS URLs of plain HTTP on loopback." name:"jwks-loopback"`
	LogLevel      string   `help:"debug, info, warn or error." placeholder:"LEVEL"`
	LogFormat     string   `help:"text or json." placeholder:"FORMAT"`
	BulkVersion   int      `help:"Form of the Bulk Data interface: 3, or 4 for the 4.0.0 ballot." placeholder:"N" name:"bulk-version"`
	FileURLKey    string   `help:"File whose content signs file URLs, so that they open without a token for five minutes." placeholder:"FILE" name:"file-url-key-file"`
	OpsAddr       string   `help:"Address of metrics, health, readiness and profiles; none where it is not given." placeholder:"HOST:PORT" name:"ops-addr"`
}

// setting ties one key of the file to its place in config.
type setting struct {
	key    string
	help   string
	secret bool // may hold a password: masked wherever it is printed
	text   func(*config) *string
	list   func(*config) *[]string
	number func(*config) *int
	flag   func(*config) *bool
}

// settings are the keys of the configuration file, in the order remit config
// prints them.
func settings() []setting {
	return []setting{
		{key: "warehouse", secret: true, help: "claims warehouse: duckdb:DIR|FILE or postgres://...", text: func(c *config) *string { return &c.Warehouse }},
		{key: "mappings", help: "mapping set: a folder, or the name of a shipped set", text: func(c *config) *string { return &c.Mappings }},
		{key: "packages", help: "FHIR packages of your own", list: func(c *config) *[]string { return &c.Package }},
		{key: "addr", help: "address to listen on", text: func(c *config) *string { return &c.Addr }},
		{key: "public_url", help: "FHIR base URL that clients see", text: func(c *config) *string { return &c.PublicURL }},
		{key: "data", help: "folder of the default control store and files", text: func(c *config) *string { return &c.Data }},
		{key: "control", secret: true, help: "control store: sqlite:FILE or postgres://...", text: func(c *config) *string { return &c.Control }},
		{key: "store", secret: true, help: "file store: file:DIR, s3://... or azblob://...", text: func(c *config) *string { return &c.Store }},
		{key: "id_key_file", help: "file whose content keys the ids", text: func(c *config) *string { return &c.IDKeyFile }},
		{key: "no_assumptions", help: "turn assumed values off", flag: func(c *config) *bool { return &c.NoAssumptions }},
		{key: "no_proofs", help: "judge also what the load has proved", flag: func(c *config) *bool { return &c.NoProofs }},
		{key: "policy", help: "withhold or flag resources with findings", text: func(c *config) *string { return &c.Policy }},
		{key: "workers", help: "chunks that run at the same time", number: func(c *config) *int { return &c.Workers }},
		{key: "max_active", help: "exports that run at the same time on this node", number: func(c *config) *int { return &c.MaxActive }},
		{key: "chunk_size", help: "parent rows that a chunk reads, about", number: func(c *config) *int { return &c.ChunkSize }},
		{key: "lease", help: "how long the exports of a silent node stay its own", text: func(c *config) *string { return &c.Lease }},
		{key: "tls_cert", help: "PEM file of the server's certificate chain", text: func(c *config) *string { return &c.TLSCert }},
		{key: "tls_key", help: "PEM file of its private key", text: func(c *config) *string { return &c.TLSKey }},
		{key: "tls_client_ca", help: "PEM file of the authorities of client certificates", text: func(c *config) *string { return &c.TLSClientCA }},
		{key: "behind_proxy", help: "a proxy in front speaks TLS", flag: func(c *config) *bool { return &c.BehindProxy }},
		{key: "insecure_no_auth", help: "serve everybody without asking, on loopback alone", flag: func(c *config) *bool { return &c.NoAuth }},
		{key: "admin_addr", help: "address of the administrators' API", text: func(c *config) *string { return &c.AdminAddr }},
		{key: "admin_credentials", help: "file of the administrators' credentials", text: func(c *config) *string { return &c.AdminKeys }},
		{key: "server_name", help: "this server's name in the audit trail", text: func(c *config) *string { return &c.ServerName }},
		{key: "audit_log", help: "file to which audit events are appended", text: func(c *config) *string { return &c.AuditLog }},
		{key: "audit_days", help: "days that the audit trail is kept; 0 is for ever", number: func(c *config) *int { return &c.AuditDays }},
		{key: "token_secret_file", help: "file whose content seals signing keys of access tokens", text: func(c *config) *string { return &c.TokenSecret }},
		{key: "app_launch_stub", help: "advertise an authorization endpoint that refuses everybody", flag: func(c *config) *bool { return &c.AppLaunchStub }},
		{key: "auth_token_url", help: "token endpoint of another authorization server", text: func(c *config) *string { return &c.AuthToken }},
		{key: "auth_issuer", help: "its issuer", text: func(c *config) *string { return &c.AuthIssuer }},
		{key: "auth_jwks", help: "its keys", text: func(c *config) *string { return &c.AuthJWKS }},
		{key: "auth_introspection", help: "its introspection endpoint", text: func(c *config) *string { return &c.AuthCheck }},
		{key: "auth_client_id", help: "our client id there", text: func(c *config) *string { return &c.AuthClient }},
		{key: "auth_secret_file", help: "file of our secret there", text: func(c *config) *string { return &c.AuthSecret }},
		{key: "auth_audience", help: "audience of its tokens for us", text: func(c *config) *string { return &c.AuthAudience }},
		{key: "auth_scopes", help: "scopes that each of its tokens must have", list: func(c *config) *[]string { return &c.AuthScopes }},
		{key: "jwks_hosts", help: "private hosts from which clients' JWKS URLs may be fetched", list: func(c *config) *[]string { return &c.JWKSHost }},
		{key: "jwks_loopback", help: "allow JWKS URLs of plain HTTP on loopback", flag: func(c *config) *bool { return &c.JWKSLoopback }},
		{key: "bulk_version", help: "form of the Bulk Data interface: 3, or 4 for the 4.0.0 ballot", number: func(c *config) *int { return &c.BulkVersion }},
		{key: "file_url_key_file", help: "file whose content signs file URLs", text: func(c *config) *string { return &c.FileURLKey }},
		{key: "log_format", help: "text or json", text: func(c *config) *string { return &c.LogFormat }},
		{key: "ops_addr", help: "address of metrics, health, readiness and profiles", text: func(c *config) *string { return &c.OpsAddr }},
		{key: "log_level", help: "debug, info, warn or error", text: func(c *config) *string { return &c.LogLevel }},
	}
}

// defaults fills what neither flag nor file gave.
func (c *config) defaults() {
	setDefault(&c.Addr, "127.0.0.1:8080")
	setDefault(&c.Data, "remit-data")
	setDefault(&c.Control, "sqlite:"+filepath.Join(c.Data, "control.db"))
	setDefault(&c.Store, "file:"+filepath.Join(c.Data, "files"))
	setDefault(&c.Policy, "withhold")
	setDefault(&c.Lease, "15s")
	if c.MaxActive == 0 {
		c.MaxActive = 8
	}
	if c.ChunkSize == 0 {
		c.ChunkSize = 20_000
	}
	setDefault(&c.LogLevel, "info")
	setDefault(&c.LogFormat, "text")
	if c.BulkVersion == 0 {
		c.BulkVersion = 3
	}
}

func setDefault(s *string, value string) {
	if *s == "" {
		*s = value
	}
}

// resolve reads the file that Config names, lays the flags over it and fills
// the defaults. Faults of the file are a *diag.ListError.
func (c *config) resolve(a *app) error {
	if c.Config != "" {
		data, err := os.ReadFile(c.Config)
		if err != nil {
			return &usageError{fmt.Errorf("read configuration: %w", err)}
		}
		var file config
		list := parseConfig(c.Config, data, &file, a.getenv)
		if err := list.Err(); err != nil {
			return err
		}
		c.overlay(&file)
	}
	c.defaults()
	switch {
	case c.Policy != "withhold" && c.Policy != "flag":
		return usagef("policy %q: use withhold or flag", c.Policy)
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return usagef("a TLS certificate and its key go together: give both or none")
	case c.LogFormat != "text" && c.LogFormat != "json":
		return usagef("log format %q: use text or json", c.LogFormat)
	case c.TLSClientCA != "" && c.TLSCert == "":
		return usagef("client certificates need TLS: give --tls-cert and --tls-key, too")
	case (c.AdminAddr == "") != (c.AdminKeys == ""):
		return usagef("the administrators' API needs both --admin-addr and --admin-credentials")
	case c.AuditDays < 0:
		return usagef("audit days %d: use a number of days, or 0 for ever", c.AuditDays)
	case c.NoAuth && c.AuthToken != "":
		return usagef("--insecure-no-auth and another authorization server exclude each other")
	case c.AuthToken == "" && (c.AuthIssuer != "" || c.AuthJWKS != "" || c.AuthCheck != ""):
		return usagef("another authorization server needs its --auth-token-url, too")
	case c.BulkVersion != 3 && c.BulkVersion != 4:
		return usagef("bulk version %d: use 3 or 4", c.BulkVersion)
	case c.ChunkSize < 1:
		return usagef("chunk size %d: use a number above 0", c.ChunkSize)
	case c.MaxActive < 0:
		return usagef("max active %d: use a number above 0", c.MaxActive)
	case c.Workers < 0:
		return usagef("workers %d: use a number above 0", c.Workers)
	}
	if d, err := time.ParseDuration(c.Lease); err != nil || d < time.Second {
		return usagef("lease %q: use a time of a second or more, such as 15s", c.Lease)
	}
	if _, err := logLevel(c.LogLevel); err != nil {
		return err
	}
	return nil
}

// overlay takes from file whatever the flags left open.
func (c *config) overlay(file *config) {
	for _, s := range settings() {
		switch {
		case s.text != nil:
			setDefault(s.text(c), *s.text(file))
		case s.list != nil && len(*s.list(c)) == 0:
			*s.list(c) = *s.list(file)
		case s.number != nil && *s.number(c) == 0:
			*s.number(c) = *s.number(file)
		case s.flag != nil:
			*s.flag(c) = *s.flag(c) || *s.flag(file)
		}
	}
}

// parseConfig decodes the file strictly into c: unknown and doubled keys and
// wrong types are told all at once, with their places.
func parseConfig(name string, data []byte, c *config, getenv func(string) string) *diag.List {
	list := &diag.List{}
	p := &configParser{file: name, list: list, getenv: getenv}
	var doc yaml.Node
	if !utf8.Valid(data) {
		list.Errorf(diag.Pos{File: name}, "encoding", "not UTF-8 text")
		return list
	}
	if err := yaml.Unmarshal(data, &doc); err != nil {
		list.Errorf(yamlErrorPos(name, err), "yaml", "%s", yamlErrorText(err))
		return list
	}
	if len(doc.Content) == 0 {
		return list
	}
	p.root(doc.Content[0], c)
	return list
}

type configParser struct {
	file   string
	list   *diag.List
	getenv func(string) string
}

func (p *configParser) pos(n *yaml.Node) diag.Pos {
	return diag.Pos{File: p.file, Line: n.Line, Column: n.Column}
}

func (p *configParser) root(n *yaml.Node, c *config) {
	if n.Kind != yaml.MappingNode {
		p.list.Errorf(p.pos(n), "type", "expected a map of settings")
		return
	}
	all := settings()
	keys := make([]string, len(all))
	for i, s := range all {
		keys[i] = s.key
	}
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if first, doubled := seen[key.Value]; doubled {
			p.list.Errorf(p.pos(key), "duplicate-key", "%q is given twice", key.Value).WithRelated(p.pos(first), "first given at")
			continue
		}
		seen[key.Value] = key
		at := -1
		for j := range all {
			if all[j].key == key.Value {
				at = j
			}
		}
		if at < 0 {
			d := p.list.Errorf(p.pos(key), "unknown-key", "unknown setting %q", key.Value)
			if d.Hint = diag.DidYouMean(key.Value, keys); d.Hint == "" {
				d.Hint = "expected one of " + strings.Join(keys, ", ")
			}
			continue
		}
		p.value(&all[at], value, c)
	}
}

func (p *configParser) value(s *setting, n *yaml.Node, c *config) {
	switch {
	case s.text != nil:
		*s.text(c) = p.scalar(s.key, n)
	case s.list != nil:
		if n.Kind != yaml.SequenceNode {
			p.list.Errorf(p.pos(n), "type", "%s: expected a list", s.key)
			return
		}
		for _, item := range n.Content {
			*s.list(c) = append(*s.list(c), p.scalar(s.key, item))
		}
	case s.number != nil:
		v, err := strconv.Atoi(p.scalar(s.key, n))
		if err != nil {
			p.list.Errorf(p.pos(n), "type", "%s: expected a number", s.key)
			return
		}
		*s.number(c) = v
	case s.flag != nil:
		switch p.scalar(s.key, n) {
		case "true":
			*s.flag(c) = true
		case "false":
		default:
			p.list.Errorf(p.pos(n), "type", "%s: expected true or false", s.key)
		}
	}
}

// scalar is a text, or a reference to where it stands: {env: NAME} or {file: PATH}.
func (p *configParser) scalar(key string, n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode {
		return n.Value
	}
	if n.Kind != yaml.MappingNode || len(n.Content) != 2 {
		p.list.Errorf(p.pos(n), "type", "%s: expected a text, {env: NAME} or {file: PATH}", key)
		return ""
	}
	from, name := n.Content[0].Value, n.Content[1].Value
	switch from {
	case "env":
		v := p.getenv(name)
		if v == "" {
			p.list.Errorf(p.pos(n.Content[1]), "secret", "%s: environment variable %s is not set", key, name)
		}
		return v
	case "file":
		data, err := os.ReadFile(name)
		if err != nil {
			p.list.Errorf(p.pos(n.Content[1]), "secret", "%s: %v", key, err)
		}
		return strings.TrimRight(string(data), "\r\n")
	}
	p.list.Errorf(p.pos(n.Content[0]), "unknown-key", "%s: unknown reference %q", key, from).WithHint("use env or file")
	return ""
}

var yamlLine = regexp.MustCompile(`line (\d+): `)

func yamlErrorPos(file string, err error) diag.Pos {
	pos := diag.Pos{File: file}
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		pos.Line, _ = strconv.Atoi(m[1])
	}
	return pos
}

func yamlErrorText(err error) string {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	return yamlLine.ReplaceAllString(text, "")
}

// masked is an address without its password.
func masked(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "[unreadable]"
	}
	if u.User != nil {
		if _, has := u.User.Password(); has {
			u.User = url.UserPassword(u.User.Username(), "xxxxx")
		}
	}
	q := u.Query()
	changed := false
	for k := range q {
		if strings.Contains(strings.ToLower(k), "password") || strings.Contains(strings.ToLower(k), "secret") {
			q.Set(k, "xxxxx")
			changed = true
		}
	}
	if changed {
		u.RawQuery = q.Encode()
	}
	if u.User == nil && !changed {
		return address
	}
	return u.String()
}

type configCmd struct {
	config
}

// Help shows a worked line.
func (configCmd) Help() string {
	return "Example: remit config --config remit.yaml --addr 127.0.0.1:9000"
}

// Run prints the effective values as YAML that can be read back, secrets masked.
func (c *configCmd) Run(a *app) error {
	if err := c.resolve(a); err != nil {
		return err
	}
	return c.write(a.stdout)
}

func (c *config) write(w io.Writer) error {
	root := &yaml.Node{Kind: yaml.MappingNode}
	add := func(s setting, value *yaml.Node) {
		value.LineComment = s.help
		root.Content = append(root.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: s.key}, value)
	}
	for _, s := range settings() {
		switch {
		case s.text != nil:
			v := *s.text(c)
			if s.secret {
				v = masked(v)
			}
			n := &yaml.Node{}
			n.SetString(v)
			add(s, n)
		case s.list != nil:
			n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
			for _, v := range *s.list(c) {
				item := &yaml.Node{}
				item.SetString(v)
				n.Content = append(n.Content, item)
			}
			add(s, n)
		case s.number != nil:
			add(s, &yaml.Node{Kind: yaml.ScalarNode, Value: strconv.Itoa(*s.number(c))})
		case s.flag != nil:
			add(s, &yaml.Node{Kind: yaml.ScalarNode, Value: strconv.FormatBool(*s.flag(c))})
		}
	}
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return fmt.Errorf("print configuration: %w", err)
	}
	return enc.Close()
}
