//! Stored metadata from any bytes: read, and stored again.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| understory::fuzzing::stored_metadata(bytes));
