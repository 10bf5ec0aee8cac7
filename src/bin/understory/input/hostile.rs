//! Every reader against valid files that were edited at random: rows or a failure, never a panic or more than the file
//! justifies. `UNDERSTORY_HOSTILE` says how many edits of each file, `tests/fuzz` does the same with a fuzzer.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::*;

fn valid_files() -> Vec<(&'static str, Vec<u8>)> {
    let floats: Vec<u8> = (0..12u8).flat_map(|value| f32::from(value).to_le_bytes()).collect();
    let npy = |descr: &str, shape: &str, elements: &[u8]| {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let length = (header.len() as u16).to_le_bytes();
        [&b"\x93NUMPY\x01\x00"[..], &length, header.as_bytes(), elements].concat()
    };
    let row = |component: &[u8]| [&3i32.to_le_bytes()[..], component].concat();
    let json =
        "[1, 2.5]\n{\"id\":\"a\",\"vector\":[3,4],\"metadata\":{\"n\":1e3,\"tags\":[\"\\u00e9\",null]}}\n[-0.5,7]";
    let lines = "{\"year\": 2020, \"tags\": [\"x\", true]}\r\n{}\n";
    let item = |number: i32| [&number.to_le_bytes()[..], &[0; 8], &floats[..12]].concat();
    vec![
        ("a.npy", npy("<f4", "(4, 3)", &floats)),
        ("b.npy", npy("|u1", "(4, 3)", &floats[..12])),
        ("c.npy", npy("<f8", "(6,)", &floats)),
        ("ids.npy", npy("<i8", "(2, 3)", &floats)),
        ("a.fvecs", [row(&floats[..12]), row(&floats[12..24])].concat()),
        ("a.bvecs", [row(&floats[..3]), row(&floats[3..6])].concat()),
        ("a.jsonl", json.into()),
        ("lines", lines.into()),
        ("a.ann", [item(1), item(1), item(1), item(3), item(3)].concat()),
    ]
}

fn edited(valid: &[u8], generator: &mut Xoshiro256PlusPlus) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    for _ in 0..generator.random_range(1..4) {
        let at = generator.random_range(0..bytes.len().max(1));
        let chosen = b"()[]{}',\":0123456789eE-+.<>|fiu\\\x00\xff\n"[generator.random_range(0..35)];
        match generator.random_range(0..6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at.min(bytes.len()), chosen),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 if at < bytes.len() => bytes[at] ^= 1 << generator.random_range(0..8),
            4 if at + 4 <= bytes.len() => {
                let extreme = [0, 1, -1, i32::MAX, i32::MIN, 1 << 20][generator.random_range(0..6)];
                bytes[at..at + 4].copy_from_slice(&extreme.to_le_bytes());
            }
            _ if at < bytes.len() => bytes[at] = chosen,
            _ => {}
        }
    }
    bytes
}

/// Reads a whole file; whether that went well.
fn read_all(source: Result<Box<dyn RowSource>>, len: usize) -> bool {
    let Ok(mut source) = source else { return false };
    let (mut row, mut rows) = (Row::default(), 0);
    loop {
        match source.read(&mut row) {
            Ok(true) => rows += 1,
            Ok(false) => break,
            Err(_) => return false,
        }
        assert!(row.vector.len() <= len, "expected at most {len} components, found {}", row.vector.len());
    }
    assert_eq!(rows, source.rows(), "expected as many rows as the file was said to have");
    true
}

fn use_file(path: &Path, len: usize) -> bool {
    match path.file_name().and_then(|name| name.to_str()) {
        Some("ids.npy") => read_row_numbers(path).is_ok(),
        Some("a.ann") => read_all(open_ann(path, 3, understory::Metric::Cosine), len),
        Some("lines") => {
            let Ok(mut lines) = Lines::open(path) else { return false };
            while let Ok(Some(line)) = lines.next_line() {
                if metadata_object(line).is_err() {
                    return false;
                }
            }
            count_lines(path).is_ok()
        }
        _ => read_all(open(path), len),
    }
}

#[test]
fn edited_files_are_read_or_refused() {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let rounds: usize = std::env::var("UNDERSTORY_HOSTILE").map_or(1000, |text| text.parse().unwrap());
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(5);
    for (name, valid) in valid_files() {
        let path = folder.path().join(name);
        let use_bytes = |bytes: &[u8]| {
            // A new file each time: an .ann may still be mapped.
            let _ = std::fs::remove_file(&path);
            std::fs::write(&path, bytes).unwrap();
            use_file(&path, bytes.len())
        };
        assert!(use_bytes(&valid), "{name}: expected the file to be read before it is damaged");
        let read = (0..rounds).filter(|_| use_bytes(&edited(&valid, &mut generator))).count();
        assert!(read > 0 && read < rounds, "{name}: {read} of {rounds} were read");
    }
}
