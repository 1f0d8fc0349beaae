package auth

import (
	"crypto/rand"
	"strings"
)

// Registration is what an operator says of a new client.
type Registration struct {
	// ID is the client id; "" makes one.
	ID   string
	Name string
	// Keys is a JWK Set as JSON; KeysURL names one instead.
	Keys    []byte
	KeysURL string
	// Scope lists what the client may be granted at most, separated by spaces.
	Scope string
	// Groups lists the only groups the client may export; nil means no limit.
	Groups []string
	View   string
	// Fetch says which key URLs are allowed.
	Fetch FetchOptions
}

// newClientID makes an id that says nothing and collides with none.
func newClientID() string { return strings.ToLower(rand.Text()) }
