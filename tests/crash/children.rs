//! Second processes: this very binary, told by its environment to run one task instead of the suite.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use parking_lot::{Mutex, MutexGuard};
use understory::Durability;

use crate::{durability, kill, readers, script, second_process};

const TASK: &str = "UNDERSTORY_TEST_TASK";
const STORE: &str = "UNDERSTORY_TEST_STORE";
/// Sets a child's words apart from what the test harness prints.
const MARK: &str = "child> ";

/// Held while a child is started and while the parent has a store open: until a fork has become the new program it
/// holds every lock of the parent, and a store that was closed meanwhile would be found locked.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock()
}

/// The main function of a child; in the suite itself there is no task.
#[test]
fn child_process() {
    let (Ok(task), Ok(store)) = (std::env::var(TASK), std::env::var(STORE)) else { return };
    let store = Path::new(&store);
    match task.split_once(' ').unwrap_or((&task, "")) {
        ("open", _) => second_process::open(store),
        ("hold", _) => readers::hold(store),
        ("read", _) => readers::read(store),
        ("fill", _) => second_process::fill(store),
        ("immediate", _) => durability::write_and_wait(store, Durability::Immediate),
        ("buffered", _) => durability::write_and_wait(store, Durability::Buffered),
        ("script", _) => script::work(store),
        ("work", plan) => kill::work(store, plan),
        _ => panic!("no task is called {task}"),
    }
}

/// Tells the parent something.
pub(crate) fn say(words: &str) {
    println!("{MARK}{words}");
}

/// Starts a child on a task. The caller is [`alone`].
pub(crate) fn spawn(task: &str, store: &Path) -> Child {
    spawn_under(&[], task, store)
}

/// Starts a child as the last arguments of another command.
pub(crate) fn spawn_under(command: &[&str], task: &str, store: &Path) -> Child {
    let binary = std::env::current_exe().unwrap();
    let mut line: Vec<&str> = command.to_vec();
    line.push(binary.to_str().expect("a path in UTF-8"));
    line.extend(["--exact", "children::child_process", "--nocapture", "--test-threads=1"]);
    Command::new(line[0])
        .args(&line[1..])
        .env(TASK, task)
        .env(STORE, store)
        .stdout(Stdio::piped())
        .spawn()
        .expect("this binary once more")
}

/// What a child says, to its end.
pub(crate) struct Words(BufReader<ChildStdout>);

impl Words {
    pub(crate) fn of(child: &mut Child) -> Words {
        Words(BufReader::new(child.stdout.take().expect("a pipe")))
    }
}

impl Iterator for Words {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.0.read_line(&mut line).expect("the child's output") == 0 {
                return None;
            }
            // What was cut off by the end of the process was not said.
            if let Some((_, words)) = line.strip_suffix('\n').and_then(|line| line.split_once(MARK)) {
                return Some(words.to_owned());
            }
        }
    }
}

/// Runs the task to its end and returns what it said.
pub(crate) fn run(task: &str, store: &Path) -> Vec<String> {
    finish(spawn(task, store))
}

/// Waits for the end of a child and returns what it said.
pub(crate) fn finish(mut child: Child) -> Vec<String> {
    let words: Vec<String> = Words::of(&mut child).collect();
    assert!(child.wait().unwrap().success(), "the child failed after saying {words:?}");
    words
}

/// Waits until the child says it, then kills it (on unix with SIGKILL).
pub(crate) fn kill_after(mut child: Child, words: &str) {
    let said = Words::of(&mut child).any(|found| found == words);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(said, "the child ended before it said {words:?}");
}
