//! Filters from any text, and from words of the syntax: parsed, printed, parsed again, and asked.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| understory::fuzzing::filter_text(bytes));
