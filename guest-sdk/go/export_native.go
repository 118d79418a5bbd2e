//go:build !wasip1

package weir

import (
	"fmt"
	"strings"
)

var hooks []string

// Export makes a policy the component's: configure makes it from its configuration. Call it once, in `init`
// of the main package.
func Export[Config, Policy any](configure func(config Config) (Policy, error)) {
	var policy Policy
	hooks = hooksOf(policy)
}

// Main is all that `main` does: outside of a component it tells build.sh which hooks the policy has.
func Main() { fmt.Println("hooks:", strings.Join(hooks, " ")) }
