//! What `open` refuses: each time with a typed error, and without a change to what it found.

use std::path::Path;

use understory::{Error, MAX_DIMENSION, Metric, Options, Store};

use crate::support::{Dir, assert_mentions, manual, refused, row_file};
use crate::three_items::{assert_works_on, three_items};

#[test]
fn a_path_that_is_a_file() {
    let dir = Dir::new();
    std::fs::write(dir.store(), "a letter").unwrap();
    let error = refused(Store::open(dir.store()));
    assert!(matches!(&error, Error::NotAStore { path, .. } if *path == dir.store()), "{error:?}");
    assert_mentions(&error, &["expected a store", "file", "a.understory"]);
    assert_eq!(std::fs::read(dir.store()).unwrap(), b"a letter");
}

#[test]
fn a_directory_of_other_files() {
    let dir = Dir::new();
    std::fs::create_dir(dir.store()).unwrap();
    std::fs::write(dir.store().join("letter.txt"), "dear").unwrap();
    let error = refused(Store::open(dir.store()));
    assert!(matches!(&error, Error::NotAStore { path, .. } if *path == dir.store()), "{error:?}");
    assert_mentions(&error, &["expected a store", "a.understory"]);
    let names: Vec<_> = std::fs::read_dir(dir.store()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["letter.txt"], "nothing was added or removed");
}

/// So many threads were started, or tried to be, at the first build or batch.
#[test]
fn options_out_of_bounds() {
    let dir = Dir::new();
    let cases = [
        (Options::new().threads(1025), "at most 1024 threads, found 1025"),
        (Options::new().threads(usize::MAX), "at most 1024 threads"),
        (Options::new().trees(0), "1 to 64 trees, found 0"),
        (Options::new().trees(65), "1 to 64 trees, found 65"),
        (Options::new().dimension(0), "found 0"),
    ];
    for (options, mention) in cases {
        let error = refused(Store::open_with(dir.store(), options));
        assert!(matches!(error, Error::InvalidArgument(_)), "{error:?}");
        assert_mentions(&error, &["expected", mention]);
        assert!(!dir.store().exists(), "expected nothing to be made");
    }
}

#[test]
fn an_empty_directory_becomes_a_store() {
    let dir = Dir::new();
    std::fs::create_dir(dir.store()).unwrap();
    Store::open(dir.store()).unwrap().insert(1, [1.0]).unwrap();
    assert_eq!(Store::open(dir.store()).unwrap().len().unwrap(), 1);
}

#[test]
fn a_missing_parent_directory() {
    let dir = Dir::new();
    let path = dir.path().join("missing").join("a.understory");
    let error = refused(Store::open(&path));
    assert!(matches!(&error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound), "{error:?}");
    assert_mentions(&error, &["missing"]);
    assert!(!dir.path().join("missing").exists(), "expected no directory to be made up");
}

#[test]
fn a_missing_store_that_must_not_be_created() {
    let dir = Dir::new();
    let error = refused(Store::open_with(dir.store(), Options::new().create(false)));
    assert!(matches!(error, Error::NotAStore { .. } | Error::Io { .. }), "{error:?}");
    assert_mentions(&error, &["a.understory"]);
    assert!(!dir.store().exists());
}

#[test]
fn a_store_that_is_open_already() {
    let (dir, store, model) = three_items(Metric::Cosine);
    let error = refused(Store::open(dir.store()));
    assert!(matches!(&error, Error::Locked(path) if *path == dir.store()), "{error:?}");
    assert_mentions(&error, &["a.understory", "open"]);

    assert_works_on(&dir, store, model);
}

#[test]
fn a_store_of_another_metric() {
    let (dir, store, model) = three_items(Metric::Euclidean);
    drop(store);
    let error = refused(Store::open_with(dir.store(), Options::new().metric(Metric::Dot)));
    let expected = matches!(error, Error::MetricMismatch { stored: Metric::Euclidean, requested: Metric::Dot });
    assert!(expected && error.is_usage(), "{error:?}");
    assert_mentions(&error, &["euclidean", "dot"]);
    let store = Store::open(dir.store()).expect("a default open accepts what is stored");
    assert_eq!(store.metric(), Metric::Euclidean);
    assert_works_on(&dir, store, model);
}

#[test]
fn a_store_of_another_dimension() {
    let (dir, store, model) = three_items(Metric::Cosine);
    drop(store);
    let error = refused(Store::open_with(dir.store(), Options::new().dimension(4)));
    assert!(error.is_usage(), "{error:?}");
    assert_mentions(&error, &["dimension 4", "dimension 3"]);
    let store = Store::open_with(dir.store(), manual(Metric::Cosine).dimension(3)).unwrap();
    assert_works_on(&dir, store, model);
}

#[test]
fn a_dimension_that_no_store_can_have() {
    let dir = Dir::new();
    for dimension in [0, MAX_DIMENSION + 1] {
        let error = refused(Store::open_with(dir.store(), Options::new().dimension(dimension)));
        assert!(error.is_usage(), "{error:?}");
        assert_mentions(&error, &[&dimension.to_string()]);
    }
}

#[test]
fn a_fixed_dimension_holds_before_the_first_write() {
    let dir = Dir::new();
    let store = Store::open_with(dir.store(), Options::new().dimension(3)).unwrap();
    assert_eq!(store.dimension(), Some(3));
    let error = refused(store.insert(1, [1.0, 2.0]));
    assert!(matches!(error, Error::DimensionMismatch { expected: 3, found: 2 }), "{error:?}");
    drop(store);
    assert_eq!(Store::open(dir.store()).unwrap().dimension(), Some(3), "kept by an empty store");
}

/// Rewrites the format row as another version of the library would have left it.
fn patch_format(store: &Path, version: u32, incompatible: u64, compatible: u64) {
    let mut value = Vec::new();
    value.extend_from_slice(&version.to_le_bytes());
    value.extend_from_slice(&incompatible.to_le_bytes());
    value.extend_from_slice(&compatible.to_le_bytes());
    let checksum = crc32fast::hash(&[b"meta\0format", &value[..]].concat());
    value.extend_from_slice(&checksum.to_le_bytes());
    put_format(store, &value);
}

fn put_format(store: &Path, value: &[u8]) {
    let meta = redb::TableDefinition::<&[u8], &[u8]>::new("meta");
    let database = redb::Database::open(row_file(store)).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(meta).unwrap().insert(&b"format"[..], value).unwrap();
    transaction.commit().unwrap();
}

#[test]
fn a_store_of_a_newer_format() {
    let (dir, store, model) = three_items(Metric::Cosine);
    drop(store);
    patch_format(&dir.store(), 2, 0, 0);
    let error = refused(Store::open(dir.store()));
    assert!(matches!(error, Error::UnsupportedFormat { supported: 1, .. }), "{error:?}");
    assert_mentions(&error, &["version 2", "to 1"]);

    patch_format(&dir.store(), 1, 1 << 40, 0);
    let error = refused(Store::open(dir.store()));
    assert!(!error.is_corruption() && !error.is_usage(), "a feature this build does not know: {error:?}");

    patch_format(&dir.store(), 1, 0, 1 << 40);
    let store = Store::open_with(dir.store(), manual(Metric::Cosine)).expect("a compatible feature does no harm");
    assert_works_on(&dir, store, model);
}

#[test]
fn a_format_row_with_a_wrong_checksum() {
    let (dir, store, _) = three_items(Metric::Cosine);
    drop(store);
    put_format(&dir.store(), &[1; 24]);
    let error = refused(Store::open(dir.store()));
    assert!(error.is_corruption(), "{error:?}");
    assert_mentions(&error, &["format", "checksum"]);
}

#[test]
fn a_damaged_row_file() {
    let (dir, store, _) = three_items(Metric::Cosine);
    drop(store);
    let file = row_file(&dir.store());
    let whole = std::fs::read(&file).unwrap();
    let mut headless = whole.clone();
    headless[..4096].fill(0);
    let garbage: Vec<u8> = (0..whole.len()).map(|at| (at * 31 + at / 7) as u8).collect();
    let cases = [
        ("half of it", whole[..whole.len() / 2].to_vec()),
        ("a hundred bytes", whole[..100].to_vec()),
        ("nothing", Vec::new()),
        ("a zeroed header", headless),
        ("garbage", garbage),
    ];
    for (case, bytes) in cases {
        std::fs::write(&file, &bytes).unwrap();
        let error = refused(Store::open(dir.store()));
        assert!(!error.is_usage(), "{case}: {error:?}");
        assert_mentions(&error, &["store-"]);
        assert_eq!(std::fs::read(&file).unwrap().len(), bytes.len(), "{case}: expected the file to be left alone");
    }
}

/// Other programs may hold a file, and Windows removes none that is held; here a directory has the name of a leftover.
#[test]
fn a_leftover_that_cannot_be_removed_is_no_reason_not_to_open() {
    let (dir, store, _) = three_items(Metric::Cosine);
    store.flush().unwrap();
    drop(store);
    let leftovers = ["store-0000000000.redb.tmp", "segments/0000000000000009-0123456789abcdef.seg"];
    leftovers.iter().for_each(|name| std::fs::create_dir(dir.store().join(name)).unwrap());
    let store = Store::open(dir.store()).expect("nothing refers to what is left");
    assert_eq!(store.open_report().swept_files, [] as [std::path::PathBuf; 0]);
    assert_eq!(store.len().unwrap(), 3);
    store.compact().unwrap();
    store.close().unwrap();
    leftovers.iter().for_each(|name| std::fs::remove_dir(dir.store().join(name)).unwrap());
}

#[test]
fn a_store_whose_row_file_is_gone() {
    let (dir, store, _) = three_items(Metric::Cosine);
    store.flush().unwrap();
    drop(store);
    std::fs::remove_file(row_file(&dir.store())).unwrap();
    let error = refused(Store::open(dir.store()));
    assert_mentions(&error, &["a.understory"]);
    let segments = std::fs::read_dir(dir.store().join("segments")).unwrap().count();
    assert_eq!(segments, 1, "expected the segment, the last copy of the vectors, to be left alone");
}

#[cfg(unix)]
#[test]
fn a_read_only_directory() {
    use std::os::unix::fs::PermissionsExt;
    let set = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();

    let dir = Dir::new();
    let parent = dir.path().join("parent");
    std::fs::create_dir(&parent).unwrap();
    set(&parent, 0o555);
    // The superuser writes anywhere.
    if std::fs::write(parent.join("probe"), "").is_ok() {
        return;
    }
    let error = refused(Store::open(parent.join("a.understory")));
    set(&parent, 0o755);
    assert!(
        matches!(&error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied),
        "{error:?}"
    );
    assert_mentions(&error, &["a.understory"]);
}
