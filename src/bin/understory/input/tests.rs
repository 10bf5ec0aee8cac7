//! Every reader against files that are right, wrong, cut short and damaged.

use super::*;

fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn npy(version: u8, descr: &str, fortran_order: &str, shape: &str, elements: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': {descr}, 'fortran_order': {fortran_order}, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY".to_vec();
    bytes.extend([version, 0]);
    let length = u32::try_from(header.len()).unwrap().to_le_bytes();
    bytes.extend(if version == 1 { &length[..2] } else { &length[..] });
    bytes.extend(header.as_bytes());
    bytes.extend(elements);
    bytes
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn vectors(name: &str, bytes: &[u8]) -> Result<Vec<Vec<f32>>> {
    let (_folder, path) = file(name, bytes);
    read_vectors(&path)
}

fn refusal(name: &str, bytes: &[u8]) -> String {
    match vectors(name, bytes) {
        Err(Failure::Work(what)) => what,
        other => panic!("{name}: expected a failure, found {other:?}"),
    }
}

#[test]
fn npy_of_every_version_and_element_type_is_read() {
    let expected = vec![vec![0.0, 1.0, 2.0], vec![3.0, 100.0, 5.0]];
    let values: Vec<f32> = expected.concat();
    let halves: Vec<u8> = values.iter().flat_map(|&value| half::f16::from_f32(value).to_le_bytes()).collect();
    let doubles: Vec<u8> = values.iter().flat_map(|&value| f64::from(value).to_le_bytes()).collect();
    let small: Vec<u8> = values.iter().map(|&value| value as u8).collect();
    for version in [1, 2, 3] {
        for (descr, elements) in [
            ("'<f2'", &halves),
            ("'<f4'", &floats(&values)),
            ("'<f8'", &doubles),
            ("'|u1'", &small),
            ("'|i1'", &small),
        ] {
            let bytes = npy(version, descr, "False", "(2, 3)", elements);
            assert_eq!(vectors("a.npy", &bytes), Ok(expected.clone()), "version {version}, {descr}");
        }
    }
    let signed = npy(1, "'|i1'", "False", "(1, 2)", &[0xff, 0x80]);
    assert_eq!(vectors("a.npy", &signed), Ok(vec![vec![-1.0, -128.0]]));
    let unsigned = npy(1, "'|u1'", "False", "(1, 2)", &[0xff, 0x80]);
    assert_eq!(vectors("A.NPY", &unsigned), Ok(vec![vec![255.0, 128.0]]));
}

#[test]
fn npy_of_one_dimension_is_one_row_and_of_no_rows_is_empty() {
    let one = npy(1, "'<f4'", "False", "(3,)", &floats(&[1.0, 2.0, 3.0]));
    assert_eq!(vectors("a.npy", &one), Ok(vec![vec![1.0, 2.0, 3.0]]));
    assert_eq!(vectors("a.npy", &npy(1, "'<f4'", "False", "(0, 3)", &[])), Ok(vec![]));
    // No bytes of elements, and so no buffer, however wide the rows would be.
    assert_eq!(vectors("a.npy", &npy(1, "'<f4'", "False", "(0, 999999999999)", &[])), Ok(vec![]));
}

#[test]
fn npy_that_cannot_be_read_says_why() {
    let two = floats(&[1.0, 2.0]);
    let ending = &mut npy(1, "'<f4'", "False", "(1, 2)", &two);
    ending.push(0);
    let mut version = npy(1, "'<f4'", "False", "(1, 2)", &two);
    version[6] = 4;
    for (bytes, reason) in [
        (npy(1, "'<f4'", "True", "(1, 2)", &two), "Fortran order"),
        (npy(1, "'>f4'", "False", "(1, 2)", &two), "big-endian"),
        (npy(1, "'<i4'", "False", "(1, 2)", &two), "elements of type"),
        (npy(1, "[('a', '<f4')]", "False", "(2,)", &two), "structured"),
        (npy(1, "'<f4'", "False", "(1, 2, 1)", &two), "two dimensions, found 3"),
        (npy(1, "'<f4'", "False", "()", &two), "two dimensions, found 0"),
        (npy(1, "'<f4'", "False", "(2, 0)", &[]), "0 columns"),
        (npy(1, "'<f4'", "False", "(2, 2)", &two), "expected 16 bytes"),
        (npy(1, "'<f4'", "False", "(9223372036854775807, 4)", &two), "fits a file"),
        (npy(1, "'<f4'", "False", "(1, 9223372036854775807)", &two), "fits a file"),
        (npy(1, "'<f4'", "False", "(1000000000000, 1)", &two), "expected 4000000000000 bytes"),
        (ending.clone(), "expected 8 bytes"),
        (version, "found 4.0"),
        (b"PK\x03\x04 a zipped file".to_vec(), "another magic number"),
        (Vec::new(), "a file of 0 bytes"),
    ] {
        let what = refusal("a.npy", &bytes);
        assert!(what.contains(reason) && what.contains("a.npy"), "{reason}: {what}");
    }
}

#[test]
fn a_file_cut_anywhere_fails_and_no_changed_header_byte_panics() {
    let npy = npy(1, "'<f4'", "False", "(2, 2)", &floats(&[1.0, 2.0, 3.0, 4.0]));
    let fvecs = [&2_i32.to_le_bytes()[..], &floats(&[1.0, 2.0]), &2_i32.to_le_bytes(), &floats(&[3.0, 4.0])].concat();
    for end in 0..npy.len() {
        refusal("a.npy", &npy[..end]);
    }
    for end in (1..fvecs.len()).filter(|end| *end != fvecs.len() / 2) {
        refusal("a.fvecs", &fvecs[..end]);
    }
    for place in 0..npy.len() - 16 {
        let mut changed = npy.clone();
        changed[place] ^= 0x15;
        // Any answer but a panic: some changes are spaces or another element type of the same size.
        let _ = vectors("a.npy", &changed);
    }
}

#[test]
fn a_header_longer_than_the_file_is_refused_before_it_is_allocated() {
    let mut bytes = npy(2, "'<f4'", "False", "(1, 1)", &floats(&[1.0]));
    bytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(refusal("a.npy", &bytes).contains("expected a .npy header"));
}

/// Files of any length that hold nothing but a hole justify no memory: what is as large is no header, row or line.
#[test]
fn a_sparse_file_is_refused_before_its_length_is_allocated() {
    let sparse = |name: &str, bytes: &[u8], length: u64| {
        let (_folder, path) = file(name, bytes);
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(length).unwrap();
        match read_vectors(&path) {
            Err(Failure::Work(what)) => what,
            other => panic!("{name}: expected a failure, found {} vectors", other.unwrap().len()),
        }
    };
    let header = [&b"\x93NUMPY\x02\x00"[..], &(1_u32 << 31).to_le_bytes()].concat();
    assert!(sparse("a.npy", &header, 1 << 32).contains("a header of at most 65536 bytes, found 2147483648"));
    let wide = npy(1, "'<f4'", "False", "(1, 250000000)", &[]);
    let length = wide.len() as u64 + 1_000_000_000;
    assert!(sparse("a.npy", &wide, length).contains("at most 16384 components, found 250000000"));
    let row = 250_000_000_i32.to_le_bytes();
    assert!(sparse("a.fvecs", &row, 4 + 1_000_000_000).contains("at most 16384 components, found 250000000"));
    assert!(sparse("a.jsonl", b"[1,\n[2", 200 << 20).contains("line 1: expected an array of numbers"));
    assert!(sparse("a.jsonl", b"[1", 200 << 20).contains("line 1: expected a line of at most 67108864 bytes"));
}

#[test]
fn row_numbers_of_four_types_are_read_and_negative_ones_refused() {
    let read = |descr: &str, elements: &[u8]| {
        let (_folder, path) = file("truth.npy", &npy(1, descr, "False", "(2, 1)", elements));
        read_row_numbers(&path).map(|numbers| (numbers.columns, numbers.rows))
    };
    let expected = Ok((1, vec![vec![7], vec![300]]));
    assert_eq!(read("'<i4'", &[7_i32, 300].map(i32::to_le_bytes).concat()), expected);
    assert_eq!(read("'<u4'", &[7_u32, 300].map(u32::to_le_bytes).concat()), expected);
    assert_eq!(read("'<i8'", &[7_i64, 300].map(i64::to_le_bytes).concat()), expected);
    assert_eq!(read("'<u8'", &[7_u64, 300].map(u64::to_le_bytes).concat()), expected);
    let negative = read("'<i4'", &[7_i32, -1].map(i32::to_le_bytes).concat());
    assert!(matches!(negative, Err(Failure::Work(what)) if what.contains("row 1")));
    let floats = read("'<f4'", &floats(&[1.0, 2.0]));
    assert!(matches!(floats, Err(Failure::Work(what)) if what.contains("i4, i8, u4, u8")));
}

#[test]
fn fvecs_and_bvecs_are_read_and_checked() {
    let row = |values: &[f32]| [&(values.len() as i32).to_le_bytes()[..], &floats(values)].concat();
    let two = [row(&[1.0, -2.0]), row(&[3.0, 4.0])].concat();
    assert_eq!(vectors("a.fvecs", &two), Ok(vec![vec![1.0, -2.0], vec![3.0, 4.0]]));
    assert_eq!(vectors("a.fvecs", &[]), Ok(vec![]));
    let bytes = [&2_i32.to_le_bytes()[..], &[1, 255]].concat();
    assert_eq!(vectors("a.bvecs", &bytes), Ok(vec![vec![1.0, 255.0]]));

    let mut mixed = two.clone();
    mixed[12] = 3;
    assert!(refusal("a.fvecs", &mixed).contains("expected dimension 2 at row 1, found 3"));
    assert!(refusal("a.fvecs", &two[..13]).contains("rows of 12 bytes"));
    assert!(refusal("a.fvecs", &two[..3]).contains("begin with 4 bytes of dimension, found 3 bytes"));
    assert!(refusal("a.fvecs", &(-1_i32).to_le_bytes()).contains("found -1"));
    assert!(refusal("a.bvecs", &0_i32.to_le_bytes()).contains("found 0"));
    assert!(refusal("a.fvecs", &i32::MAX.to_le_bytes()).contains("found 4 bytes"));
}

#[test]
fn json_lines_are_arrays_or_objects() {
    let text = "[1, 2.5]\r\n{\"id\":\"a\",\"vector\":[3,4],\"metadata\":{\"n\":1,\"tags\":[\"x\"]}}\n{\"vector\":[5,6],\"id\":9}";
    let (_folder, path) = file("a.jsonl", text.as_bytes());
    let mut source = open(&path).unwrap();
    assert_eq!(source.rows(), 3);
    let mut rows = Vec::new();
    let mut row = Row::default();
    while source.read(&mut row).unwrap() {
        rows.push((row.id.take(), std::mem::take(&mut row.vector), row.metadata.take()));
    }
    let metadata = metadata_object("{\"n\":1,\"tags\":[\"x\"]}").unwrap();
    assert_eq!(rows[0], (None, vec![1.0, 2.5], None));
    assert_eq!(rows[1], (Some(Id::from("a")), vec![3.0, 4.0], Some(metadata)));
    assert_eq!(rows[2], (Some(Id::from(9)), vec![5.0, 6.0], None));
}

#[test]
fn json_lines_that_cannot_be_read_name_the_line() {
    for (line, reason) in [
        ("", "expected an array"),
        ("[1, \"a\"]", "array of numbers"),
        ("{\"vector\":[1],\"more\":2}", "more"),
        ("{\"id\":3}", "vector"),
        ("{\"id\":-3,\"vector\":[1]}", "found -3"),
        (
            "{\"vector\":[1],\"metadata\":{\"a\":[{}]}}",
            "\"a\": expected null, a boolean, a number, a text or bytes inside a list",
        ),
    ] {
        let what = refusal("a.jsonl", format!("[1]\n{line}\n").as_bytes());
        assert!(what.contains("line 2") && what.contains(reason), "{line}: {what}");
        assert!(!what.contains("line 1"), "{line}: {what}");
    }
    assert!(refusal("a.jsonl", b"[1]\n\xff\n").contains("line 2: expected UTF-8"));
    for (line, reason) in [("[1]", "found [1]"), ("{\"a\":[[1]]}", "\"a\""), ("{", "JSON object")] {
        let what = metadata_object(line).unwrap_err();
        assert!(what.contains(reason), "{line}: {what}");
    }
}

#[test]
fn other_files_are_refused_plainly() {
    assert!(refusal("a.ann", b"").contains("import alone"));
    assert!(refusal("a.csv", b"").contains("another extension"));
    let missing = read_vectors(Path::new("no/such/file.npy"));
    assert!(matches!(missing, Err(Failure::Work(what)) if what.contains("no/such/file.npy")));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    std::fs::create_dir(&path).unwrap();
    assert!(matches!(read_vectors(&path), Err(Failure::Work(what)) if what.contains("a.npy")));
    let (_folder, path) = file("a.npy", &npy(1, "'<f4'", "False", "(2, 1)", &floats(&[1.0, 2.0])));
    assert_eq!(read_vector(&path, 1), Ok(vec![2.0]));
    assert!(matches!(read_vector(&path, 2), Err(Failure::Work(what)) if what.contains("found 2 rows")));
}

#[test]
fn lines_are_counted_with_and_without_a_last_end() {
    for (text, expected) in [("", 0), ("a", 1), ("a\n", 1), ("a\n\nb", 3), ("\n", 1)] {
        let (_folder, path) = file("lines", text.as_bytes());
        assert_eq!(count_lines(&path), Ok(expected), "{text:?}");
    }
}
