//! Power cuts of a real file system: ext4 in a file, mounted through a loop device, is shut down under a working child
//! without writing its journal out, mounted again, and the store checked.
//!
//! Runs where `UNDERSTORY_EXT4_CUTS` says how many, from `UNDERSTORY_EXT4_FIRST_SEED` on; needs root, loop devices,
//! mkfs.ext4 and perl.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rand::RngExt;

use crate::support::{Dir, generator};
use crate::{children, script};

/// EXT4_IOC_SHUTDOWN, with the flag that leaves the journal as it is.
const SHUTDOWN: &str =
    r#"open(F, "<", $ARGV[0]) or die $!; my $how = pack("L", 2); ioctl(F, 0x8004587d, $how) or die $!"#;

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}

/// A mounted file system, unmounted when it is dropped.
pub(crate) struct Mounted {
    image: PathBuf,
    pub(crate) at: PathBuf,
}

impl Mounted {
    /// A new file system in a file of the directory, if this process may mount one.
    pub(crate) fn fresh(directory: &Path) -> Option<Mounted> {
        let image = directory.join("image");
        std::fs::File::create(&image).unwrap().set_len(24 << 20).unwrap();
        let is_made = succeeds("mkfs.ext4", &["-q", "-F", text(&image)]);
        is_made.then(|| Mounted::new(image, directory.join("mount"))).flatten()
    }

    /// Mounts it anew as the options say.
    pub(crate) fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(succeeds("mount", &["-o", &options, text(&self.at)]), "{options} of {} failed", self.at.display());
    }

    fn new(image: PathBuf, at: PathBuf) -> Option<Mounted> {
        std::fs::create_dir_all(&at).unwrap();
        let mounted = succeeds("mount", &["-o", "loop", text(&image), text(&at)]);
        mounted.then_some(Mounted { image, at })
    }

    /// The power fails, and comes back.
    fn cut(self) -> Option<Mounted> {
        let (image, at) = (self.image.clone(), self.at.clone());
        drop(self);
        Mounted::new(image, at)
    }

    /// Nothing reaches the disk from here on.
    fn shut_down(&self) {
        let file = self.at.join("lost+found");
        assert!(succeeds("perl", &["-e", SHUTDOWN, text(&file)]), "the shutdown of {} failed", file.display());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // A child that was killed may hold it for a moment.
        let deadline = Instant::now() + Duration::from_secs(5);
        while !succeeds("umount", &[text(&self.at)]) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// One child, one cut at a random moment of its work, one check.
fn cycle(directory: &Path, seed: u64) -> Option<usize> {
    let mut rng = generator(seed);
    let mounted = Mounted::fresh(directory)?;
    let store = mounted.at.join("a.understory");
    let mut child = children::spawn("script", &store);
    let words = children::Words::of(&mut child);
    let after = rng.random_range(0..=script::OPERATIONS as usize);
    let reader = std::thread::spawn(move || {
        let mut said = Vec::new();
        let mut words = words.into_iter();
        said.extend(words.by_ref().take(after));
        (said, words)
    });
    let (mut said, rest) = reader.join().expect("the child's output is text");
    std::thread::sleep(Duration::from_micros(rng.random_range(0..3000)));
    // What the child says between here and the shutdown is acknowledged as well, but by luck; it is not asked for.
    mounted.shut_down();
    child.kill().unwrap();
    child.wait().unwrap();
    drop(rest);
    said.retain(|word| word.starts_with("done"));
    let mounted = mounted.cut().expect("a journal that is replayed");
    let acknowledged = script::acknowledged(&said);
    if let Err(failure) = script::check(&store, &acknowledged) {
        panic!("seed {seed}, acknowledged {acknowledged:?}: {failure}");
    }
    drop(mounted);
    Some(acknowledged.len())
}

#[test]
fn power_cuts_of_a_real_file_system_lose_nothing() {
    let Ok(cuts) = std::env::var("UNDERSTORY_EXT4_CUTS") else {
        println!("skipped: UNDERSTORY_EXT4_CUTS does not say how many cuts");
        return;
    };
    let cuts: u64 = cuts.parse().expect("UNDERSTORY_EXT4_CUTS is a number");
    let first = std::env::var("UNDERSTORY_EXT4_FIRST_SEED").map_or(0, |text| text.parse().expect("a number"));
    let started = Instant::now();
    let mut acknowledged = 0;
    for seed in first..first + cuts {
        let _alone = children::alone();
        let dir = Dir::new();
        let Some(count) = cycle(dir.path(), seed) else {
            println!("skipped: no root, no loop device or no mkfs.ext4");
            return;
        };
        acknowledged += count;
    }
    let rate = cuts as f64 / started.elapsed().as_secs_f64();
    println!(
        "ext4, from seed {first}: {cuts} cuts, {acknowledged} acknowledged operations, 0 losses, {rate:.1} cuts a second"
    );
}
