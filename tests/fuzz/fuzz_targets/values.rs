//! Values of the row file, manifest rows among them, from any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| understory::fuzzing::values(bytes));
