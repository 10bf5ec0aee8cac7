//! Sets of vectors on disk.

use std::path::Path;

use half::f16;
use understory::Metric;

/// Vectors of one dimension, one after the other.
pub(crate) struct Vectors {
    pub(crate) dimension: usize,
    components: Vec<f32>,
}

impl Vectors {
    pub(crate) fn len(&self) -> usize {
        self.components.len() / self.dimension
    }

    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.components[row * self.dimension..(row + 1) * self.dimension]
    }

    /// A two-dimensional .npy file in C order of float16, float32 or bytes.
    fn read(path: &Path) -> Vectors {
        let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00", "expected a .npy file of version 1");
        let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        let header = std::str::from_utf8(&bytes[10..end]).expect("a header in ASCII");
        let shape = header.split_once('(').and_then(|(_, rest)| rest.split_once(')')).expect("a shape").0;
        let sizes: Vec<usize> = shape.split(',').filter_map(|size| size.trim().parse().ok()).collect();
        let [_, dimension] = sizes[..] else { panic!("expected two dimensions, found {shape}") };
        let body = &bytes[end..];
        let components = if header.contains("<f2") {
            body.chunks_exact(2).map(|pair| f16::from_le_bytes([pair[0], pair[1]]).to_f32()).collect()
        } else if header.contains("<f4") {
            body.chunks_exact(4).map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect()
        } else {
            assert!(header.contains("|u1"), "expected float16, float32 or bytes, found {header}");
            body.iter().map(|&byte| f32::from(byte)).collect()
        };
        Vectors { dimension, components }
    }
}

/// Items and queries.
pub(crate) struct Set {
    pub(crate) name: String,
    pub(crate) metric: Metric,
    pub(crate) base: Vectors,
    pub(crate) queries: Vectors,
    /// A real field of the items, where the set has one.
    pub(crate) sections: Vec<String>,
}

impl Set {
    pub(crate) fn read(folder: &Path) -> Set {
        let name = folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let metric = if name.ends_with("euclidean") { Metric::Euclidean } else { Metric::Cosine };
        let base = ["base.npy", "embeddings.npy"].map(|file| folder.join(file));
        let base = base.iter().find(|path| path.is_file()).expect("vectors");
        let section = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
            line["section"].as_str().unwrap_or("none").to_owned()
        };
        let texts = std::fs::read_to_string(folder.join("texts.jsonl")).unwrap_or_default();
        let sections = texts.lines().map(section).collect();
        Set { name, metric, base: Vectors::read(base), queries: Vectors::read(&folder.join("queries.npy")), sections }
    }
}
