//! The integration tests: the whole program in-process, and the tidy test
