//! A disk in memory for tests, which records what it is asked to do, so that the power can be cut at any point of it.
//!
//! A disk is mounted at a path below [`MOUNTS`] and serves every call whose path lies there, from any thread, those of
//! the row database too: one log holds the operations of both in their order.

pub(in crate::fs) mod calls;
mod cut;
mod image;
mod mutant;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard, RwLock};

pub(crate) use cut::{Damage, Replay};
use image::Node;
pub(crate) use image::{Image, Operation};
pub(crate) use mutant::Mutant;

/// Where disks are mounted; no path of a real file system that a test uses begins so.
const MOUNTS: &str = "/simulated";

/// The store's directory on each disk, and the directory of its segments.
const STORE: &str = "store";
const SEGMENTS: &str = "segments";

static DISKS: RwLock<BTreeMap<u64, Arc<Mutex<State>>>> = RwLock::new(BTreeMap::new());
static NEXT_DISK: AtomicU64 = AtomicU64::new(0);

/// When a disk fails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// Operations that succeed before.
    pub(crate) after: usize,
    /// Whether it goes on failing.
    pub(crate) is_lasting: bool,
    pub(crate) error: io::ErrorKind,
}

/// What comes of the creation of a file that must be new, as segments are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NewFiles {
    Created,
    /// The disk has no room for them.
    Refused,
    /// The code has a mistake and panics.
    Panic,
}

/// What a disk holds, and how it came to.
#[derive(Debug)]
struct State {
    image: Image,
    log: Vec<Operation>,
    next_node: Node,
    row_files: BTreeSet<Node>,
    /// Added to the length of each file when it is asked how much room it takes.
    waste: u64,
    fault: Option<Fault>,
    new_files: NewFiles,
    has_failed: bool,
    mutant: Option<Mutant>,
    held_back: Vec<Operation>,
    row_syncs: usize,
    has_switched_rows: bool,
}

/// A mounted disk; unmounted when it is dropped.
#[derive(Debug)]
pub(crate) struct Disk {
    number: u64,
    state: Arc<Mutex<State>>,
}

impl Disk {
    /// Mounts a disk that holds an image, durably.
    pub(crate) fn mount(image: Image, mutant: Option<Mutant>) -> Disk {
        let number = NEXT_DISK.fetch_add(1, Ordering::Relaxed);
        let state = State {
            next_node: image.free_node(),
            image,
            log: Vec::new(),
            row_files: BTreeSet::new(),
            waste: 0,
            fault: None,
            new_files: NewFiles::Created,
            has_failed: false,
            mutant,
            held_back: Vec::new(),
            row_syncs: 0,
            has_switched_rows: false,
        };
        let state = Arc::new(Mutex::new(state));
        DISKS.write().insert(number, state.clone());
        Disk { number, state }
    }

    /// Mounts a disk as a killed process left it: what was logged since it held `start` can be seen, synced or not.
    pub(crate) fn after_kill(start: Image, log: Vec<Operation>, mutant: Option<Mutant>) -> Disk {
        let mut image = start;
        log.iter().for_each(|operation| image.apply(operation));
        let disk = Disk::mount(image, mutant);
        disk.state.lock().log = log;
        disk
    }

    /// The path of the store's directory.
    pub(crate) fn store_path(&self) -> PathBuf {
        Path::new(MOUNTS).join(self.number.to_string()).join(STORE)
    }

    /// Makes the disk claim that its files take so many bytes more than they do.
    pub(crate) fn set_waste(&self, bytes: u64) {
        self.state.lock().waste = bytes;
    }

    /// Makes the disk fail from now on, or no more.
    pub(crate) fn set_fault(&self, fault: Option<Fault>) {
        self.state.lock().fault = fault;
    }

    /// Decides what comes of new files from now on.
    pub(crate) fn set_new_files(&self, new_files: NewFiles) {
        self.state.lock().new_files = new_files;
    }

    /// Whether an operation has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.state.lock().has_failed
    }

    /// How many operations there were.
    pub(crate) fn operations(&self) -> usize {
        self.state.lock().log.len()
    }

    /// What the disk was asked to do since it was mounted.
    pub(crate) fn log(&self) -> Vec<Operation> {
        self.state.lock().log.clone()
    }

    /// What it holds now, as running processes see it.
    pub(crate) fn image(&self) -> Image {
        self.state.lock().image.clone()
    }

    /// Names in the store's directory and in that of its segments.
    pub(crate) fn names(&self) -> (Vec<String>, Vec<String>) {
        let state = self.state.lock();
        let names = |node: Option<Node>| {
            let entries = node.and_then(|node| state.image.entries(node).ok());
            entries.map(|entries| entries.keys().cloned().collect()).unwrap_or_default()
        };
        (names(state.store()), names(state.segments()))
    }

    /// Changes one bit of the only segment file; whether it has that many bytes.
    pub(crate) fn flip(&self, byte: usize, bit: u32) -> bool {
        let mut state = self.state.lock();
        let segments = state.segments().and_then(|node| state.image.entries(node).ok());
        let Some(node) = segments.and_then(|entries| entries.values().next().copied()) else { return false };
        let old = state.image.file(node).ok().and_then(|bytes| bytes.get(byte).copied());
        old.inspect(|old| state.image.write(node, byte, &[old ^ (1 << bit)])).is_some()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        DISKS.write().remove(&self.number);
    }
}

impl State {
    /// Carries an operation out and logs it, unless the disk fails.
    fn act(&mut self, operation: Operation) -> io::Result<()> {
        match self.due_fault() {
            None => self.carry_out(operation),
            Some(error) => {
                match operation {
                    Operation::SyncFile { file } => self.carry_out(Operation::FailSync { file }),
                    Operation::Write { file, offset, bytes } => {
                        let bytes = bytes[..bytes.len() / 2].into();
                        self.carry_out(Operation::Write { file, offset, bytes });
                    }
                    _ => {}
                }
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// The error of this operation, if it is to fail.
    fn due_fault(&mut self) -> Option<io::ErrorKind> {
        let fault = self.fault.as_mut()?;
        if fault.after > 0 {
            fault.after -= 1;
            return None;
        }
        let Fault { is_lasting, error, .. } = *fault;
        if !is_lasting {
            self.fault = None;
        }
        self.has_failed = true;
        Some(error)
    }

    fn carry_out(&mut self, operation: Operation) {
        self.image.apply(&operation);
        if let Operation::Rename { directory, .. } = &operation
            && Some(*directory) == self.store()
        {
            self.has_switched_rows = !self.old_row_files().is_empty();
        }
        self.log_with_mistakes(operation);
    }

    fn take_node(&mut self) -> Node {
        self.next_node += 1;
        self.next_node - 1
    }

    /// The directory that a path names something in, and the name.
    fn parent(&self, path: &Path) -> io::Result<(Node, String)> {
        let name = path.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
        let directory = self.image.find(path.parent().unwrap_or(Path::new("")))?;
        Ok((directory, name.to_owned()))
    }

    fn store(&self) -> Option<Node> {
        self.image.find(Path::new(STORE)).ok()
    }

    fn segments(&self) -> Option<Node> {
        self.image.find(&Path::new(STORE).join(SEGMENTS)).ok()
    }

    /// The names of all row files but the newest.
    fn old_row_files(&self) -> Vec<String> {
        let mut names = self.row_file_names();
        names.pop();
        names
    }

    fn row_file_names(&self) -> Vec<String> {
        let entries = self.store().and_then(|store| self.image.entries(store).ok());
        let is_rows = |name: &&String| name.ends_with(".redb");
        entries.into_iter().flat_map(|entries| entries.keys()).filter(is_rows).cloned().collect()
    }

    /// What a listing shows.
    fn listed(&self, directory: Node) -> io::Result<impl Iterator<Item = &String>> {
        let hides = self.mutant == Some(Mutant::NoSweep) && Some(directory) == self.segments();
        Ok(self.image.entries(directory)?.keys().filter(move |_| !hides))
    }
}

/// A path on a mounted disk.
pub(in crate::fs) struct Location {
    disk: Arc<Mutex<State>>,
    /// Relative to the disk's root.
    path: PathBuf,
}

/// The disk that a path lies on; `None` for the paths of the real file system.
fn locate(path: &Path) -> io::Result<Option<Location>> {
    let Ok(below) = path.strip_prefix(MOUNTS) else { return Ok(None) };
    let mut components = below.components();
    let number = components.next().and_then(|component| component.as_os_str().to_str()?.parse::<u64>().ok());
    let disk = number.and_then(|number| DISKS.read().get(&number).cloned()).ok_or(io::ErrorKind::NotFound)?;
    let mut path = components.as_path().to_owned();
    if disk.lock().mutant == Some(Mutant::RowsCreatedInPlace) && path.to_string_lossy().ends_with(".redb.tmp") {
        path.set_extension("");
    }
    Ok(Some(Location { disk, path }))
}

impl Location {
    fn open_file(self) -> io::Result<OnDisk> {
        let node = {
            let state = self.disk.lock();
            let node = state.image.find(&self.path)?;
            state.image.file(node)?;
            node
        };
        Ok(OnDisk { disk: self.disk, node })
    }

    fn create_file(self, must_be_new: bool) -> io::Result<OnDisk> {
        let new_files = self.disk.lock().new_files;
        match new_files {
            NewFiles::Refused if must_be_new => return Err(io::ErrorKind::StorageFull.into()),
            NewFiles::Panic if must_be_new => panic!("a mistake on purpose"),
            _ => {}
        }
        let existing = self.disk.lock().image.find(&self.path);
        match existing {
            Ok(_) if must_be_new => return Err(io::ErrorKind::AlreadyExists.into()),
            Ok(_) => return self.open_file(),
            Err(_) => {}
        }
        let mut state = self.disk.lock();
        let (directory, name) = state.parent(&self.path)?;
        let node = state.take_node();
        state.act(Operation::CreateFile { directory, name, node })?;
        drop(state);
        Ok(OnDisk { disk: self.disk, node })
    }
}

/// An open file of a simulated disk.
#[derive(Debug)]
pub(crate) struct OnDisk {
    disk: Arc<Mutex<State>>,
    node: Node,
}

impl OnDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.disk.lock()
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let offset = state.image.file(self.node).map_or(0, |file| file.len() as u64);
        state.act(Operation::Write { file: self.node, offset, bytes: bytes.into() })
    }

    fn sync(&self) -> io::Result<()> {
        self.state().act(Operation::SyncFile { file: self.node })
    }
}

/// The bytes of a file; `None` for paths of the real file system.
pub(in crate::fs) fn read(path: &Path) -> Option<io::Result<Arc<Vec<u8>>>> {
    let location = locate(path).transpose()?;
    Some(location.and_then(|Location { disk, path }| {
        let state = disk.lock();
        state.image.find(&path).and_then(|node| state.image.file(node).cloned())
    }))
}

/// Whether the disk of a path is to be used with this mistake.
pub(crate) fn has_mutant(path: &Path, mutant: Mutant) -> bool {
    let location = locate(path).ok().flatten();
    location.is_some_and(|location| location.disk.lock().mutant == Some(mutant))
}

/// A row file, for the row database to read and write.
#[derive(Debug)]
pub(crate) struct RowFile(OnDisk);

/// Creates a row file, or opens one that is there; `None` for paths of the real file system.
pub(crate) fn create_rows(path: &Path) -> Option<io::Result<RowFile>> {
    let location = locate(path).transpose()?;
    Some(location.and_then(|location| location.create_file(false)).map(RowFile::new))
}

/// Opens a row file, which must not be empty; `None` for paths of the real file system.
pub(crate) fn open_rows(path: &Path) -> Option<io::Result<RowFile>> {
    let location = locate(path).transpose()?;
    let file = location.and_then(Location::open_file).map(RowFile::new);
    Some(file.and_then(|file| if file.len()? == 0 { Err(io::ErrorKind::InvalidData.into()) } else { Ok(file) }))
}

impl RowFile {
    fn new(file: OnDisk) -> RowFile {
        file.state().row_files.insert(file.node);
        RowFile(file)
    }

    pub(crate) fn len(&self) -> io::Result<u64> {
        Ok(self.0.state().image.file(self.0.node)?.len() as u64)
    }

    pub(crate) fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.0.state();
        let file = state.image.file(self.0.node)?;
        let bytes = file.get(offset as usize..offset as usize + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    pub(crate) fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.state().act(Operation::SetLength { file: self.0.node, length })
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.state().act(Operation::Write { file: self.0.node, offset, bytes: bytes.into() })
    }
}
