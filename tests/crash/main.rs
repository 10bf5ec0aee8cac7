//! What takes a second process: kill -9, a lock held elsewhere, a disk without room.

#[allow(dead_code, reason = "shared with the scenarios, which use all of it")]
#[path = "../it/oracle.rs"]
mod oracle;
#[allow(dead_code, reason = "shared with the scenarios, which use all of it")]
#[path = "../it/support.rs"]
mod support;

mod children;
mod durability;
mod faults;
mod kill;
mod power;
mod readers;
mod script;
mod second_process;
