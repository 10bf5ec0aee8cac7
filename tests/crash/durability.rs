//! What a write has survived when its call returns. The processes here end by a kill, so nothing is closed or dropped.

use std::path::Path;
use std::time::Duration;

use understory::{Durability, Id, Options, Store};

use crate::children;
use crate::support::Dir;

/// Child: ten writes, a flush, ten more writes, and then no end.
pub(crate) fn write_and_wait(path: &Path, durability: Durability) {
    let store = Store::open_with(path, Options::new().durability(durability)).unwrap();
    for id in 0..20 {
        if id == 10 {
            store.flush().unwrap();
        }
        store.insert(id, [id as f32, 1.0, 2.0]).unwrap();
    }
    children::say("written");
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn ids_after_kill(task: &str) -> Vec<Id> {
    let _alone = children::alone();
    let dir = Dir::new();
    children::kill_after(children::spawn(task, &dir.store()), "written");
    let store = Store::open(dir.store()).unwrap();
    let ids: Vec<Id> = store.ids().unwrap().map(Result::unwrap).collect();
    for id in &ids {
        let Id::Number(number) = id else { panic!("expected numbers, found {id:?}") };
        assert_eq!(store.get(*number).unwrap().expect("a listed item").vector, [*number as f32, 1.0, 2.0]);
    }
    ids
}

#[test]
fn immediate_writes_survive_a_kill() {
    let expected: Vec<Id> = (0..20).map(Id::from).collect();
    assert_eq!(ids_after_kill("immediate"), expected);
}

#[test]
fn buffered_writes_survive_a_kill_from_the_last_flush_on() {
    let found = ids_after_kill("buffered");
    let expected: Vec<Id> = (0..20).map(Id::from).collect();
    assert!(found.len() >= 10, "expected the ten flushed items, found {found:?}");
    assert_eq!(found, expected[..found.len()], "expected writes in their order, none left out");
}

#[test]
fn closing_makes_buffered_writes_durable() {
    let _alone = children::alone();
    let dir = Dir::new();
    let store = Store::open_with(dir.store(), Options::new().durability(Durability::Buffered)).unwrap();
    store.insert(1, [1.0, 2.0]).unwrap();
    store.close().unwrap();
    drop(store);
    assert_eq!(Store::open(dir.store()).unwrap().get(1).unwrap().expect("the item").vector, [1.0, 2.0]);
}

#[test]
fn a_killed_process_leaves_no_lock() {
    let _alone = children::alone();
    let dir = Dir::new();
    children::kill_after(children::spawn("immediate", &dir.store()), "written");
    assert_eq!(children::run("open", &dir.store()), ["opened"]);
}
