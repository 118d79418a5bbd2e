// Package host is what a policy may ask of the host: in a component the bindings, elsewhere a double.
package host

// Pair is a name and a value.
type Pair struct{ Name, Value string }

// Error is what the host could not do, in its own words.
type Error string

func (e Error) Error() string { return string(e) }
