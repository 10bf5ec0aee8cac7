//! Trouble in the background: it is reported, reads and writes go on, and the worker resumes by itself.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::new_store;
use super::oracle::{check, check_searches, read_items};
use super::workload::{Call, Life, Manner};
use crate::error::Error;
use crate::fs::simulated::{Fault, NewFiles};
use crate::store::{Stats, Store};

/// A store with a worker on a disk where segments come to this.
fn life(new_files: NewFiles) -> Life {
    let mut life = new_store(1, None).unwrap();
    life.reopen(Manner { has_worker: true, ..Manner::default() }).unwrap();
    life.disk().set_new_files(new_files);
    // Together they become an unbuilt part, for the worker to build.
    for call in [Call::Batch, Call::LargeBatch] {
        life.call(call, 1).unwrap();
    }
    life
}

fn wait(life: &Life, what: &str, is_so: impl Fn(&Stats) -> bool) -> Stats {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let stats = life.store().stats().unwrap();
        if is_so(&stats) {
            return stats;
        }
        assert!(Instant::now() < end, "waited in vain for {what}: {stats:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The worker fails and says so; what the store does meanwhile; then it resumes, which no call asks it to.
fn fails_and_resumes(new_files: NewFiles, says: &str) {
    let mut life = life(new_files);
    let stats = wait(&life, "an error", |stats| stats.maintenance_error.is_some());
    let error = stats.maintenance_error.unwrap();
    assert!(error.contains(says), "expected {says:?} in {error:?}");
    assert!(stats.segments.is_empty() && stats.unbuilt_items > 0);
    check_searches(life.store(), &life.items()).unwrap();
    life.call(Call::Insert, 2).expect("a write that the trouble does not concern");
    check_searches(life.store(), &life.items()).unwrap();
    life.disk().set_new_files(NewFiles::Created);
    wait(&life, "a segment", |stats| stats.maintenance_error.is_none() && stats.segments.len() == 1);
    check_searches(life.store(), &life.items()).unwrap();
    life.store().close().expect("nothing is wrong any more");
}

#[test]
fn a_full_disk_is_reported_and_work_resumes_when_it_has_room() {
    fails_and_resumes(NewFiles::Refused, "could not create");
}

#[test]
fn a_panic_in_the_worker_is_caught_and_reported() {
    fails_and_resumes(NewFiles::Panic, "panic: a mistake on purpose");
}

#[test]
fn close_reports_what_the_worker_failed_at_and_closes_nevertheless() {
    let mut life = life(NewFiles::Refused);
    wait(&life, "an error", |stats| stats.maintenance_error.is_some());
    let error = life.store().close().unwrap_err();
    assert!(matches!(&error, Error::Maintenance { cause } if cause.contains("could not create")), "{error:?}");
    life.store().close().expect("it is told once");
    let items = life.items();
    life.disk().set_new_files(NewFiles::Created);
    life.recover_in_place(vec![items.clone()]).unwrap();
    check_searches(life.store(), &items).unwrap();
}

#[test]
fn searches_go_on_while_the_rows_are_opened_again() {
    let mut life = new_store(1, None).unwrap();
    for call in [Call::Batch, Call::Flush, Call::Batch] {
        life.call(call, 1).unwrap();
    }
    let (store, is_over) = (life.store().clone(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let search = || {
            let mut searches = 0;
            while !is_over.load(Ordering::Relaxed) {
                let hits = store.query([1.0, 2.0, 3.0, 4.0]).unwrap().k(10).exact().with_metadata().run();
                assert_eq!(hits.expect("a search in the midst of failures").len(), 10);
                assert!(store.scan().unwrap().all(|item| item.is_ok()));
                searches += 1;
            }
            searches
        };
        let searchers = [scope.spawn(search), scope.spawn(search)];
        for round in 0..40 {
            life.disk().set_fault(Some(Fault { after: round % 8, is_lasting: false, error: ErrorKind::Other }));
            let _ = life.attempt(Call::Insert, 200 + round as u64);
            life.disk().set_fault(None);
            let end = Instant::now() + Duration::from_secs(20);
            // Searches under way may hold a write up for a moment.
            while life.attempt(Call::Insert, 200 + round as u64).0.is_err() {
                assert!(Instant::now() < end, "waited in vain for a write");
            }
        }
        is_over.store(true, Ordering::Relaxed);
        for searcher in searchers {
            assert!(searcher.join().unwrap() > 0);
        }
    });
    assert!(store.verify().unwrap().problems.is_empty());
}

#[test]
fn a_store_that_failed_is_closed_cleanly_where_nobody_reads_it_as_it_was() {
    for holds_snapshot in [false, true] {
        let mut life = new_store(1, None).unwrap();
        life.call(Call::Batch, 1).unwrap();
        let before = life.items();
        let snapshot = holds_snapshot.then(|| life.store().snapshot().unwrap());
        life.disk().set_fault(Some(Fault { after: 1, is_lasting: false, error: ErrorKind::Other }));
        let (outcome, after) = life.attempt(Call::Insert, 50);
        outcome.unwrap_err();
        let closed = life.store().close();
        assert_eq!(closed.is_ok(), !holds_snapshot, "{closed:?}");
        assert_eq!(Store::open_read_only(life.disk().store_path()).is_ok(), !holds_snapshot);
        if let Some(snapshot) = snapshot {
            assert!(read_items(snapshot.scan()).unwrap() == *before, "what a snapshot holds stays what it was");
        }
        life.recover_in_place(vec![before, after]).unwrap();
        check(&life).unwrap();
    }
}

#[test]
fn the_worker_opens_the_rows_again_after_a_failed_commit() {
    let mut life = new_store(1, None).unwrap();
    life.reopen(Manner { has_worker: true, ..Manner::default() }).unwrap();
    life.call(Call::Batch, 1).unwrap();
    for after in 0..6 {
        life.disk().set_fault(Some(Fault { after, is_lasting: false, error: ErrorKind::Other }));
        let (outcome, written) = life.attempt(Call::Insert, 10 + after as u64);
        let before = life.items();
        wait(&life, "writes to be possible", |stats| stats.writes_stopped.is_none());
        let items = super::oracle::read(life.store()).unwrap();
        assert!(items == *written || (outcome.is_err() && items == *before), "fault {after}: {outcome:?}");
        check_searches(life.store(), &items).unwrap();
        life.disk().set_fault(None);
        life.settle(items.into());
        life.call(Call::Insert, 100 + after as u64).unwrap();
    }
}
