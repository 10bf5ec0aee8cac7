//! A block of rows damaged as the input says, its checksums put right again: decoded, and encoded again.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| understory::fuzzing::rows(script));
