//! Unit tests; the concurrent properties are proved in `tests/loom.rs`.
