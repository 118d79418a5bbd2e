//! A policy for tests: every hook, each told by configuration what to do
