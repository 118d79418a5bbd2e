module bare

go 1.25

// The runtime of the bindings: exactly the version that wit-bindgen 0.61.1 generates for.
require go.bytecodealliance.org/pkg v0.2.3
