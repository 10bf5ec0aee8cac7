//! Command lines that are right, and those that are not.

use super::*;

fn parsed(line: &str) -> Result<Command> {
    parse(line.split_whitespace().map(OsString::from))
}

fn refused(line: &str) -> String {
    match parsed(line) {
        Err(Failure::Usage(what)) => what,
        other => panic!("{line}: expected a usage failure, found {other:?}"),
    }
}

#[test]
fn import_takes_its_options_in_any_order() {
    let expected = Import {
        store: "s".into(),
        file: "f.npy".into(),
        metric: Some(Metric::Euclidean),
        vectors: SegmentVectors::Float32,
        dim: Some(8),
        ids: Some("i".into()),
        metadata: Some("m.jsonl".into()),
        text_id: true,
        json: true,
    };
    for line in [
        "import s f.npy --metric euclidean --dim 8 --ids i --metadata m.jsonl --text-id --json",
        "import --json --ids=i --dim=8 --metric=euclidean s --text-id f.npy --metadata=m.jsonl",
    ] {
        let Command::Import(import) = parsed(line).unwrap() else { panic!("{line}") };
        assert_eq!(import, expected, "{line}");
    }
    let Command::Import(import) = parsed("import s f.npy").unwrap() else { panic!() };
    assert_eq!((import.metric, import.ids, import.metadata), (None, None, None));
}

#[test]
fn export_knows_the_number_of_trees() {
    let export = |trees| Command::Export(Export { store: "s".into(), file: "f.ann".into(), trees });
    assert_eq!(parsed("export s f.ann").unwrap(), export(DEFAULT_TREES));
    assert_eq!(parsed("export --trees=-1 s f.ann").unwrap(), export(-1));
    assert!(refused("export s").contains("FILE"));
}

#[test]
fn search_knows_two_targets_and_four_efforts() {
    let search = |line: &str| match parsed(line).unwrap() {
        Command::Search(search) => (search.target, search.k, search.effort),
        other => panic!("{line}: {other:?}"),
    };
    let row = |row| Target::Row { file: "q.npy".into(), row };
    assert_eq!(search("search s --query q.npy"), (row(0), 10, Effort::Default));
    assert_eq!(search("search s --query q.npy --row 3 -k 5 --exact"), (row(3), 5, Effort::Exact));
    assert_eq!(search("search s --near 17 -k5 --effort 900"), (Target::Item(17.into()), 5, Effort::Items(900)));
    let text = Target::Item("17".into());
    assert_eq!(search("search s --near 17 --text-id --recall .9"), (text, 10, Effort::Recall(0.9)));
    assert_eq!(search("search s --near note-17 -k 0"), (Target::Item("note-17".into()), 0, Effort::Default));
}

#[test]
fn the_other_commands_take_a_store() {
    let bench = Bench {
        store: "s".into(),
        queries: "q.npy".into(),
        truth: Truth::File("t.npy".into()),
        k: 10,
        exact_distances: false,
        json: false,
    };
    assert_eq!(parsed("bench s --queries q.npy --truth t.npy"), Ok(Command::Bench(bench)));
    assert!(refused("bench s --queries q.npy --truth t.npy --filter a=1").contains("found both"));
    let count = |filter| Command::Count { store: "s".into(), filter, json: false };
    assert_eq!(parsed("count s"), Ok(count(None)));
    assert_eq!(parsed("count --filter a=1 s"), Ok(count(Some(understory::field("a").is(1)))));
    assert!(refused("count s --filter a=").contains("column 3"));
    assert_eq!(parsed("stats s --json"), Ok(Command::Stats { store: "s".into(), json: true }));
    assert_eq!(parsed("verify s"), Ok(Command::Verify { store: "s".into() }));
    let salvage = Command::Salvage { store: "s".into(), target: "t".into(), json: true };
    assert_eq!(parsed("salvage s --json t"), Ok(salvage));
    assert!(refused("salvage s").contains("DEST"));
    assert_eq!(parsed("compact -- -s"), Ok(Command::Compact { store: "-s".into() }));
    for line in ["--help", "-h", "help", "import --help", "search s --near 3 -h"] {
        assert_eq!(parsed(line), Ok(Command::Help), "{line}");
    }
    assert_eq!(parsed("--version"), Ok(Command::Version));
}

#[test]
fn wrong_usage_says_what_was_expected() {
    for (line, reason) in [
        ("", "expected a command"),
        ("grow s", "found \"grow\""),
        ("--grow", "--grow"),
        ("import", "expected STORE"),
        ("import s", "expected FILE"),
        ("import s f g", "\"g\""),
        ("import s f --metric jaccard", "manhattan or hamming"),
        ("import s f --ids", "--ids"),
        ("import s f --exact", "--exact"),
        ("search s", "--query or --near"),
        ("search s --query q --near 3", "both"),
        ("search s --near 3 --row 1", "--row"),
        ("search s --near 3 -k -1", "-1"),
        ("search s --near 3 -k many", "many"),
        ("search s --near 3 --k 2", "--k"),
        ("search s --near 3 --recall 1.5", "1.5"),
        ("search s --near 3 --recall NaN", "NaN"),
        ("search s --near 3 --recall 0.9 --exact", "several"),
        ("search s --near 99999999999999999999", "2^64"),
        ("bench s --queries q", "--truth"),
        ("bench s --truth t", "--queries"),
        ("bench s --queries q --truth t -k 0", "at least 1"),
        ("stats", "expected STORE"),
        ("verify s --json", "--json"),
        ("compact s t", "\"t\""),
    ] {
        let what = refused(line);
        assert!(what.contains(reason), "{line}: {what}");
    }
}

#[test]
fn digits_are_numbers_unless_ids_are_texts() {
    assert_eq!(parse_id("007", false), Ok(Id::from(7)));
    assert_eq!(parse_id("007", true), Ok(Id::from("007")));
    assert_eq!(parse_id("+7", false), Ok(Id::from("+7")));
    assert_eq!(parse_id("18446744073709551615", false), Ok(Id::from(u64::MAX)));
}
