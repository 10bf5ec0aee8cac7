//! The N-th call of a kind fails, or is the last: `strace` makes it so, in a child that runs the script.
//!
//! Skipped with a message where there is no strace, or where it may not trace. `UNDERSTORY_FAULTS` is how many calls
//! of each kind are tried.

use std::process::Command;

use crate::support::Dir;
use crate::{children, script};

const CALLS: &str = "UNDERSTORY_FAULTS";

/// Every kind of call that changes the disk, as strace names them. Segments are written with `write`, as are the
/// child's words: the failure of those comes with the sync that follows.
const KINDS: [&str; 6] = ["fdatasync", "fsync", "rename", "pwrite64", "ftruncate", "unlink"];

fn may_trace() -> bool {
    let traced =
        Command::new("strace").args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=rename,unlink", "true"]).status();
    let may = traced.is_ok_and(|status| status.success());
    if !may {
        println!("skipped: strace is missing or may not trace");
    }
    may
}

fn tries(default: u64) -> u64 {
    std::env::var(CALLS).map_or(default, |text| text.parse().expect("UNDERSTORY_FAULTS is a number"))
}

/// Runs the script with a fault, and checks what it leaves. Whether the fault was met.
fn run(kind: &str, fault: &str, number: u64) -> bool {
    let _alone = children::alone();
    let dir = Dir::new();
    let (trace, inject) = (format!("trace={kind}"), format!("inject={kind}:{fault}:when={number}"));
    let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    let mut child = children::spawn_under(&strace, "script", &dir.store());
    let words: Vec<String> = children::Words::of(&mut child).collect();
    let ended = child.wait().unwrap().success();
    let acknowledged = script::acknowledged(&words);
    let is_kill = fault.starts_with("signal");
    assert!(is_kill || ended, "{kind} {fault} {number}: the child failed after saying {words:?}");
    if let Err(failure) = script::check(&dir.store(), &acknowledged) {
        panic!("{kind} {fault} {number}: {failure}; the child said {words:?}");
    }
    // One failure is no reason to refuse what follows: the store has opened its rows again.
    let last = script::OPERATIONS - 1;
    let works_on = is_kill || acknowledged.is_empty() || acknowledged.contains(&last);
    assert!(works_on, "{kind} {fault} {number}: expected operation {last} to succeed; the child said {words:?}");
    !ended || acknowledged.len() < script::OPERATIONS as usize
}

fn faults(fault: &str, tries: u64) {
    if !may_trace() {
        return;
    }
    let (mut runs, mut met) = (0, 0);
    for kind in KINDS {
        for number in 1..=tries {
            runs += 1;
            met += u64::from(run(kind, fault, number));
        }
    }
    println!("{fault}: {runs} runs, {met} met the fault, 0 losses");
    assert!(met > 0, "expected a fault to be met");
}

#[test]
fn input_and_output_errors_are_reported_and_lose_nothing() {
    faults("error=EIO", tries(2));
}

#[test]
fn a_full_disk_is_reported_and_loses_nothing() {
    faults("error=ENOSPC", tries(2));
}

#[test]
fn a_kill_at_any_call_loses_nothing() {
    faults("signal=SIGKILL", tries(2));
}
