//! The wire formats of the providers: reading, editing, usage, errors; pure
