module policies/weir-template

go 1.25

require weir/sdk v0.2.0

require go.bytecodealliance.org/pkg v0.2.3 // indirect

replace weir/sdk => ./weir-sdk
