//! The program: configuration, pipeline, server, admin API
