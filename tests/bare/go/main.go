// The policy of tests/bare in Go: wit-bindgen's bindings of the interface (generated beside this file when
// it is built) and their runtime, nothing else.
package main

import _ "bare/wit_exports"

func main() {}
